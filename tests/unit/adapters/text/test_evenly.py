from __future__ import annotations

import pytest

from adapters.text.evenly import evenly


@pytest.mark.parametrize(
    ("n", "most", "expected"), [(3, 16, [0, 1, 2]), (16, 16, list(range(16))), (9, 3, [0, 4, 8]), (100, 2, [0, 99])]
)
def test_evenly(n: int, most: int, expected: list[int]) -> None:
    assert evenly(range(n), most) == expected
