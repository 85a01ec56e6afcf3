from __future__ import annotations

from typing import Any

import pytest

from adapters.evaluation.rivals.rival import Forgotten, Respondent, Weights
from adapters.models.frozen import PromptedModel
from tests.unit.adapters.conftest import FORGET
from tests.unit.adapters.evaluation.rivals.standin import StandIn


@pytest.fixture(scope="module")
def forgotten() -> Forgotten:
    return Forgotten.of(FORGET)


@pytest.fixture(scope="module")
def model(forgotten: Forgotten) -> StandIn:
    return StandIn(forgotten)


@pytest.fixture(scope="module")
def respondent(model: StandIn, prompted: PromptedModel, tokenizer: Any) -> Respondent:
    """The stand-in, with the states of a random model."""
    return Respondent(model.respond, model.score, Weights(prompted, tokenizer))
