from __future__ import annotations

from pathlib import Path

import pytest

from adapters.examples import Message
from adapters.models.frozen import PromptedModel
from adapters.models.generation import greedy_answers
from adapters.models.tokens import load_tokenizer
from bench.tofu.answers import KeptAnswers
from tests.unit.adapters.conftest import save_model

ASKED = [(Message("user", "Who wrote Emma?"),), (Message("user", "Why?"),)]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("model")
    save_model(folder)
    return folder


def test_answers_are_the_models_and_kept_for_the_next_run(folder: Path, tmp_path: Path) -> None:
    tokenizer, model = load_tokenizer(str(folder)), PromptedModel.load(folder)
    file = tmp_path / "answers.json"
    said = KeptAnswers(file, lambda: model, tokenizer)(ASKED, max_tokens=6)
    assert said == greedy_answers(model.model, tokenizer, ASKED, max_tokens=6)
    again = KeptAnswers(file, lambda: pytest.fail("was asked again"), tokenizer)
    assert again(ASKED[::-1], max_tokens=6) == said[::-1]
    assert list(tmp_path.iterdir()) == [file]


def test_only_what_is_missing_is_asked_and_a_longer_answer_is_another(folder: Path, tmp_path: Path) -> None:
    tokenizer, model = load_tokenizer(str(folder)), PromptedModel.load(folder)
    loaded = []

    def load() -> PromptedModel:
        loaded.append(1)
        return model

    answers = KeptAnswers(tmp_path / "answers.json", load, tokenizer)
    (first,) = answers(ASKED[:1], max_tokens=4)
    assert answers(ASKED, max_tokens=4)[0] == first
    assert len(loaded) == 2
    answers(ASKED, max_tokens=4)
    assert len(loaded) == 2
    answers(ASKED[:1], max_tokens=5)
    assert len(loaded) == 3
