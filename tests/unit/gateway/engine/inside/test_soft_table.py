"""Virtual ids look up their row, real ids their embedding, in any mixture."""

from __future__ import annotations

import pytest
import torch

from gateway.engine.inside.soft_table import SoftTable
from gateway.engine.statement import UNKNOWN

V, ROWS, HIDDEN = 10, 4, 3


@pytest.fixture
def table() -> SoftTable:
    table = SoftTable(ROWS, HIDDEN, V, torch.float32)
    table.install([0, 2], torch.tensor([[1.0, 2, 3], [4, 5, 6]]), "a")
    return table


def embed(ids: torch.Tensor) -> torch.Tensor:
    assert int(ids.max()) < V, "the vocabulary must never be asked for a virtual id"
    return ids[:, None].float().expand(-1, HIDDEN) * 100


def test_look_up(table: SoftTable) -> None:
    out = table(torch.tensor([7, V, V + 2, V + 1]), embed)
    assert out.tolist() == [[700] * 3, [1, 2, 3], [4, 5, 6], [0, 0, 0]]


def test_what_is_no_id_at_all_is_looked_up_within_bounds(table: SoftTable) -> None:
    assert table(torch.tensor([-1, V + ROWS, 10**6]), embed).shape == (3, HIDDEN)


def test_evicted_rows_are_zero(table: SoftTable) -> None:
    table.evict([0])
    assert table(torch.tensor([V, V + 2]), embed).tolist() == [[0, 0, 0], [4, 5, 6]]


@pytest.mark.parametrize(
    ("rows", "values", "reason"),
    [
        ([0], torch.ones(1, HIDDEN + 1), "shape"),
        ([0, 1], torch.ones(1, HIDDEN), "shape"),
        ([ROWS], torch.ones(1, HIDDEN), "outside"),
        ([-1], torch.ones(1, HIDDEN), "outside"),
        ([0], torch.full((1, HIDDEN), float("nan")), "NaN"),
        ([0], torch.full((1, HIDDEN), float("inf")), "infinite"),
    ],
)
def test_bad_rows_are_refused_and_change_nothing(
    table: SoftTable, rows: list[int], values: torch.Tensor, reason: str
) -> None:
    before = table.table.clone()
    with pytest.raises(ValueError, match=reason):
        table.install(rows, values, "b")
    assert torch.equal(table.table, before)
    assert table.resident() == {"a": 2}


@pytest.mark.parametrize(
    ("rows", "digests"),
    [
        ([0, 2], ("a",)),
        ([1, 0, 2], ("b", "a")),
        ([0, 2, 1], ("a", "b")),
        ([], ()),
        ([0], (UNKNOWN,)),
        ([2, 0], (UNKNOWN,)),
        ([0, 1], (UNKNOWN,)),
        ([3, 1], (UNKNOWN,)),
        ([1, 2], ("b", UNKNOWN)),
    ],
)
def test_rows_are_told_by_what_was_written_there(table: SoftTable, rows: list[int], digests: tuple[str, ...]) -> None:
    """A part of an adapter, its rows in another order, and a row that nobody has are no adapter."""
    table.install([1], torch.ones(1, HIDDEN), "b")
    assert table.digests_at(rows) == digests


def test_rows_that_are_evicted_or_written_over_are_nobodys(table: SoftTable) -> None:
    table.evict([2])
    assert table.digests_at([0, 2]) == (UNKNOWN,)
    assert table.resident() == {"a": 1}
    table.install([0, 2], torch.ones(2, HIDDEN), "c")
    assert (table.digests_at([0, 2]), table.resident()) == (("c",), {"c": 2})


def test_each_change_of_the_table_is_another_version(table: SoftTable) -> None:
    seen = [table.version]
    table.evict([3])
    seen.append(table.version)
    table.install([3], torch.ones(1, HIDDEN), "d")
    assert len({*seen, table.version}) == 3


def test_the_table_is_no_checkpoint_weight(table: SoftTable) -> None:
    assert table.state_dict() == {}
    assert list(table.parameters()) == []
