"""What is expected of a worker, and the number in which its word travels."""

from __future__ import annotations

import itertools

import msgspec
import pytest

from adapters.artifact.footprint import Footprint
from gateway.engine.statement import UNKNOWN, Statement, pack, set_name, unpack
from gateway.policy.plan import AdapterRef

SOFT, OFFSET, BOTH = Footprint(rows=4), Footprint(offset_rank=8), Footprint(rows=2, target_rank=4)


def ref(digest: str, footprint: Footprint) -> AdapterRef:
    return AdapterRef(f"req_{digest}", digest, footprint)


@pytest.mark.parametrize(
    ("adapters", "soft", "merged"),
    [
        ([], (), []),
        ([ref("a", SOFT)], ("a",), []),
        ([ref("a", OFFSET)], (), ["a"]),
        ([ref("b", SOFT), ref("a", SOFT)], ("b", "a"), []),
        ([ref("a", BOTH), ref("b", SOFT), ref("c", OFFSET)], ("a", "b"), ["c", "a"]),
    ],
)
def test_what_a_plan_expects(adapters: list[AdapterRef], soft: tuple[str, ...], merged: list[str]) -> None:
    assert Statement.expected(adapters) == Statement(soft, set_name(merged) if merged else None)


def test_each_statement_has_a_stamp_of_its_own() -> None:
    digests = ["a", "b", "ab", UNKNOWN]
    soft = [(), *itertools.permutations(digests, 1), *itertools.permutations(digests, 2)]
    statements = [Statement(each, lora) for each in soft for lora in (None, *digests)]
    assert len({each.stamp for each in statements}) == len(statements)
    assert all(0 < each.stamp < 2**62 for each in statements)


@pytest.mark.parametrize("has_nan", [False, True])
@pytest.mark.parametrize("stamp", [1, 2**62 - 1, Statement().stamp])
def test_a_stamp_comes_through_the_engines_messages_as_it_was(stamp: int, has_nan: bool) -> None:
    sent = msgspec.msgpack.decode(msgspec.msgpack.encode(pack(stamp, has_nan=has_nan)), type=int)
    assert unpack(sent) == (stamp, has_nan)


@pytest.mark.parametrize("count", [0, 1])
def test_what_no_worker_has_stamped_matches_no_statement(count: int) -> None:
    assert unpack(count)[0] == 0
