"""A target of three layers, and a smaller model over the same vocabulary."""

from __future__ import annotations

from pathlib import Path

import pytest

from adapters.examples import Message
from adapters.models.frozen import PromptedModel
from adapters.models.tokens import encode_prompt, load_tokenizer
from tests.unit.adapters.conftest import save_model
from tests.unit.adapters.evaluation.served_cases import LAYERS, PROMPTS, Ids


@pytest.fixture(scope="module")
def model_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_model(tmp_path_factory.mktemp("target"), num_hidden_layers=LAYERS)


@pytest.fixture(scope="module")
def target(model_path: Path) -> PromptedModel:
    return PromptedModel.load(model_path)


@pytest.fixture(scope="module")
def prompts(model_path: Path) -> list[Ids]:
    tokenizer = load_tokenizer(str(model_path))
    return [encode_prompt(tokenizer, (Message("user", text),)) for text in PROMPTS]


@pytest.fixture(scope="module")
def small_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_model(tmp_path_factory.mktemp("small"), seed=1, hidden_size=16, intermediate_size=32)
