from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from gateway.policy.scope.meanings import MeaningIndex

NOTHING = np.zeros(1, dtype=np.float32)
SPACES = (np.eye(3, dtype=np.float32)[:1],)


def unit(*rows: tuple[float, ...]) -> NDArray[np.float32]:
    made = np.array(rows, dtype=np.float32).reshape(-1, 3)
    lengths: NDArray[np.float32] = np.linalg.norm(made, axis=1, keepdims=True)
    return made / lengths


def near(
    index: MeaningIndex, windows: NDArray[np.float32], background: NDArray[np.float32] = NOTHING, reach: float = 0.0
) -> dict[str, float]:
    """What any of the windows is near to, and how near the nearest is."""
    found: dict[str, float] = {}
    for of_window in index.found(windows, np.broadcast_to(background, len(windows)), reach):
        found |= {each: max(margin, found.get(each, -reach)) for each, margin in of_window.items()}
    return found


@pytest.fixture
def index() -> MeaningIndex:
    index = MeaningIndex(SPACES)
    index.put("x", unit((1, 0, 0), (1, 1, 0)), 0.9)
    index.put("y", unit((0, 1, 0)), 0.99)
    index.put("nothing", unit(), 0.5)
    return index


def test_the_nearest_vector_of_any_window_decides(index: MeaningIndex) -> None:
    assert index.found(unit((0, 0, 1), (1, 0.9, 0)), np.zeros(2, dtype=np.float32))[0] == {}
    found = near(index, unit((0, 0, 1), (1, 0.9, 0)))
    assert found.keys() == {"x"}
    assert found["x"] == pytest.approx(float(unit((1, 0.9, 0))[0] @ unit((1, 1, 0))[0]) - 0.9, abs=1e-3)


def test_each_request_has_its_own_threshold(index: MeaningIndex) -> None:
    assert near(index, unit((0, 1, 0.2))).keys() == set()
    assert near(index, unit((0, 1, 0.1))).keys() == {"y"}


def test_changes_are_seen(index: MeaningIndex) -> None:
    assert near(index, unit((0, 0, 1))) == {}
    index.put("z", unit((0, 0, 1)), 0.9)
    assert near(index, unit((0, 0, 1))).keys() == {"z"}
    index.put("z", unit((1, 0, 0)), 0.9)
    assert near(index, unit((0, 0, 1))) == {}
    index.remove("x")
    index.remove("nobody")
    assert near(index, unit((1, 0, 0))).keys() == {"z"}


def test_without_requests_or_windows_nothing_is_found(index: MeaningIndex) -> None:
    assert MeaningIndex(SPACES).found(unit((1, 0, 0)), NOTHING) == [{}]
    assert index.found(unit(), NOTHING[:0]) == []


def test_what_a_window_is_near_to_anyway_is_taken_off(index: MeaningIndex) -> None:
    windows = unit((1, 0, 0), (0, 1, 0))
    assert near(index, windows, np.array([0.05, 0.02], dtype=np.float32)).keys() == {"x"}
    assert near(index, windows, np.array([0.2, 0.2], dtype=np.float32)) == {}


def drawn(random: np.random.Generator, count: int) -> NDArray[np.float32]:
    """Vectors that have most of their length in few directions, as texts' vectors have."""
    made = random.normal(size=(count, 48)) / np.arange(1, 49)
    lengths: NDArray[np.float64] = np.linalg.norm(made, axis=1, keepdims=True)
    return (made / lengths).astype(np.float32)


@pytest.mark.parametrize("sizes", [(48,), (1,), (4, 8), (8, 16, 24)])
def test_what_is_found_is_what_all_products_say_whatever_came_and_went(sizes: tuple[int, ...]) -> None:
    random = np.random.default_rng(0)
    rotation, _ = np.linalg.qr(random.normal(size=(48, 48)))
    index = MeaningIndex(np.split(rotation.astype(np.float32), np.cumsum(sizes))[: len(sizes)])
    held: dict[str, tuple[NDArray[np.float32], float, float]] = {}
    for number in range(120):
        vectors = drawn(random, int(random.integers(0, 6))) * np.float32(random.uniform(0.5, 1.0))
        threshold, share = float(random.uniform(0.2, 0.9)), float(random.uniform(0.0, 1.0))
        index.put(str(number), vectors, threshold, share)
        held[str(number)] = vectors, threshold, share
        if number % 3 == 2:  # one that came before goes
            gone = str(int(random.integers(number)))
            index.remove(gone)
            held.pop(gone, None)
    windows, background = drawn(random, 40), random.uniform(-0.1, 0.1, 40).astype(np.float32)
    margins = {
        request_id: float((vectors.astype(np.float16) @ windows.T.astype(np.float64) - share * background).max())
        - threshold
        for request_id, (vectors, threshold, share) in held.items()
        if len(vectors)
    }
    wanted = {request_id: margin for request_id, margin in margins.items() if margin >= 0}
    assert 0 < len(wanted) < len(margins)
    assert near(index, windows, background) == pytest.approx(wanted, abs=1e-5)
    reached = {request_id: margin for request_id, margin in margins.items() if margin >= -0.1}
    assert len(reached) > len(wanted)
    assert near(index, windows, background, reach=0.1) == pytest.approx(reached, abs=1e-5)
