"""Holm's step-down correction: several hypotheses tested at once, one error allowed over all of them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeVar

Name = TypeVar("Name")


def holm(p_values: Mapping[Name, float]) -> dict[Name, float]:
    """Each hypothesis's adjusted p-value (Holm, Scandinavian Journal of Statistics 6, 1979).

    The i-th smallest of m becomes max over j ≤ i of (m − j + 1) · p₍ⱼ₎, at most 1. Rejecting where it is ≤ α rejects a
    true hypothesis with probability α at most, however the tests depend on each other. Raises ValueError for a p-value
    outside [0, 1].
    """
    if not all(0 <= p <= 1 for p in p_values.values()):
        raise ValueError("a p-value is from 0 to 1")
    adjusted: dict[Name, float] = {}
    largest = 0.0
    for rank, name in enumerate(sorted(p_values, key=lambda name: p_values[name])):
        largest = max(largest, (len(p_values) - rank) * p_values[name])
        adjusted[name] = min(largest, 1.0)
    return {name: adjusted[name] for name in p_values}
