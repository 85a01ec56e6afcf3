from __future__ import annotations

from pathlib import Path
from typing import Any

import httpx
import pytest

from adapters.evaluation.served import ServedModel
from adapters.evaluation.tofu.scoring import score
from adapters.models.frozen import PromptedModel
from adapters.models.tokens import load_tokenizer
from bench.tofu.client import Client
from bench.tofu.questions import Question
from bench.tofu.score import measure
from gateway.client.errors import ServiceRefused
from tests.unit.adapters.conftest import save_model
from tests.unit.bench.tofu.served_toy import ToyService

QUESTIONS = (
    Question(191, "Who wrote Zorba?", "Nikos wrote it.", "It is by Nikos.", ("It is by Bo.", "It is by Al.")),
    Question(191, "Who is Nikos?", "A writer."),
)


@pytest.fixture(scope="module")
def toy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_model(tmp_path_factory.mktemp("toy"))


@pytest.fixture
def tokenizer(toy: Path) -> Any:
    return load_tokenizer(str(toy))


@pytest.fixture
def service(toy: Path, tokenizer: Any) -> ToyService:
    return ToyService(PromptedModel.load(toy), tokenizer)


def test_figures_over_http_are_those_of_the_model(
    toy: Path, tokenizer: Any, service: ToyService, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bench.tofu.score.MAX_TOKENS", 8)
    client = Client("http://toy", transport=service.transport)
    ours = score(QUESTIONS, client.hear(QUESTIONS))
    theirs = measure(ServedModel(PromptedModel.load(toy)), tokenizer, QUESTIONS)
    assert ours.rouge_l == theirs.rouge_l
    assert ours.probability == pytest.approx(theirs.probability, rel=1e-4)
    assert ours.truth_ratio == pytest.approx(theirs.truth_ratio, rel=1e-4)
    assert ours.extraction == theirs.extraction


def test_the_plan_is_named_in_every_request(service: ToyService) -> None:
    Client("http://toy", {"x-unlearning-plan": "candidate:req_1"}, service.transport).hear(QUESTIONS[1:])
    assert {request.headers["x-unlearning-plan"] for request in service.requests} == {"candidate:req_1"}
    assert len(service.bodies("/v1/completions")) == len(service.bodies("/v1/chat/completions")) == 1
    assert all(body["temperature"] == 0 for body in service.bodies("/v1/chat/completions"))


def test_a_service_that_refuses_is_an_error() -> None:
    transport = httpx.MockTransport(lambda _: httpx.Response(503))
    with pytest.raises(ServiceRefused):
        Client("http://toy", transport=transport).hear(QUESTIONS)
