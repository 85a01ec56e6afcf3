from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from gateway.policy.scope.meanings import MeaningIndex

NOTHING = np.zeros(1, dtype=np.float32)


def unit(*rows: tuple[float, ...]) -> NDArray[np.float32]:
    made = np.array(rows, dtype=np.float32).reshape(-1, 3)
    lengths: NDArray[np.float32] = np.linalg.norm(made, axis=1, keepdims=True)
    return made / lengths


@pytest.fixture
def index() -> MeaningIndex:
    index = MeaningIndex(3)
    index.put("x", unit((1, 0, 0), (1, 1, 0)), 0.9)
    index.put("y", unit((0, 1, 0)), 0.99)
    index.put("nothing", unit(), 0.5)
    return index


def test_the_nearest_vector_of_any_window_decides(index: MeaningIndex) -> None:
    found = index.found(unit((0, 0, 1), (1, 0.9, 0)), NOTHING)
    assert found.keys() == {"x"}
    assert found["x"] == pytest.approx(float(unit((1, 0.9, 0))[0] @ unit((1, 1, 0))[0]) - 0.9, abs=1e-6)


def test_each_request_has_its_own_threshold(index: MeaningIndex) -> None:
    assert index.found(unit((0, 1, 0.2)), NOTHING).keys() == set()
    assert index.found(unit((0, 1, 0.1)), NOTHING).keys() == {"y"}


def test_changes_are_seen(index: MeaningIndex) -> None:
    assert index.found(unit((0, 0, 1)), NOTHING) == {}
    index.put("z", unit((0, 0, 1)), 0.9)
    assert index.found(unit((0, 0, 1)), NOTHING).keys() == {"z"}
    index.put("z", unit((1, 0, 0)), 0.9)
    assert index.found(unit((0, 0, 1)), NOTHING) == {}
    index.remove("x")
    index.remove("nobody")
    assert index.found(unit((1, 0, 0)), NOTHING).keys() == {"z"}


def test_without_requests_or_windows_nothing_is_found(index: MeaningIndex) -> None:
    assert MeaningIndex(3).found(unit((1, 0, 0)), NOTHING) == {}
    assert index.found(unit(), NOTHING) == {}


def test_what_a_window_is_near_to_anyway_is_taken_off(index: MeaningIndex) -> None:
    windows = unit((1, 0, 0), (0, 1, 0))
    assert index.found(windows, np.array([0.05, 0.02], dtype=np.float32)).keys() == {"x"}
    assert index.found(windows, np.array([0.2, 0.2], dtype=np.float32)) == {}
