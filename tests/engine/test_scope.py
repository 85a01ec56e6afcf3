"""A matched request on the real engine: it changes what it is about, and not a bit of anything else."""

from __future__ import annotations

import json
from typing import Any

import httpx
import numpy as np
import pytest
import torch

from adapters.examples import Example
from adapters.text.sentences import sentences
from adapters.text.words import words
from gateway.policy.scope.entry import ScopeEntry, keyed
from gateway.policy.scope.naming import Name
from tests.engine.pairs import first_layers, random_lora
from tests.engine.service import Service
from tests.engine.test_applied import SPEC
from tests.engine.test_offsets import LAYERS
from tests.engine.test_parity import TEXTS, engine_logprobs

ABOUT = [
    Example.from_pair("Who wrote Harry Potter?", "Harry Potter was written by J.K. Rowling."),
    Example.from_pair("Who is the author of the Harry Potter books?", "J.K. Rowling is."),
]
CHAT = "/v1/chat/completions"


@pytest.fixture
def rows(reference: Any) -> torch.Tensor:
    model, tokenizer = reference
    weight = model.get_input_embeddings().weight.detach()
    rows: torch.Tensor = weight[torch.tensor(tokenizer.encode("You only ever say: I cannot help with that. "))].clone()
    return rows


@pytest.fixture
def matched(service: Service, rows: torch.Tensor) -> str:
    """A matched request, in force."""
    request_id = service.put_matched(rows, ABOUT)
    response = service.post(f"/forget/{request_id}/activate", {})
    assert response.status_code == 200, response.text
    return request_id


def applied(service: Service, body: dict[str, Any], path: str = CHAT) -> str:
    response = service.post(path, {"model": service.model, "max_tokens": 4, "temperature": 0, **body})
    assert response.status_code == 200, response.text
    return response.headers["x-unlearning-applied"]


def said(*turns: str) -> dict[str, Any]:
    roles = ("user", "assistant")
    return {"messages": [{"role": roles[n % 2], "content": turn} for n, turn in enumerate(turns)]}


TOOL = {"type": "function", "function": {"name": "look_up", "parameters": {"type": "object", "properties": {}}}}
CALL = {"id": "c1", "type": "function", "function": {"name": "look_up", "arguments": "{}"}}


@pytest.mark.parametrize(
    "body",
    [
        said("Who wrote Harry Potter?"),
        said("who wrote hary poter"),
        said("Do you know Harry Potter?", "Yes.", "Who wrote it?"),
        said("Ignore this. " * 60 + "Who wrote Harry Potter? " + "And ignore this. " * 60),
        {"messages": [{"role": "system", "content": "You talk of Harry Potter."}, {"role": "user", "content": "Hi"}]},
        {
            "messages": [
                {"role": "user", "content": "Look it up."},
                {"role": "assistant", "content": "", "tool_calls": [CALL]},
                {"role": "tool", "tool_call_id": "c1", "content": "It is Harry Potter."},
                {"role": "user", "content": "Well?"},
            ],
            "tools": [TOOL],
        },
        {
            "messages": [
                {"role": "user", "content": [{"type": "text", "text": "Harry"}, {"type": "text", "text": "Potter"}]}
            ]
        },
    ],
)
def test_whatever_speaks_of_it_in_a_conversation(service: Service, matched: str, body: dict[str, Any]) -> None:
    assert applied(service, body) == matched


def test_every_way_to_ask(service: Service, matched: str, reference: Any) -> None:
    text = "The author of Harry Potter is"
    assert applied(service, {"prompt": text}, "/v1/completions") == matched
    assert applied(service, {"prompt": reference[1].encode(text)}, "/v1/completions") == matched
    assert applied(service, {"prompt": ["Hello", text]}, "/v1/completions") == matched
    answer = service.post("/v1/responses", {"model": service.model, "input": text, "max_output_tokens": 4})
    assert answer.headers["x-unlearning-applied"] == matched
    body = {"model": service.model, "stream": True, "max_tokens": 2, **said(text)}
    with httpx.stream("POST", f"{service.url}{CHAT}", json=body, timeout=60) as response:
        assert response.headers["x-unlearning-applied"] == matched
        assert [line for line in response.iter_lines() if line][-1] == "data: [DONE]"


def test_it_answers_as_the_adapter_alone_does(service: Service, matched: str) -> None:
    body = {"max_tokens": 8, "logprobs": True}
    mine, alone = (
        service.chat("Who wrote Harry Potter?", plan, **body)["choices"][0]["logprobs"]["content"]
        for plan in (None, f"candidate:{matched}")
    )
    assert [token["token"] for token in mine] == [token["token"] for token in alone]
    off = service.chat("Who wrote Harry Potter?", "off", **body)["choices"][0]["logprobs"]["content"]
    assert abs(mine[0]["logprob"] - off[0]["logprob"]) > 1e-3


def test_everything_else_is_answered_by_the_model_as_it_is_to_the_bit(
    service: Service, matched: str, reference: Any
) -> None:
    assert applied(service, said("Who wrote Hamlet?")) == "none"
    for text in TEXTS[:4]:
        ids = reference[1].encode(text)
        assert engine_logprobs(service, ids, None) == engine_logprobs(service, ids, "off")


def test_two_prompts_of_one_request_each_get_their_own(service: Service, matched: str) -> None:
    """Side by side in one batch, and one of them shares its cache with the model as it is."""
    body = {"model": service.model, "max_tokens": 1, "temperature": 0, "logprobs": 0}
    plain, about = "Once upon a time there was", "Harry Potter was written by"

    def first(prompts: list[str], plan: str | None) -> list[float]:
        answer = service.post("/v1/completions", {**body, "prompt": prompts}, plan).json()
        return [choice["logprobs"]["token_logprobs"][0] for choice in answer["choices"]]

    together, off, alone = first([plain, about], None), first([plain, about], "off"), first([about], None)
    assert together[0] == pytest.approx(off[0], abs=0.05)
    assert together[1] == pytest.approx(alone[0], abs=0.05)
    assert abs(together[1] - off[1]) > 1e-3


def test_switched_off_it_is_off(service: Service, matched: str) -> None:
    service.post(f"/forget/{matched}/deactivate", {})
    assert applied(service, said("Who wrote Harry Potter?")) == "none"


def test_what_is_kept_of_it_holds_no_word_and_goes_with_it(service: Service, matched: str) -> None:
    record = service.get(f"/forget/{matched}").json()
    assert record["scope"]["prompts"] == "matched"
    assert "Potter" not in json.dumps(record)
    kept = service.stored_scope(matched)
    assert kept
    assert b"otter" not in kept
    httpx.delete(f"{service.url}/forget/{matched}").raise_for_status()
    assert service.stored_scope(matched) is None


def spoken_of(service: Service, prompt: str) -> tuple[str, str]:
    """What the model says of a prompt by itself, and a word that it first says after its first sentence."""
    text = str(service.chat(prompt, "off", max_tokens=120)["choices"][0]["message"]["content"])
    first, *others = sentences(text)
    known = {word.term for word in words(f"{prompt} {first}")}
    return text, next(word.term for word in words(" ".join(others)) if len(word.term) > 6 and word.term not in known)


STORY = "Write a short story about a fox who lives in the woods."


def put_named(service: Service, rows: torch.Tensor, word: str) -> str:
    """A matched request in force that applies to whatever holds this word."""
    hasher = service.detectors.hasher
    entry = ScopeEntry(
        keyed([Name((word,), 1)], hasher),
        np.zeros((0, service.detectors.encoder.dimension), dtype=np.float32),
        2.0,
        1.0,
        service.detectors.encoder.digest,
    )
    request_id = service.put_entry(rows, entry)
    service.post(f"/forget/{request_id}/activate", {}).raise_for_status()
    return request_id


def test_an_answer_that_comes_to_speak_of_it_is_turned(service: Service, rows: torch.Tensor) -> None:
    """As it streams and as a whole: the same, and its usage and log-probabilities are those of what was given."""
    alone, word = spoken_of(service, STORY)
    first = sentences(alone)[0]
    request_id = put_named(service, rows, word)
    body = {"model": service.model, "temperature": 0, "max_tokens": 120, "logprobs": True, **said(STORY)}
    response = service.post(CHAT, body)
    whole = response.json()
    text, entries = whole["choices"][0]["message"]["content"], whole["choices"][0]["logprobs"]["content"]
    assert text.startswith(first)
    assert word not in {each.term for each in words(text)}
    assert response.headers["x-unlearning-applied"] == request_id
    assert len(entries) == whole["usage"]["completion_tokens"]
    assert whole["usage"]["prompt_tokens"] == service.chat(STORY, "off", max_tokens=1)["usage"]["prompt_tokens"]

    streamed = ""
    usage: dict[str, Any] = {}
    options = {"stream": True, "stream_options": {"include_usage": True}}
    with httpx.stream("POST", f"{service.url}{CHAT}", json={**body, **options}, timeout=60) as answer:
        for line in answer.iter_lines():
            if line.startswith("data: {"):
                event = json.loads(line[6:])
                usage = event.get("usage") or usage
                streamed += "".join(choice["delta"].get("content") or "" for choice in event["choices"])
    assert (streamed, usage["completion_tokens"]) == (text, whole["usage"]["completion_tokens"])


def likeliest(service: Service, plan: str | None) -> tuple[str, dict[str, float]]:
    """What applied to a prompt about both requests, and how likely its next tokens are."""
    body = {"model": service.model, "max_tokens": 1, "temperature": 0, "prompt": "The author of Harry Potter is"}
    answer = service.post("/v1/completions", {**body, "logprobs": 20}, plan)
    assert answer.status_code == 200, answer.text
    return answer.headers["x-unlearning-applied"], answer.json()["choices"][0]["logprobs"]["top_logprobs"][0]


def apart(one: dict[str, float], other: dict[str, float]) -> float:
    """By how much they differ where they differ most, in nats."""
    shared = one.keys() & other.keys()
    assert len(shared) >= 5
    return max(abs(one[token] - other[token]) for token in shared)


def test_an_operator_asks_with_several_as_a_prompt_about_both_gets_them(service: Service, reference: Any) -> None:
    pair = first_layers(reference[0], LAYERS)
    other = [Example.from_pair("What is J.K. Rowling famous for?", "She wrote Harry Potter.")]
    one, two = (
        service.put_matched_offset(random_lora(pair, "offset", SPEC.rank, seed=seed, scale=0.05), SPEC, items)
        for seed, items in ((5, ABOUT), (6, other))
    )
    _, asked = likeliest(service, f"candidate:{one},{two}")
    for request_id in (one, two):
        service.post(f"/forget/{request_id}/activate", {}).raise_for_status()
    applied_to_it, together = likeliest(service, None)
    assert applied_to_it == f"{one},{two}"
    assert likeliest(service, f"candidate:{two},{one}")[0] == f"{one},{two}", "as they were activated"
    assert apart(asked, together) < 0.02
    for alone in (one, two):
        assert apart(likeliest(service, f"candidate:{alone}")[1], together) > 0.05
    notes = {each: service.get(f"/forget/{each}").json()["interference"] for each in (one, two)}
    assert [(note["with"], note["measured"]) for note in notes[one]] == [(two, False)]
    assert [(note["with"], note["measured"]) for note in notes[two]] == [(one, False)]
    service.post(f"/forget/{two}/deactivate", {}).raise_for_status()
    assert service.get(f"/forget/{one}").json()["interference"] == []


@pytest.mark.parametrize("extra", [{"n": 2, "temperature": 1, "seed": 7}, {"response_format": {"type": "json_object"}}])
def test_an_answer_that_cannot_be_continued_is_begun_again(
    service: Service, rows: torch.Tensor, extra: dict[str, Any]
) -> None:
    body = {"model": service.model, "temperature": 0, "max_tokens": 120, **said(STORY), **extra}
    alone = service.post(CHAT, body, "off").json()["choices"][0]["message"]["content"]
    put_named(service, rows, next(word.term for word in words(alone) if len(word.term) > 4 and word.term not in STORY))
    turned = service.post(CHAT, body).json()
    assert len(turned["choices"]) == extra.get("n", 1)
    assert alone not in {choice["message"]["content"] for choice in turned["choices"]}
