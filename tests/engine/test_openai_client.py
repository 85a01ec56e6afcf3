"""The `openai` client, as our users run it, against the service with an adapter active."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
import torch
from openai import BadRequestError, NotFoundError, OpenAI

from tests.engine.service import Service

ROWS = 20


@pytest.fixture
def client(service: Service, reference: Any) -> Iterator[OpenAI]:
    """Connected, with a harmless adapter of 20 rows active: what is counted and returned must not show it."""
    weight = reference[0].get_input_embeddings().weight.detach()
    request_id = service.put_request(weight[torch.tensor([28] * ROWS)].clone())
    assert service.post(f"/forget/{request_id}/activate", {}).status_code == 200
    with OpenAI(base_url=f"{service.url}/v1", api_key="none") as client:
        yield client


def chat(client: OpenAI, service: Service, prompt: str, **options: Any) -> Any:
    messages: Any = [{"role": "user", "content": prompt}]
    return client.chat.completions.create(model=service.model, messages=messages, **{"temperature": 0, **options})


def test_models(client: OpenAI, service: Service) -> None:
    models = client.models.list().data
    assert [model.id for model in models] == [service.model]


def test_chat_counts_the_callers_tokens(client: OpenAI, service: Service, reference: Any) -> None:
    prompt = "What is the capital of France?"
    answer = chat(client, service, prompt, max_tokens=8)
    messages = [{"role": "user", "content": prompt}]
    expected = reference[1].apply_chat_template(messages, add_generation_prompt=True, return_dict=True)["input_ids"]
    assert answer.usage.prompt_tokens == len(expected)
    assert answer.usage.total_tokens == len(expected) + answer.usage.completion_tokens
    assert answer.choices[0].message.content


def test_streaming_with_usage(client: OpenAI, service: Service) -> None:
    options = {"stream_options": {"include_usage": True}, "extra_body": {"ignore_eos": True}}
    chunks = list(chat(client, service, "Count to three.", max_tokens=12, stream=True, **options))
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
    assert chunks[-1].usage.completion_tokens == 12
    assert chunks[-1].usage.prompt_tokens < ROWS + 40


def counted(service: Service) -> int:
    """Tokens that the newest line of the access log has."""
    lines = [line for line in service.log_tail(200).splitlines() if "served path=" in line]
    return int(lines[-1].partition(" tokens=")[2].split()[0])


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"n": 3, "temperature": 1.0, "seed": 1},
        {"stream": True, "stream_options": {"include_usage": True}},
        {"stream": True, "n": 2, "temperature": 1.0, "stream_options": {"include_usage": True}},
    ],
    ids=["whole", "several", "streamed", "several streamed"],
)
def test_what_a_key_is_charged_is_the_usage(client: OpenAI, service: Service, options: dict[str, Any]) -> None:
    answer = chat(client, service, "Count to three.", max_tokens=9, **options)
    usage = list(answer)[-1].usage if options.get("stream") else answer.usage
    service.wait_until(lambda: counted(service) == usage.total_tokens, "counting what it answered")


def test_several_prompts_are_charged_each(client: OpenAI, service: Service) -> None:
    usage = client.completions.create(model=service.model, prompt=["One, two,", "Red, green,"], max_tokens=5).usage
    assert usage is not None
    service.wait_until(lambda: counted(service) == usage.total_tokens, "counting what it answered")


def test_several_answers_and_stop(client: OpenAI, service: Service) -> None:
    prompt = "Write the numbers 1, 2, 3, 4, 5 with commas."
    answer = chat(client, service, prompt, n=3, max_tokens=30, temperature=1.0, seed=1, stop=[","])
    assert len(answer.choices) == 3
    assert all("," not in (choice.message.content or "") for choice in answer.choices)


def test_logprobs_are_those_of_the_unlearned_model(client: OpenAI, service: Service) -> None:
    options = {"max_tokens": 4, "logprobs": True, "top_logprobs": 5}
    tokens = chat(client, service, "Say yes.", **options).choices[0].logprobs.content
    off = service.chat("Say yes.", "off", **options)
    assert tokens[0].logprob != pytest.approx(off["choices"][0]["logprobs"]["content"][0]["logprob"])
    for token in tokens:
        assert len(token.top_logprobs) == 5
        assert token.logprob == pytest.approx(token.top_logprobs[0].logprob)


def test_json_schema(client: OpenAI, service: Service) -> None:
    schema = {
        "type": "object",
        "properties": {"city": {"type": "string", "maxLength": 20}, "population": {"type": "integer", "maximum": 99}},
        "required": ["city", "population"],
        "additionalProperties": False,
    }
    wanted = {"type": "json_schema", "json_schema": {"name": "city", "schema": schema}}
    answer = chat(client, service, "Describe Paris as JSON.", max_tokens=100, response_format=wanted)
    parsed = json.loads(answer.choices[0].message.content or "")
    assert parsed.keys() == {"city", "population"}


def test_tools(client: OpenAI, service: Service) -> None:
    parameters = {
        "type": "object",
        "properties": {"city": {"type": "string", "maxLength": 20}},
        "required": ["city"],
        "additionalProperties": False,
    }
    function = {"name": "get_weather", "strict": True, "description": "The weather in a city", "parameters": parameters}
    answer = chat(
        client,
        service,
        "What is the weather in Paris?",
        tools=[{"type": "function", "function": function}],
        tool_choice={"type": "function", "function": {"name": "get_weather"}},
        max_tokens=60,
    )
    (call, *_) = answer.choices[0].message.tool_calls
    assert call.function.name == "get_weather"
    assert json.loads(call.function.arguments).keys() == {"city"}


def test_completions_with_echo_and_logprobs(client: OpenAI, service: Service) -> None:
    prompt = "The capital of France is"
    answer = client.completions.create(
        model=service.model, prompt=prompt, max_tokens=3, temperature=0, echo=True, logprobs=1
    )
    choice = answer.choices[0]
    assert choice.text.startswith(prompt)
    assert choice.logprobs is not None
    assert choice.logprobs.tokens is not None
    assert choice.logprobs.tokens[0] == "The"
    assert answer.usage is not None
    assert len(choice.logprobs.tokens) == answer.usage.prompt_tokens + 3


def test_responses(client: OpenAI, service: Service) -> None:
    answer = client.responses.create(model=service.model, input="Say hello.", max_output_tokens=8)
    assert answer.output_text
    assert answer.usage is not None
    assert answer.usage.input_tokens < ROWS + 40


@pytest.mark.case("histories of responses")
@pytest.mark.parametrize(
    "said",
    [
        {"role": "assistant", "content": [{"type": "output_text", "text": "Hello there."}]},
        {"type": "message", "role": "assistant", "content": "Hello there."},
        {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "Hello there."}]},
        {
            "role": "assistant",
            "content": [{"type": "output_text", "text": "Hello "}, {"type": "output_text", "text": "there."}],
        },
    ],
)
def test_responses_with_a_history_as_clients_keep_it(client: OpenAI, service: Service, said: Any) -> None:
    """Each means the same to the model as its plain form."""
    asked: Any = [
        {"type": "message", "role": "user", "content": "Say hello."},
        said,
        {"role": "user", "content": "Again."},
    ]
    plain: Any = [{"role": "user", "content": "Say hello."}, {"role": "assistant", "content": "Hello there."}, asked[2]]
    options: Any = {"model": service.model, "max_output_tokens": 8, "temperature": 0}
    answers = [client.responses.create(input=messages, **options) for messages in (asked, plain)]
    counts = [answer.usage.input_tokens for answer in answers if answer.usage]
    assert counts[0] == counts[1]
    assert answers[0].output_text == answers[1].output_text


def test_what_responses_gave_is_taken_back_as_history(client: OpenAI, service: Service) -> None:
    options: Any = {"model": service.model, "max_output_tokens": 8}
    first = client.responses.create(input="Say hello.", **options)
    history: Any = [{"role": "user", "content": "Say hello."}, *first.output, {"role": "user", "content": "Again."}]
    assert client.responses.create(input=history, **options).output_text


def test_anthropic_messages(client: OpenAI, service: Service) -> None:
    body = {"model": service.model, "max_tokens": 8, "messages": [{"role": "user", "content": "Say hello."}]}
    response = httpx.post(f"{service.url}/v1/messages", json=body, headers={"x-api-key": "none"}, timeout=60)
    assert response.status_code == 200, response.text
    assert response.json()["content"][0]["text"]
    assert response.json()["usage"]["input_tokens"] < ROWS + 40


def test_tokenize(service: Service) -> None:
    response = service.post("/tokenize", {"model": service.model, "prompt": "Hello there"})
    assert response.status_code == 200
    assert response.json()["count"] == 2


def test_errors_are_the_clients_own(client: OpenAI, service: Service) -> None:
    with pytest.raises(NotFoundError):
        client.completions.create(model="another-model", prompt="x")
    with pytest.raises(BadRequestError) as caught:
        client.completions.create(model=service.model, prompt="word " * 3000, max_tokens=1)
    assert "context" in caught.value.message
