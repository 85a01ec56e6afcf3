from __future__ import annotations

from typing import Any

import pytest
import torch

from adapters.errors import InvalidConfig
from adapters.objectives.base import WeightChange
from adapters.objectives.idk import Idk
from adapters.objectives.registry import make_objective
from adapters.objectives.snap import Snap
from adapters.objectives.terms.sliced_wasserstein import draw_directions, sliced_wasserstein


def make_changes(seed: int = 0) -> dict[str, WeightChange]:
    generator = torch.Generator().manual_seed(seed)
    return {
        name: (
            torch.randn(rows, 4, generator=generator),
            torch.randn(2, 4, generator=generator),
            torch.randn(rows, 2, generator=generator),
        )
        for name, rows in (("q", 6), ("up", 3))
    }


def seeded() -> torch.Generator:
    return torch.Generator().manual_seed(7)


def test_the_penalty_is_the_weighted_sum_of_the_distances() -> None:
    generator = seeded()
    parts = [float(sliced_wasserstein(change, draw_directions(4, 9, generator))) for change in make_changes().values()]
    penalty = Snap(wasserstein=3.0, directions=9).penalty(make_changes(), seeded())
    assert float(penalty) == pytest.approx(3.0 * sum(parts), rel=1e-5)
    assert float(Snap(wasserstein=6.0, directions=9).penalty(make_changes(), seeded())) == pytest.approx(
        2 * float(penalty)
    )


def test_directions_are_drawn_anew_each_time() -> None:
    generator = seeded()
    first, second = (float(Snap(directions=2).penalty(make_changes(), generator)) for _ in range(2))
    assert first != second
    assert float(Snap(directions=2).penalty(make_changes(), seeded())) == first


def test_without_weight_or_weights_there_is_no_penalty() -> None:
    generator = seeded()
    assert float(Snap(wasserstein=0.0).penalty(make_changes(), generator)) == 0
    assert float(Snap().penalty({}, generator)) == 0


def test_snap_alone_has_a_term_on_the_weights() -> None:
    assert Snap().penalty(make_changes(), seeded()) is not None
    assert Idk().penalty(make_changes(), seeded()) is None


def test_instructions_may_come_from_json() -> None:
    made = make_objective("snap", {"instructions": ["direct", "multi_fact"]})
    assert made == Snap(instructions=("direct", "multi_fact"))
    assert isinstance(made, Snap)
    assert made.instructions == ("direct", "multi_fact")


@pytest.mark.parametrize("setting", ["directions", "responses"])
def test_counts_are_whole_numbers(setting: str) -> None:
    with pytest.raises(InvalidConfig, match=f"^{setting} must be a whole number$"):
        make_objective("snap", {setting: 2.5})


@pytest.mark.parametrize("kinds", [[], "direct", ["direct", "rude"], [1], None])
def test_other_instructions_are_refused(kinds: Any) -> None:
    with pytest.raises(
        InvalidConfig, match=r"^(instructions must be a list|each of instructions must be one of direct, .*multi_fact$)"
    ):
        make_objective("snap", {"instructions": kinds})
