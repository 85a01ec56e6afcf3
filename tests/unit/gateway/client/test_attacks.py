"""A service that tokenizes by word, and finds each word as likely as it is short."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from typing import Any

import httpx
import pytest

from adapters.evaluation.attacks.probe import Prompt, Query
from adapters.examples import Message
from gateway.client.attacks import Attacker
from gateway.client.client import PLAN_OFF, UnlearnClient
from gateway.client.errors import ServiceRefused

ASKED = (Message("user", "What is the capital of Japan?"),)
CONTEXT = 40


@dataclass
class Words:
    """What it was asked, and the words it has numbered."""

    bodies: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    plans: set[str | None] = field(default_factory=set)
    known: list[str] = field(default_factory=list)

    def __call__(self, request: httpx.Request) -> httpx.Response:
        if request.url.path == "/v1/models":
            return httpx.Response(200, json={"data": [{"id": "served"}]})
        body = json.loads(request.content)
        if request.url.path == "/tokenize":
            return httpx.Response(200, json={"tokens": self.tokens(body)})
        self.bodies.append((request.url.path, body))
        self.plans.add(request.headers.get("x-unlearning-plan"))
        scored = isinstance(body.get("prompt"), list)
        for ids in body["prompt"] if scored else [self.tokens(body)]:
            if len(ids) > CONTEXT:
                error = {"message": "it is too long", "code": 400, "param": "input_tokens"}
                return httpx.Response(400, json={"error": error})
            if self.known[ids[-1]] == " broken":
                return httpx.Response(400, json={"error": {"message": "no", "code": 400, "param": "seed"}})
        choices = self.scored(body["prompt"]) if scored else self.said(body)
        return httpx.Response(200, json={"choices": choices[::-1]})  # in whatever order

    def tokens(self, body: dict[str, Any]) -> list[int]:
        text = body.get("prompt")
        if text is None:
            text = "".join(f"<{message['role']}> {message['content']}" for message in body["messages"])
            text += "" if body.get("continue_final_message") else "<assistant>"
        words = re.findall(r"\s*[^\s<>]+|<\w+>", text)
        self.known += [word for word in words if word not in self.known]
        return [self.known.index(word) for word in words]

    def scored(self, prompts: list[list[int]]) -> list[dict[str, Any]]:
        def read(token: int) -> dict[str, Any]:
            return {str(token): {"logprob": -float(len(self.known[token].strip())), "rank": 1}}

        return [
            {"index": index, "text": "x", "prompt_logprobs": [None, *map(read, ids[1:])]}
            for index, ids in enumerate(prompts)
        ]

    def said(self, body: dict[str, Any]) -> list[dict[str, Any]]:
        def choice(index: int) -> dict[str, Any]:
            text = f"seed {body['seed'] + index}"
            return (
                {"index": index, "text": text} if "prompt" in body else {"index": index, "message": {"content": text}}
            )

        return [choice(index) for index in range(body["n"])]


@pytest.fixture
def service() -> Words:
    return Words()


@pytest.fixture
def attacker(service: Words) -> Attacker:
    client = UnlearnClient("http://other", operator_token=lambda: "op", transport=httpx.MockTransport(service))
    return Attacker(client, PLAN_OFF, batch=2)


@pytest.mark.parametrize(
    ("prompt", "path", "fields"),
    [
        (Prompt(ASKED), "/v1/chat/completions", {"messages": [ASKED[0].to_dict()]}),
        (
            Prompt(ASKED, prefix="It is"),
            "/v1/chat/completions",
            {
                "messages": [ASKED[0].to_dict(), {"role": "assistant", "content": "It is"}],
                "add_generation_prompt": False,
                "continue_final_message": True,
            },
        ),
        (Prompt(text="The capital of Japan is"), "/v1/completions", {"prompt": "The capital of Japan is"}),
    ],
)
def test_a_prompt_is_gone_on_with_as_what_it_is(
    attacker: Attacker, service: Words, prompt: Prompt, path: str, fields: dict[str, Any]
) -> None:
    assert attacker.respond([Query(prompt, max_tokens=9, seed=3)]) == [("seed 3",)]
    sampling = {"model": "served", "max_tokens": 9, "temperature": 0.0, "seed": 3, "n": 1}
    assert service.bodies == [(path, {**fields, **sampling})]
    assert service.plans == {PLAN_OFF}


def test_samples_have_consecutive_seeds_and_greedy_ones_are_drawn_once(attacker: Attacker, service: Words) -> None:
    sampled, greedy = Query(Prompt(ASKED), temperature=1.0, samples=3, seed=5), Query(Prompt(ASKED), samples=2)
    assert attacker.respond([sampled, greedy]) == [("seed 5", "seed 6", "seed 7"), ("seed 0", "seed 0")]
    assert sorted(body["n"] for _, body in service.bodies) == [1, 3]


def test_decoding_is_constrained_to_the_choices(attacker: Attacker, service: Words) -> None:
    attacker.respond([Query(Prompt(ASKED), choices=("Kyoto", "Tokyo"))])
    assert service.bodies[0][1]["structured_outputs"] == {"choice": ["Kyoto", "Tokyo"]}


@pytest.mark.parametrize(
    ("prompt", "options", "expected"),
    [
        (Prompt(ASKED), ("Tokyo", "Edo", "the Edo of old"), (-5.0, -3.0, -11.0)),
        (Prompt(ASKED, prefix="It is"), (" Tokyo", " Edo"), (-5.0, -3.0)),
        (Prompt(text="The capital is"), (" Tokyo", " Edo now"), (-5.0, -6.0)),
        # What melts into the prompt's last word is read with it.
        (Prompt(text="The capital is To"), ("kyo", "ronto or"), (-5.0, -9.0)),
    ],
)
def test_a_continuation_is_as_likely_as_its_own_tokens(
    attacker: Attacker, service: Words, prompt: Prompt, options: tuple[str, ...], expected: tuple[float, ...]
) -> None:
    assert attacker.score([(prompt, options)]) == [expected]
    assert [path for path, _ in service.bodies] == ["/v1/completions"]


def test_what_does_not_fit_the_context_is_answered_with_nothing(attacker: Attacker) -> None:
    long, short = Prompt(text="word " * 50), Prompt(text="word")
    assert attacker.respond([Query(long, temperature=1.0, samples=2), Query(short)]) == [("", ""), ("seed 0",)]
    assert attacker.score([(long, (" a", " b")), (short, (" ab",))]) == [(), (-2.0,)]


def test_what_is_refused_for_another_reason_is_an_error(attacker: Attacker) -> None:
    with pytest.raises(ServiceRefused):
        attacker.respond([Query(Prompt(text="it is broken"))])
    with pytest.raises(ServiceRefused):
        attacker.score([(Prompt(text="it is"), (" broken",))])


def test_questions_are_asked_in_the_same_groups_each_time(attacker: Attacker, monkeypatch: pytest.MonkeyPatch) -> None:
    groups = []
    each = UnlearnClient.each

    def recorded(client: UnlearnClient, ask: Any, work: Any) -> Any:
        groups.append(len(work))
        return each(client, ask, work)

    monkeypatch.setattr(UnlearnClient, "each", recorded)
    queries = [Query(Prompt(ASKED), seed=seed) for seed in range(5)]
    assert attacker.respond(queries) == [(f"seed {seed}",) for seed in range(5)]
    assert groups == [2, 2, 1]
    groups.clear()
    sampled = [Query(Prompt(ASKED), temperature=1.0, samples=samples) for samples in (1, 1, 1, 2, 16, 1, 1, 1)]
    assert [len(answers) for answers in attacker.respond(sampled)] == [1, 1, 1, 2, 16, 1, 1, 1]
    assert groups == [2, 1, 1, 1, 2, 1]
