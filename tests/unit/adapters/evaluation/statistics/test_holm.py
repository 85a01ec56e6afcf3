"""Holm's correction, against the step-down rule and against the closure of Bonferroni's test."""

from __future__ import annotations

from itertools import combinations
from random import Random

import pytest

from adapters.evaluation.statistics.holm import holm


def step_down(p_values: dict[str, float], alpha: float) -> set[str]:
    """As Holm wrote it: go up from the smallest while p ≤ α / (how many are left)."""
    rejected: set[str] = set()
    for left, name in zip(range(len(p_values), 0, -1), sorted(p_values, key=lambda name: p_values[name]), strict=True):
        if p_values[name] > alpha / left:
            break
        rejected.add(name)
    return rejected


def closure(p_values: dict[str, float], name: str) -> float:
    """The largest Bonferroni p of any set of the hypotheses that holds this one."""
    others = [other for other in p_values if other != name]
    sets = [(name, *some) for size in range(len(p_values)) for some in combinations(others, size)]
    return max(min(1.0, len(some) * min(p_values[each] for each in some)) for some in sets)


def drawn(seed: int) -> dict[str, float]:
    random = Random(seed)
    return {name: random.random() ** 4 for name in "abcdef"[: 1 + seed % 6]}


@pytest.mark.parametrize("seed", range(24))
def test_rejects_what_the_step_down_does(seed: int) -> None:
    p_values = drawn(seed)
    for alpha in (0.01, 0.05, 0.2):
        assert {name for name, p in holm(p_values).items() if p <= alpha} == step_down(p_values, alpha)


@pytest.mark.parametrize("seed", range(24))
def test_is_the_closure_of_bonferroni(seed: int) -> None:
    p_values = drawn(seed)
    assert holm(p_values) == pytest.approx({name: closure(p_values, name) for name in p_values})


def test_keeps_order_ties_and_nothing() -> None:
    assert list(holm({"b": 0.5, "a": 0.01})) == ["b", "a"]
    assert holm({"a": 0.02, "b": 0.02}) == {"a": 0.04, "b": 0.04}
    assert holm({}) == {}


@pytest.mark.parametrize("p", [-0.1, 1.5, float("nan")])
def test_refuses_what_is_no_p_value(p: float) -> None:
    with pytest.raises(ValueError, match="from 0 to 1"):
        holm({"a": 0.1, "b": p})
