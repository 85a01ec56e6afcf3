"""The objectives that teach a refusal: IDK, its mixes with NPO and bounded ascent, DPO."""

from __future__ import annotations

import pytest

from adapters.objectives.base import REFUSAL
from adapters.objectives.dpo import Dpo
from tests.unit.adapters.objectives.reference import make_view, make_views


@pytest.mark.parametrize("lengths", [(3, 2), (3,), (1, 1, 1, 1)])
def test_dpo_wants_a_refusal_for_each_forget_example(lengths: tuple[int, ...]) -> None:
    """One refusal would otherwise be broadcast over all forget examples."""
    with pytest.raises(ValueError, match="refusals for 3 forget examples"):
        Dpo().loss({**make_views(), REFUSAL: make_view(lengths, 2)})
