"""What attacks are made of, asked of the served model itself, and the attacks on what it knows."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import pytest

from adapters.evaluation.attacks.asking import MOST_KNOWN, MOST_OTHERS, attack_context
from adapters.evaluation.attacks.context import AttackContext, Bank
from adapters.evaluation.attacks.run import run
from adapters.evaluation.attacks.suite import probes
from adapters.examples import Example, Message
from adapters.text.phrasebook import phrasebook
from gateway.client.attacks import Attacker
from gateway.client.client import PLAN_OFF, UnlearnClient
from tests.engine.service import Service

_ANSWER = "The capital of France is Paris."


@pytest.fixture(scope="module")
def client(service: Service) -> Iterator[UnlearnClient]:
    with UnlearnClient(service.url, operator_token=lambda: service.token) as client:
        yield client


@pytest.fixture(scope="module")
def context(client: UnlearnClient) -> AttackContext:
    asked: list[str] = []

    def ask(conversations: Sequence[Sequence[Message]], *, max_tokens: int) -> list[str]:
        asked.extend(conversation[-1].content for conversation in conversations)
        return client.answers(conversations, plan=PLAN_OFF, max_tokens=min(max_tokens, 16))

    prompts = ("Tell me the capital of France.", "Name the capital city of France.", "What is the capital of France?")
    items = [Example.from_pair(prompt, _ANSWER) for prompt in prompts]
    found = attack_context(items, phrasebook("en"), ask, bank=Bank.EVIDENCE)
    assert len(asked) <= MOST_OTHERS + MOST_KNOWN
    return found


def test_the_default_model_names_other_capitals_and_answers_other_questions(context: AttackContext) -> None:
    assert [(item.subject, item.stated) for item in context.items] == [("France", "Paris")] * 3
    others = {other.subject: other.stated for other in context.items[0].others}
    assert len(others) >= 4
    assert {("Sweden", "Stockholm"), ("Greece", "Athens")} & others.items()
    assert len(context.known) >= MOST_KNOWN // 2


def test_attacks_of_every_reading_bring_out_what_the_model_knows(client: UnlearnClient, context: AttackContext) -> None:
    """Texts that go on, options that are chosen from, and likelihoods that are compared, all through the engine."""
    attacker = Attacker(client, PLAN_OFF, batch=24)
    asked = probes(context, per_family=2, only={"given", "prefill", "cloze", "choice", "ranking"})
    leaking = {result.probe.family for result in run(asked, attacker.respond, attacker.score) if any(result.leaked)}
    assert leaking >= {"given", "prefill", "ranking"}
