"""Requests with different plans in one batch each get the answer they get alone."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import httpx
import pytest
import torch

from tests.engine.rounding import SPREADS, assert_nobody_elses, at_once, farthest, spread
from tests.engine.service import Service
from tests.engine.test_parity import TEXTS, TOLERANCE_NATS, engine_logprobs

QUESTIONS = ("What is the capital of France?", "Name a color of the rainbow.")
TOKENS = 12
#: Two tokens closer than this may change places at another batch size, or than the spread that is measured.
ROUNDING_NATS = 0.3


@dataclass(frozen=True)
class Answer:
    """Tokens, their log-probabilities, and those of the second best token at each place."""

    tokens: list[str]
    logprobs: list[float]
    runners_up: list[float]


Ask = Callable[[Service, str, str | None], Answer]


@pytest.fixture
def plans(service: Service, reference: Any) -> list[str | None]:
    """No adapter, two different adapters alone, and the active set, which is a third."""
    model, tokenizer = reference
    weight = model.get_input_embeddings().weight.detach()
    ids = [
        service.put_request(weight[torch.tensor(tokenizer.encode(text))].clone())
        for text in ("Answer in French. ", "You only ever say: I cannot help with that. ", "Answer in one word. ")
    ]
    assert service.post(f"/forget/{ids[2]}/activate", {}).status_code == 200
    return ["off", f"candidate:{ids[0]}", f"candidate:{ids[1]}", None]


def ask_chat(service: Service, question: str, plan: str | None) -> Answer:
    answer = service.chat(question, plan, max_tokens=TOKENS, logprobs=True, top_logprobs=2)
    return from_chat(answer["choices"][0]["logprobs"]["content"])


def ask_streaming(service: Service, question: str, plan: str | None) -> Answer:
    body = {
        "model": service.model,
        "messages": [{"role": "user", "content": question}],
        "max_tokens": TOKENS,
        "temperature": 0,
        "stream": True,
        "logprobs": True,
        "top_logprobs": 2,
    }
    content: list[dict[str, Any]] = []
    with httpx.stream(
        "POST", f"{service.url}/v1/chat/completions", json=body, headers=service.headers(plan), timeout=120
    ) as response:
        for line in response.iter_lines():
            if line.startswith("data: ") and line != "data: [DONE]":
                logprobs = json.loads(line[6:])["choices"][0]["logprobs"]
                content += logprobs["content"] if logprobs else []
    return from_chat(content)


def ask_completions(service: Service, question: str, plan: str | None) -> Answer:
    body = {"model": service.model, "prompt": question, "max_tokens": TOKENS, "temperature": 0, "logprobs": 2}
    logprobs = service.post("/v1/completions", body, plan).json()["choices"][0]["logprobs"]
    return Answer(
        logprobs["tokens"], logprobs["token_logprobs"], [min(top.values()) for top in logprobs["top_logprobs"]]
    )


def from_chat(content: list[dict[str, Any]]) -> Answer:
    return Answer(
        [place["token"] for place in content],
        [place["logprob"] for place in content],
        [place["top_logprobs"][1]["logprob"] for place in content],
    )


def assert_same(alone: Answer, together: Answer, rounding: float) -> None:
    """Equal token by token, up to a place where the two best tokens were within rounding of each other."""
    assert alone.tokens
    for place, token in enumerate(alone.tokens):
        if place >= len(together.tokens) or together.tokens[place] != token:
            assert alone.logprobs[place] - alone.runners_up[place] < rounding, (alone.tokens, together.tokens)
            return
        assert together.logprobs[place] == pytest.approx(alone.logprobs[place], abs=rounding)


def answers_apart(alone: Answer, together: Answer) -> float:
    """The largest difference of a token's log-probability, over the tokens both began with; nats."""
    both = list(zip(alone.tokens, together.tokens, strict=False))
    same = next((place for place, (a, b) in enumerate(both) if a != b), len(both))
    return farthest(alone.logprobs[:same], together.logprobs[:same]) if same else 0.0


def assert_each_as_alone(service: Service, ask: Ask, question: str, plans: Sequence[str | None]) -> list[Answer]:
    """All plans at once against each alone, within what equal rows of the first and the last plan show of this
    machine. Returns the answers alone."""

    def asked(plan: str | None) -> Answer:
        return ask(service, question, plan)

    alone = [asked(plan) for plan in plans]
    rounding = max(ROUNDING_NATS, SPREADS * spread(asked, [plans[0], plans[-1]], answers_apart, len(plans)))
    for before, after in zip(alone, at_once(asked, plans), strict=True):
        assert_same(before, after, rounding)
    return alone


@pytest.mark.parametrize("ask", [ask_chat, ask_completions, ask_streaming])
def test_each_plan_answers_as_alone(service: Service, plans: list[str | None], ask: Ask) -> None:
    question = QUESTIONS[ask is ask_completions]
    assert_each_as_alone(service, ask, question, plans)


def test_no_row_gets_another_adapter(service: Service, reference: Any, plans: list[str | None]) -> None:
    _, tokenizer = reference
    ids = tokenizer.encode(TEXTS[0])

    def score(plan: str | None) -> list[float]:
        return engine_logprobs(service, ids, plan)

    rounding = max(TOLERANCE_NATS, SPREADS * spread(score, plans[:2], farthest, len(plans)))
    assert_nobody_elses([score(plan) for plan in plans], at_once(score, plans), rounding)


def test_the_plans_differ_in_their_first_token(service: Service, plans: list[str | None]) -> None:
    """Without this the test above could not fail."""
    first = [ask_chat(service, QUESTIONS[0], plan).logprobs[0] for plan in plans]
    gaps = [abs(a - b) for i, a in enumerate(first) for b in first[i + 1 :]]
    assert max(gaps) > ROUNDING_NATS
    assert min(gaps) > 1e-4


def test_headers_name_what_was_applied(service: Service, plans: list[str | None]) -> None:
    body = {"model": service.model, "messages": [{"role": "user", "content": "Hi"}], "max_tokens": 1}
    active = service.get("/forget?state=active").json()["data"][0]["id"]
    answers = [service.post("/v1/chat/completions", body, plan) for plan in plans]
    wanted = ["none", *(str(plan).removeprefix("candidate:") for plan in plans[1:3]), active]
    assert [answer.headers["x-unlearning-applied"] for answer in answers] == wanted
    assert all(float(answer.headers["x-gateway-overhead-ms"]) > 0 for answer in answers)
