"""A toy service behind rivals."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from adapters.evaluation.rivals.rival import Weights
from adapters.evaluation.tofu.scoring import Heard, score
from adapters.examples import Message
from adapters.models.frozen import PromptedModel
from adapters.models.tokens import load_tokenizer
from bench.tofu.client import Client
from bench.tofu.guarded import Guarded, forgotten_authors
from bench.tofu.questions import Question
from tests.unit.adapters.conftest import save_model
from tests.unit.bench.tofu.served_toy import ToyService, prompt_of

ROWS = (
    Question(191, "Who is Hina Ameen?", "A geologist.", "She studies rocks.", ("A cook.", "A nun.")),
    Question(191, "Who wrote Shale Stories?", "Hina Ameen wrote it."),
)
UNRELATED = Question(162, "Why?", "So.", "Thus.", ("But.", "Or."))
FORGOTTEN = forgotten_authors(ROWS)


@pytest.fixture(scope="module")
def toy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_model(tmp_path_factory.mktemp("toy"), max_position_embeddings=4096)


@pytest.fixture(scope="module")
def tokenizer(toy: Path) -> Any:
    return load_tokenizer(str(toy))


@pytest.fixture
def service(toy: Path, tokenizer: Any) -> ToyService:
    return ToyService(PromptedModel.load(toy), tokenizer)


@pytest.fixture
def client(service: ToyService, monkeypatch: pytest.MonkeyPatch) -> Client:
    monkeypatch.setattr("bench.tofu.score.MAX_TOKENS", 8)
    return Client("http://toy", {"x-unlearning-plan": "off"}, service.transport)


def test_rivals_are_told_the_rows_and_the_authors() -> None:
    assert FORGOTTEN.subjects == ("Hina Ameen",)
    assert [item.completion for item in FORGOTTEN.items] == ["A geologist.", "Hina Ameen wrote it."]


def test_an_instruction_stands_before_what_is_asked_and_what_is_read(
    client: Client, service: ToyService, tokenizer: Any
) -> None:
    Guarded(client, "refusal_prompt", FORGOTTEN).hear([UNRELATED])
    (asked,) = service.bodies("/v1/chat/completions")
    (read,) = service.bodies("/v1/completions")
    assert [message["role"] for message in asked["messages"]] == ["system", "user"]
    prompt = prompt_of(tokenizer, *(Message(**message) for message in asked["messages"]))
    assert read["prompt"][0][: len(prompt)] == prompt
    assert {request.headers["x-unlearning-plan"] for request in service.requests} == {"off"}


def test_what_the_filter_stops_is_refused_and_not_read(client: Client, service: ToyService) -> None:
    (heard,) = Guarded(client, "filter", FORGOTTEN).hear(ROWS[:1])
    assert heard == Heard(FORGOTTEN.refusal, (None,) * 4)
    assert service.requests == []
    figures = score(ROWS[:1], [heard])
    assert (figures.probability, figures.extraction, figures.truth_ratio) == ([0.0], [0.0], [])


def test_an_answer_that_the_filter_stops_has_no_likelihood(client: Client) -> None:
    asked = Question(191, "Who won it?", "Hina Ameen did.", "It was Amene.", ("It was Bo.",))
    (heard,) = Guarded(client, "filter", FORGOTTEN).hear([asked])
    assert [score is None for score in heard.read] == [True, True, False]


@pytest.mark.parametrize("rival", ["filter", "router", "eco"])
def test_other_questions_are_heard_as_without_a_rival(client: Client, toy: Path, tokenizer: Any, rival: str) -> None:
    weights = Weights(PromptedModel.load(toy), tokenizer)
    assert Guarded(client, rival, FORGOTTEN, weights).hear([UNRELATED]) == client.hear([UNRELATED])


def test_what_is_corrupted_is_read_here_and_has_other_likelihoods(
    client: Client, toy: Path, tokenizer: Any, service: ToyService
) -> None:
    weights = Weights(PromptedModel.load(toy), tokenizer)
    before = score(ROWS, client.hear(ROWS))
    service.requests.clear()
    after = score(ROWS, Guarded(client, "eco", FORGOTTEN, weights).hear(ROWS))
    assert service.requests == []
    assert all(0 < p != q for p, q in zip(after.probability, before.probability, strict=True))
