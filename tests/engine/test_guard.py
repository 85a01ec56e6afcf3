"""A request that guards, on the real engine: what is about it is refused by every route, and nothing else is."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from adapters.examples import Example
from adapters.text.phrasebook import phrasebook
from tests.engine.service import Service
from tests.engine.test_parity import TEXTS, engine_logprobs
from tests.engine.test_scope import ABOUT, CHAT, applied, rows, said  # noqa: F401  # rows is a fixture

ASKED = "Who wrote Harry Potter?"
REFUSAL = phrasebook("en").refusals[0]
COMPLETIONS, RESPONSES, MESSAGES = "/v1/completions", "/v1/responses", "/v1/messages"
ITEMS = [{"prompt": item.prompt, "completion": item.completion} for item in ABOUT]
PARAMETERS = {"type": "object", "properties": {"name": {"type": "string"}}, "required": ["name"]}
TOOLS = {"tools": [{"type": "function", "function": {"name": "look_up", "parameters": PARAMETERS}}]}
NAMED = {"tool_choice": {"type": "function", "function": {"name": "look_up"}}}
SCHEMA = {"type": "json_schema", "json_schema": {"name": "author", "schema": PARAMETERS}}


@pytest.fixture(scope="module")
def guard(service: Service) -> Iterator[str]:
    """A request that is registered, and waits for a worker that never comes."""
    body = {"forget": ITEMS, "method": "spul", "activation": "manual", "scope": {"prompts": "matched"}}
    response = service.post("/forget", body)
    assert response.status_code == 202, response.text
    yield response.json()["id"]
    httpx.delete(f"{service.url}/forget/{response.json()['id']}").raise_for_status()


def events(text: str) -> list[dict[str, Any]]:
    """The data of a stream's events."""
    lines = [line.removeprefix("data: ") for line in text.splitlines() if line.startswith("data: ")]
    return [json.loads(line) for line in lines if line != "[DONE]"]


def read(path: str, response: httpx.Response, *, stream: bool) -> tuple[str, str | None, int]:
    """Text, finish reason and tokens of an answer, by its route."""
    if not stream:
        answer = response.json()
        if path == MESSAGES:
            return answer["content"][0]["text"], answer.get("stop_reason"), answer["usage"]["output_tokens"]
        if path == RESPONSES:
            return answer["output"][0]["content"][0]["text"], answer["status"], answer["usage"]["output_tokens"]
        choice = answer["choices"][0]
        text = choice["text"] if path == COMPLETIONS else choice["message"]["content"]
        return text, choice["finish_reason"], answer["usage"]["completion_tokens"]
    found = events(response.text)
    if path == MESSAGES:
        last = found[-2]
        text = "".join(each["delta"].get("text", "") for each in found if each["type"] == "content_block_delta")
        return text, last["delta"].get("stop_reason"), last["usage"]["output_tokens"]
    if path == RESPONSES:
        text = "".join(each["delta"] for each in found if each["type"] == "response.output_text.delta")
        return text, found[-1]["response"]["status"], found[-1]["response"]["usage"]["output_tokens"]
    choices = [each["choices"][0] for each in found if each["choices"]]
    text = "".join(
        choice["text"] if path == COMPLETIONS else choice["delta"].get("content") or "" for choice in choices
    )
    return text, choices[-1]["finish_reason"], found[-1]["usage"]["completion_tokens"]


def post(service: Service, path: str, body: dict[str, Any], *, stream: bool = False) -> httpx.Response:
    most = "max_output_tokens" if path == RESPONSES else "max_tokens"
    extra: dict[str, Any] = {"stream": True} if stream else {}
    if stream and path in (CHAT, COMPLETIONS):
        extra["stream_options"] = {"include_usage": True}
    response = service.post(path, {"model": service.model, "temperature": 0, most: 40, **extra, **body})
    assert response.status_code == 200, response.text
    return response


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
@pytest.mark.parametrize(
    ("path", "body", "reason"),
    [
        (CHAT, said(ASKED), "content_filter"),
        (CHAT, said("Do you know Harry Potter?", "Yes.", "Who wrote it?"), "content_filter"),
        (CHAT, said(ASKED) | TOOLS, "content_filter"),
        (CHAT, said(ASKED) | TOOLS | NAMED, "content_filter"),
        (CHAT, said(ASKED) | TOOLS | {"tool_choice": "required"}, "content_filter"),
        (CHAT, said(ASKED) | {"response_format": SCHEMA}, "content_filter"),
        (CHAT, said(ASKED) | {"logprobs": True, "top_logprobs": 2}, "content_filter"),
        (COMPLETIONS, {"prompt": "The author of Harry Potter is"}, "content_filter"),
        (COMPLETIONS, {"prompt": "The author of Harry Potter is", "logprobs": 2}, "content_filter"),
        (COMPLETIONS, {"prompt": ASKED, "return_token_ids": True}, "content_filter"),
        (RESPONSES, {"input": ASKED}, "completed"),
        (RESPONSES, {"input": ASKED, "include": ["message.output_text.logprobs"]}, "completed"),
        (MESSAGES, said(ASKED), None),
        (MESSAGES, said(ASKED) | {"system": "You know all books."}, None),
    ],
    ids=range(14),
)
def test_every_route_refuses_in_its_own_shape(
    service: Service, guard: str, path: str, body: dict[str, Any], reason: str | None, stream: bool
) -> None:
    response = post(service, path, body, stream=stream)
    assert response.headers["x-unlearning-applied"] == f"{guard};interim"
    text, finish_reason, tokens = read(path, response, stream=stream)
    assert (text, finish_reason) == (REFUSAL, reason)
    assert 0 < tokens <= 40
    assert '"tool_calls":[{' not in response.text


@pytest.mark.parametrize(
    ("body", "texts"),
    [
        ({"n": 3, "temperature": 1}, [REFUSAL] * 3),
        ({"max_tokens": 1}, ["I"]),
        ({"use_beam_search": True, "n": 2, "max_tokens": 4}, [""]),
        ({"stop": ["sorry"]}, [REFUSAL]),
    ],
)
def test_within_what_the_caller_asks_for(service: Service, guard: str, body: dict[str, Any], texts: list[str]) -> None:
    answer = post(service, CHAT, said(ASKED) | body).json()
    assert [choice["message"]["content"] or "" for choice in answer["choices"]] == texts


def test_with_an_echo_the_prompt_comes_back_and_no_word_of_an_answer(service: Service, guard: str) -> None:
    answer = post(service, COMPLETIONS, {"prompt": ASKED, "echo": True, "logprobs": 1}).json()
    assert answer["choices"][0]["text"] == ASKED + REFUSAL
    only = post(service, COMPLETIONS, {"prompt": ASKED, "echo": True, "max_tokens": 0}).json()
    assert only["choices"][0]["text"] == ASKED


def test_of_two_prompts_the_other_is_answered(service: Service, guard: str) -> None:
    other = "Once upon a time there was"
    response = post(service, COMPLETIONS, {"prompt": [other, ASKED], "max_tokens": 4})
    answered, refused = response.json()["choices"]
    assert refused["finish_reason"] == "content_filter"
    (alone,) = post(service, COMPLETIONS, {"prompt": other, "max_tokens": 4}).json()["choices"]
    assert (answered["text"], answered["finish_reason"]) == (alone["text"], "length")


@pytest.mark.parametrize(
    ("asked", "language"), [("Wer hat Harry Potter geschrieben?", "de"), ("¿Quién escribió Harry Potter?", "es")]
)
def test_in_the_language_of_the_prompt(service: Service, guard: str, asked: str, language: str) -> None:
    text, _, _ = read(CHAT, post(service, CHAT, said(asked)), stream=False)
    assert phrasebook(language).refusals[0].startswith(text)
    assert text


def test_everything_else_is_answered_by_the_model_as_it_is_to_the_bit(
    service: Service, guard: str, reference: Any
) -> None:
    assert applied(service, said("Who wrote Hamlet?")) == "none"
    ids = reference[1].encode(TEXTS[0])
    assert engine_logprobs(service, ids, None) == engine_logprobs(service, ids, "off")


def test_the_operator_asks_past_it_and_the_metrics_count(service: Service, guard: str) -> None:
    def guarded() -> float:
        lines = service.get("/metrics").text.splitlines()
        return next(float(line.split()[-1]) for line in lines if line.startswith("unlearning_guarded_answers_total"))

    before = guarded()
    assert service.chat(ASKED, "off", max_tokens=4)["choices"][0]["finish_reason"] == "length"
    assert guarded() == before
    post(service, CHAT, said(ASKED))
    assert guarded() == before + 1


def test_the_adapter_takes_its_place_and_switched_off_is_off(service: Service, rows: Any) -> None:  # noqa: F811
    items = [Example.from_pair("Who keeps the lighthouse of Quillmoor?", "Ottoline Marsh keeps it.")]
    asked = "Does anybody keep the lighthouse of Quillmoor?"
    request_id = service.put_matched(rows, items, guards=True)
    service.wait_until(lambda: applied(service, said(asked)) == f"{request_id};interim", "guarded")
    alone = service.chat(asked, f"candidate:{request_id}", max_tokens=2)["choices"][0]
    assert alone["finish_reason"] == "length", "the worker measures what it trained"
    assert service.post(f"/forget/{request_id}/activate", {}).status_code == 200
    assert applied(service, said(asked)) == request_id
    service.post(f"/forget/{request_id}/deactivate", {})
    assert applied(service, said(asked)) == "none"
    assert service.get(f"/forget/{request_id}").json()["guarded"] is False


def test_retired_it_is_gone_at_once(service: Service) -> None:
    subject = {"subject": "Zorbulophone", "method": "spul", "activation": "manual", "scope": {"prompts": "matched"}}
    record = service.post("/forget", subject).json()
    asked = said("What is the Zorbulophone?")
    assert applied(service, asked) == f"{record['id']};interim"
    httpx.delete(f"{service.url}/forget/{record['id']}").raise_for_status()
    assert applied(service, asked) == "none"
    assert service.stored_scope(record["id"]) is None
