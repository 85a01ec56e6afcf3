"""The client as the worker has it, against a service on a real socket."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import SecretStr

from adapters.examples import Message, PartialAnswer
from gateway.client.client import PLAN_OFF, candidate_plan
from gateway.client.errors import ServiceRefused, ServiceUnreachable
from gateway.jobs.service import CONCURRENCY, service
from gateway.settings import Settings
from tests.unit.gateway.jobs.stub_service import StubService

QUESTION = [Message("user", "the capital of France?")]


@pytest.fixture
def stub(service: StubService) -> StubService:
    return service


def test_answers_come_in_order(settings: Settings, stub: StubService) -> None:
    questions = [[Message("user", f"question {i}")] for i in range(30)]
    with service(settings) as client:
        answers = client.answers(questions, plan=PLAN_OFF, max_tokens=5)
    assert answers == [f"The answer to question {i} is Einstein in 1905." for i in range(30)]
    assert stub.asked == {"off": 30}
    assert stub.most <= CONCURRENCY
    body = stub.bodies[0]
    assert (body["model"], body["temperature"], body["max_tokens"]) == ("served-model", 0, 5)


def test_a_busy_service_is_waited_for(settings: Settings, stub: StubService) -> None:
    stub.busy = 3
    with service(settings) as client:
        assert client.answers([QUESTION], plan=PLAN_OFF, max_tokens=5) == ["Paris."]


def test_but_not_for_ever(settings: Settings, stub: StubService) -> None:
    stub.busy = 1000
    with service(settings, patience_s=0.5) as client, pytest.raises(ServiceRefused, match="starting") as refusal:
        client.answers([QUESTION], plan=PLAN_OFF, max_tokens=5)
    assert (refusal.value.answered, refusal.value.code) == (503, "not_ready")


def test_a_service_that_is_not_there(settings: Settings) -> None:
    gone = settings.model_copy(update={"gateway_url": "http://127.0.0.1:9"})
    with service(gone, patience_s=0.2) as client, pytest.raises(ServiceUnreachable, match="ConnectError"):
        client.answers([QUESTION], plan=PLAN_OFF, max_tokens=5)


def test_a_wrong_token_is_refused_at_once(settings: Settings) -> None:
    stranger = settings.model_copy(update={"operator_token": SecretStr("op-wrong")})
    with service(stranger) as client, pytest.raises(ServiceRefused, match="operator's token") as refusal:
        client.answers([QUESTION], plan=PLAN_OFF, max_tokens=5)
    assert refusal.value.code == "operator_only"


def test_a_beginning_is_gone_on_with(settings: Settings, stub: StubService) -> None:
    """The stub answers the last turn, which is the beginning where there is one."""
    partial_answers = [PartialAnswer(tuple(QUESTION), "Albert"), PartialAnswer(tuple(QUESTION), "")]
    with service(settings) as client:
        written = client.continuations(partial_answers, plan=candidate_plan("req_1"), max_tokens=5)
    assert written == ["The answer to Albert is Einstein in 1905.", "I do not know."]
    assert stub.asked == {"candidate:req_1": 2}
    (begun,) = (body for body in stub.bodies if len(body["messages"]) == 2)
    assert begun["messages"] == [QUESTION[0].to_dict(), {"role": "assistant", "content": "Albert"}]
    assert (begun["add_generation_prompt"], begun["continue_final_message"]) == (False, True)
    (whole,) = (body for body in stub.bodies if body is not begun)
    assert not {"add_generation_prompt", "continue_final_message"} & whole.keys()


def test_plain_texts_are_sampled_with_a_seed_each_and_too_long_ones_have_no_continuation(
    settings: Settings, stub: StubService
) -> None:
    sampling: dict[str, Any] = {"max_tokens": 48, "temperature": 1.0, "top_k": 50}
    with service(settings) as client:
        said = client.go_on(["1. a", "1. b", "x" * 201], plan=PLAN_OFF, seed=7, **sampling)
    assert said == [" as sampled with 7 after 1. a", " as sampled with 8 after 1. b", ""]
    assert stub.asked == {"off": 2}
    assert {(body["model"], body["max_tokens"], body["temperature"], body["top_k"]) for body in stub.bodies} == {
        ("served-model", 48, 1.0, 50)
    }
