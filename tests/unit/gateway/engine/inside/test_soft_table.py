"""Virtual ids look up their row, real ids their embedding, in any mixture."""

from __future__ import annotations

import pytest
import torch

from gateway.engine.inside.soft_table import SoftTable

V, ROWS, HIDDEN = 10, 4, 3


@pytest.fixture
def table() -> SoftTable:
    table = SoftTable(ROWS, HIDDEN, V, torch.float32)
    table.install([0, 2], torch.tensor([[1.0, 2, 3], [4, 5, 6]]))
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
        table.install(rows, values)
    assert torch.equal(table.table, before)


def test_the_table_is_no_checkpoint_weight(table: SoftTable) -> None:
    assert table.state_dict() == {}
    assert list(table.parameters()) == []
