"""Requests at the edges of what can be asked: refused with what is wrong, streamed or not, and nothing stays behind."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest
import torch

from adapters.artifact.spec import PairSpec
from tests.engine.pairs import first_layers, random_lora, spec
from tests.engine.service import Service
from tests.engine.test_bypass import CHAT, COMPLETIONS, VOCABULARY, assert_openai_error, metric
from tests.engine.test_offsets import LAYERS


@pytest.fixture(autouse=True)
def nothing_left_behind(service: Service) -> Iterator[None]:
    yield
    assert metric(service, "unlearning_engine_requests ") == 0
    body = {"model": service.model, "prompt": "Hello", "max_tokens": 1}
    assert service.post(COMPLETIONS, body).status_code == 200


def raw(service: Service, path: str, fields: str, plan: str | None = None) -> httpx.Response:
    """The fields as they stand, for what Python's own JSON would not write."""
    said = '"messages": [{"role": "user", "content": "Hi"}]' if path == CHAT else '"prompt": "Hello"'
    headers = {"content-type": "application/json", **service.headers(plan)}
    content = f'{{"model": "{service.model}", {said}, "max_tokens": 4, "return_token_ids": true, {fields}}}'
    return httpx.post(f"{service.url}{path}", content=content, headers=headers, timeout=120)


def test_seeded_samples_of_prompts_that_are_computed_in_several_steps(service: Service) -> None:
    """Together the prompts are longer than a step takes, so that some are cut."""

    def ask(seed: int) -> int:
        prompt = f"{seed}: {'nothing of any importance, ' * 150}"
        sampling = {"max_tokens": 2, "temperature": 1.0, "seed": seed}
        return service.post(COMPLETIONS, {"model": service.model, "prompt": prompt, **sampling}).status_code

    with ThreadPoolExecutor(8) as threads:
        assert list(threads.map(ask, range(8))) == [200] * 8


@pytest.mark.case("lone surrogates")
@pytest.mark.parametrize("streamed", ["false", "true"])
@pytest.mark.parametrize("path", [CHAT, COMPLETIONS])
@pytest.mark.parametrize(
    ("fields", "param"),
    [
        (r'"stop": ["\ud83d"]', "stop"),
        (r'"bad_words": ["x\udc00y"]', "bad_words"),
        (r'"request_id": "\ud83d"', "request_id"),
        (r'"structured_outputs": {"choice": ["\ud83d", "b"]}', "structured_outputs"),
        (r'"user": "\udfff"', "user"),
        (r'"cache_salt": "\ud83d"', "cache_salt"),
        ('"top_k": 99999999999999999999999', "top_k"),
    ],
)
def test_what_cannot_be_sent_to_the_engine(service: Service, path: str, fields: str, param: str, streamed: str) -> None:
    assert assert_openai_error(raw(service, path, f'{fields}, "stream": {streamed}'), 400)["param"] == param


def grammar(text: str) -> dict[str, Any]:
    return {"grammar": text}


@pytest.mark.case("grammars")
@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(
    ("structure", "reason"),
    [
        (grammar('root ::= "a"\nroot ::= "b"'), "defined multiple times"),
        (grammar("root ::= a\na ::= foo"), "foo"),
        (grammar('root ::= a\na ::= b "x"\nb ::= a "y"'), "no token fits"),
        (grammar("start: foo"), "foo"),
        ({"json": {"$ref": "#"}}, "no token fits"),
        ({"json": {"$defs": {"a": {"$ref": "#/$defs/a"}}, "$ref": "#/$defs/a"}}, "no token fits"),
        ({"json": {"type": "foo"}}, "foo"),
        ({"json": {"enum": []}}, "empty"),
        ({"regex": "(((("}, "unclosed"),
    ],
)
def test_grammars_that_the_backend_refuses(
    service: Service, structure: dict[str, Any], reason: str, stream: bool
) -> None:
    body = {"model": service.model, "messages": [{"role": "user", "content": "Hi"}], "max_tokens": 8}
    response = service.post(CHAT, {**body, "structured_outputs": structure, "stream": stream})
    assert reason in assert_openai_error(response, 400)["message"]


@pytest.mark.case("grammars")
def test_a_grammar_that_leads_nowhere_after_a_while(service: Service) -> None:
    body = {"model": service.model, "prompt": "Hello", "max_tokens": 8}
    structure = grammar('root ::= "yes" a\na ::= b "x"\nb ::= a "y"')
    response = service.post(COMPLETIONS, {**body, "structured_outputs": structure})
    assert "no token fits" in assert_openai_error(response, 400)["message"]


@pytest.mark.case("grammars")
def test_left_recursion_is_no_error_where_the_backend_knows_how(service: Service) -> None:
    body = {"model": service.model, "prompt": "Hello", "max_tokens": 4, "ignore_eos": True}
    response = service.post(COMPLETIONS, {**body, "structured_outputs": grammar('root ::= root "a" | "b"')})
    assert response.status_code == 200, response.text
    assert set(response.json()["choices"][0]["text"]) <= set("ab")


@pytest.fixture(scope="module")
def plans(service: Service, reference: Any) -> dict[str, str]:
    """No adapter, a soft prompt, and a soft prompt with an offset."""
    model, _ = reference
    rows = model.get_input_embeddings().weight.detach()[torch.tensor([500] * 8)].clone()
    tensors = random_lora(first_layers(model, LAYERS), "offset", 8, seed=61, scale=0.02)
    both = service.put_offset(tensors, spec(PairSpec(LAYERS)), rows)
    return {"none": "off", "soft": f"candidate:{service.put_request(rows)}", "both": f"candidate:{both}"}


@pytest.mark.case("sampling at its edges")
@pytest.mark.parametrize("plan", ["none", "soft", "both"])
def test_sampling_at_its_edges(service: Service, plans: dict[str, str], plan: str) -> None:
    """An error of the caller's, or real tokens: a virtual one is what NaN in its column would give."""
    edges = {
        "repetition_penalty": ("1e-46", "1e-38", "1e-6", "1e6", "1e38", "NaN", "1e400", "0"),
        "temperature": ("0", "1e-46", "1e-6", "2", "1e38", "NaN", "Infinity", "-1"),
        "top_p": ("1e-46", "1e-30", "1e-8", "0", "NaN"),
        "min_p": ("1e-46", "1", "NaN"),
        "top_k": ("1", "2147483648", "4611686018427387904", "-2"),
        "presence_penalty": ("2", "-2", "1e38", "NaN"),
        "frequency_penalty": ("2", "-2", "-Infinity"),
        "logit_bias": ('{"5": 1e38}', '{"5": -1e38}', '{"5": Infinity}', '{"5": NaN}', '{"5": -100}'),
        "seed": ("0", "-9223372036854775808", "9223372036854775807", "9223372036854775808"),
        "n": ("0", "3", "1000000000"),
        "min_tokens": ("4", "5"),
        "prompt_logprobs": ("5", "-2"),
    }
    beams = '"use_beam_search": true, "n": 2, "temperature": 0, "length_penalty": '
    asked = [f'"{name}": {value}' for name, values in edges.items() for value in values]
    asked += [f"{beams}{value}" for value in ("0.5", "1e38", "-1e38", "NaN")]
    taken = 0
    for fields in asked:
        response = raw(service, COMPLETIONS, f'"ignore_eos": true, {fields}', plans[plan])
        if response.status_code != 200:
            assert_openai_error(response, 400)
            continue
        taken += 1
        ids = [token for choice in response.json()["choices"] for token in choice["token_ids"]]
        assert ids, fields
        assert 0 <= min(ids) <= max(ids) < VOCABULARY, fields
    assert taken > len(asked) / 3
