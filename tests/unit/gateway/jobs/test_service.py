from __future__ import annotations

import asyncio
from typing import Any, ClassVar

import pytest
from pydantic import SecretStr

from adapters.examples import Message, PartialAnswer
from gateway.jobs.service import (
    CONCURRENCY,
    OFF,
    ServiceAsk,
    ServiceContinue,
    ServiceGoOn,
    ServiceRefused,
    ServiceUnreachable,
    candidate,
    service,
)
from gateway.settings import Settings
from tests.unit.gateway.jobs.stub_service import StubService

QUESTION = [Message("user", "the capital of France?")]


@pytest.fixture
def stub(service: StubService) -> StubService:
    return service


async def test_answers_come_in_order(settings: Settings, stub: StubService) -> None:
    questions = [[Message("user", f"question {i}")] for i in range(30)]
    async with service(settings) as client:
        answers = await client.answers(questions, plan=OFF, max_tokens=5)
    assert answers == [f"The answer to question {i} is Einstein in 1905." for i in range(30)]
    assert stub.asked == {"off": 30}
    assert stub.most <= CONCURRENCY
    body = stub.bodies[0]
    assert (body["model"], body["temperature"], body["max_tokens"]) == ("served-model", 0, 5)


async def test_a_busy_service_is_waited_for(settings: Settings, stub: StubService) -> None:
    stub.busy = 3
    async with service(settings) as client:
        assert await client.answers([QUESTION], plan=OFF, max_tokens=5) == ["Paris."]


async def test_but_not_for_ever(settings: Settings, stub: StubService) -> None:
    stub.busy = 1000
    async with service(settings, patience_s=0.5) as client:
        with pytest.raises(ServiceUnreachable, match="status 503"):
            await client.answers([QUESTION], plan=OFF, max_tokens=5)


async def test_a_service_that_is_not_there(settings: Settings) -> None:
    gone = settings.model_copy(update={"gateway_url": "http://127.0.0.1:9"})
    async with service(gone, patience_s=0.2) as client:
        with pytest.raises(ServiceUnreachable, match="ConnectError"):
            await client.answers([QUESTION], plan=OFF, max_tokens=5)


async def test_a_wrong_token_is_refused_at_once(settings: Settings) -> None:
    stranger = settings.model_copy(update={"operator_token": SecretStr("op-wrong")})
    async with service(stranger) as client:
        with pytest.raises(ServiceRefused, match="operator's token") as refusal:
            await client.answers([QUESTION], plan=OFF, max_tokens=5)
    assert refusal.value.reason == "operator_only"


async def test_ask_from_a_thread(settings: Settings) -> None:
    async with service(settings) as client:
        ask = ServiceAsk(client, asyncio.get_running_loop())
        assert await asyncio.to_thread(ask, [QUESTION, QUESTION], max_tokens=5) == ["Paris."] * 2


async def test_a_beginning_is_gone_on_with(settings: Settings, stub: StubService) -> None:
    """The stub answers the last turn, which is the beginning where there is one."""
    partial = [PartialAnswer(tuple(QUESTION), "Albert"), PartialAnswer(tuple(QUESTION), "")]
    async with service(settings) as client:
        go_on = ServiceContinue(client, asyncio.get_running_loop(), plan=candidate("req_1"))
        written = await asyncio.to_thread(go_on, partial, max_tokens=5)
    assert written == ["The answer to Albert is Einstein in 1905.", "I do not know."]
    assert stub.asked == {"candidate:req_1": 2}
    (begun,) = (body for body in stub.bodies if len(body["messages"]) == 2)
    assert begun["messages"] == [QUESTION[0].to_dict(), {"role": "assistant", "content": "Albert"}]
    assert (begun["add_generation_prompt"], begun["continue_final_message"]) == (False, True)
    (whole,) = (body for body in stub.bodies if body is not begun)
    assert not {"add_generation_prompt", "continue_final_message"} & whole.keys()


class TestGoOn:
    """Plain texts that the original model goes on with."""

    SAMPLING: ClassVar[dict[str, Any]] = {"max_tokens": 48, "temperature": 1.0, "top_k": 50}

    async def test_each_text_is_sampled_with_a_seed_of_its_own(self, settings: Settings, stub: StubService) -> None:
        async with service(settings) as client:
            go_on = ServiceGoOn(client, asyncio.get_running_loop())
            said = await asyncio.to_thread(lambda: go_on(["1. a", "1. b", "1. c"], seed=7, **self.SAMPLING))
        assert said == [f" as sampled with {7 + place} after 1. {text}" for place, text in enumerate("abc")]
        assert stub.asked == {"off": 3}
        assert {(body["model"], body["max_tokens"], body["temperature"], body["top_k"]) for body in stub.bodies} == {
            ("served-model", 48, 1.0, 50)
        }

    async def test_a_text_that_is_too_long_has_no_continuation(self, settings: Settings, stub: StubService) -> None:
        async with service(settings) as client:
            go_on = ServiceGoOn(client, asyncio.get_running_loop())
            said = await asyncio.to_thread(lambda: go_on(["1. a", "x" * 201], seed=0, **self.SAMPLING))
        assert said == [" as sampled with 0 after 1. a", ""]
