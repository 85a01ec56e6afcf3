"""Each check of the engine passes on one that is right, and fails on one that is wrong in its way alone."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from gateway.selfcheck.canaries import Canaries
from gateway.selfcheck.engine import EngineChecks
from gateway.selfcheck.outcome import Outcome, Status
from tests.unit.gateway.selfcheck.toy_engine import TEXTS, ToyEngine, canaries

TOLERANCE = 0.1
MOVES = {"soft prompt moves answers", "offset moves answers", "LoRA moves answers"}
CHECKS = ("sampling", "spread", "prefill_and_decode", "mixed_batch", "soft_prompt", "offset", "lora")


async def outcomes(engine: ToyEngine, wanted: Canaries | None = None) -> list[Outcome]:
    checks = EngineChecks(engine, canaries() if wanted is None else wanted, TEXTS, TOLERANCE)
    return [outcome for name in CHECKS for outcome in await getattr(checks, name)()]


def failed(found: list[Outcome]) -> set[str]:
    return {outcome.check for outcome in found if outcome.status is Status.FAIL}


async def test_a_right_engine_passes_every_check() -> None:
    engine = ToyEngine()
    found = await outcomes(engine)
    assert not failed(found)
    assert engine.sampled == 1
    assert len(found) == len({outcome.check for outcome in found}) == 17
    assert not any(outcome.advice for outcome in found)


async def test_kinds_that_are_not_offered_are_not_checked() -> None:
    found = await outcomes(ToyEngine(), Canaries())
    assert [outcome.check for outcome in found] == [
        "sampling",
        "spread of equal rows",
        "prefill and decode",
        "mixed batch",
    ]


@pytest.mark.parametrize(
    ("wrong", "expected"),
    [
        (lambda digest, step, _: 0.2 * (step == "decode" and not digest), {"prefill and decode"}),
        (lambda digest, step, _: 0.2 * (step == "decode" and digest == "soft"), {"prefill and decode, soft prompt"}),
        (lambda digest, step, _: 0.2 * (step == "decode" and digest == "lora"), {"prefill and decode, LoRA"}),
        (lambda digest, _, busy: 0.2 * (digest == "offset-2" and busy > 2), {"mixed batch, offset"}),
        (lambda digest, _, busy: 0.2 * (digest == "soft" and busy > 2), {"mixed batch, soft prompt"}),
        (
            lambda digest, _, busy: (
                float("nan") * (digest == "lora" and busy > 2) if busy > 2 and digest == "lora" else 0.0
            ),
            {"mixed batch, LoRA"},
        ),
        # So wide a spread hides whether canaries do anything.
        (lambda _d, _s, busy: 2.0 * (busy > 2), {"spread of equal rows", *MOVES}),
    ],
    ids=["decode", "decode-soft", "decode-lora", "batch-offset", "batch-soft", "batch-nan", "spread"],
)
async def test_a_wrong_engine_fails_the_check_that_sees_it(
    wrong: Callable[[str, str, int], float], expected: set[str]
) -> None:
    assert failed(await outcomes(ToyEngine(wrong=wrong))) == expected


@pytest.mark.parametrize(
    ("engine", "expected"),
    [
        ({"text_of_soft": (5, 6, 7)}, {"soft prompt equals its text"}),
        (
            {"effects": {"idle-offset": 0.3, "offset-1": 1.0, "offset-2": 2.0, "lora": 1.5}},
            {"idle offset changes nothing"},
        ),
        ({"effects": {"offset-1": 2.0, "offset-2": 2.0, "lora": 1.5}}, {"offset acts by its strength"}),
        ({"effects": {"lora": 1.5}}, {"offset moves answers"}),
        ({"effects": {"offset-1": 1.0, "offset-2": 2.0, "idle-lora": 0.3, "lora": 1.5}}, {"idle LoRA changes nothing"}),
        ({"effects": {"offset-1": 1.0, "offset-2": 2.0}}, {"LoRA moves answers"}),
    ],
)
async def test_an_adapter_that_does_not_act_by_its_formula_fails(engine: dict[str, Any], expected: set[str]) -> None:
    found = await outcomes(ToyEngine(**engine))
    assert failed(found) == expected
    assert all(outcome.advice for outcome in found if outcome.status is Status.FAIL)


async def test_other_tokens_in_a_batch_are_no_way_out() -> None:
    """A wrong step makes another text of the answer: what both began with would be equal."""
    assert "spread of equal rows" in failed(await outcomes(ToyEngine(astray=True)))


async def test_decoding_may_differ_from_prefill_by_what_the_shape_of_a_batch_does() -> None:
    """A token that is decoded is a batch of another shape than the prompt it is part of later."""

    def rounding(_digest: str, step: str, busy: int) -> float:
        return 0.04 * (busy > 2) + 0.15 * (step == "decode")

    assert not failed(await outcomes(ToyEngine(wrong=rounding)))
    assert failed(await outcomes(ToyEngine(wrong=lambda _d, step, _b: 0.15 * (step == "decode")))) >= {
        "prefill and decode"
    }


async def test_a_row_without_an_adapter_may_differ_by_what_equal_rows_do_and_no_more() -> None:
    def rounding(_digest: str, _step: str, busy: int) -> float:
        return 0.09 * (busy > 2)

    def leaking(digest: str, _step: str, busy: int) -> float:
        return 0.5 * (busy > 2 and digest == "offset-2")

    assert not failed(await outcomes(ToyEngine(wrong=rounding)))
    assert failed(await outcomes(ToyEngine(wrong=leaking))) == {"mixed batch, offset"}
