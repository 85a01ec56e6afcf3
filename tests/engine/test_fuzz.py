"""Requests made up from the service's own OpenAPI document: sound ones, and ones with something wrong.

A few of each operation in the tier; `make fuzz` makes many more, other ones each time.
"""

from __future__ import annotations

import json
import os
from collections import Counter
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from schemathesis import Case, GenerationMode
from schemathesis.core.result import Ok
from schemathesis.specs.openapi.checks import content_type_conformance

from tests.engine.service import Service
from tests.engine.test_ways_around import CHAT, COMPLETIONS, MESSAGES, RESPONSES

EXAMPLES = int(os.environ.get("FUZZ_EXAMPLES", "6"))
THOROUGH = "FUZZ_EXAMPLES" in os.environ
#: The self-check takes seconds, and has tests of its own.
SLOW = {"POST /doctor"}
#: The first key that is made closes a service to whoever has none: to every other test.
LASTING = {"POST /keys"}
MODES = (GenerationMode.POSITIVE, GenerationMode.NEGATIVE)
#: What an answer's length and number are asked for by: what is made up would be for thousands of tokens.
BOUNDED = {
    CHAT: ("max_tokens", "max_completion_tokens", "n"),
    COMPLETIONS: ("max_tokens", "n"),
    RESPONSES: ("max_output_tokens",),
    MESSAGES: ("max_tokens",),
}
MOST = 3
#: What is made up seldom gets as far as the engine.
SOUND: dict[str, dict[str, Any]] = {
    CHAT: {"messages": [{"role": "user", "content": "Hello"}]},
    COMPLETIONS: {"prompt": "Hello"},
    RESPONSES: {"input": "Hello"},
    MESSAGES: {"messages": [{"role": "user", "content": "Hello"}]},
}
#: How much of a case is made up: all, all but the name of the model or of the request, or only what else it says.
MADE_UP = ("all", "not the name", "not the prompt")
EVENTS = "/forget/{request_id}/events"


def bounded(path: str, body: Any, made_up: str, model: str) -> Any:
    """The body for a few tokens, and for the served model."""
    if path not in BOUNDED or not isinstance(body, dict):
        return body
    first = BOUNDED[path][0]
    body = {first: MOST, **body} if body.get(first, MOST) is not None else {**body, first: MOST}
    few = {name: MOST for name in BOUNDED[path] if isinstance(body.get(name), int) and body[name] > MOST}
    named = {} if made_up == "all" else {"model": model}
    return {**body, **few, **named, **(SOUND[path] if made_up == "not the prompt" else {})}


def check(response: schemathesis.Response) -> None:
    """No fault of the service's, errors in OpenAI's shape, and of the kinds of content that the document names."""
    assert response.status_code < 500, response.text
    if response.status_code >= 400:
        error = json.loads(response.content).get("error", {})
        assert error.get("message"), response.text
        assert error.get("type"), response.text


def test_requests_made_up_from_the_openapi_document(
    service: Service, reference: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    schema = schemathesis.openapi.from_dict(service.get("/openapi.json").json())
    operations = [found.ok() for found in schema.get_all_operations() if isinstance(found, Ok)]
    assert {operation.path for operation in operations} >= {*SOUND, "/forget", "/tokenize"}
    rows = reference[0].get_input_embeddings().weight.detach()[:4].clone()
    for operation in operations:
        if operation.label in (SLOW if THOROUGH else SLOW | LASTING):
            continue
        answers = made_up(service, operation, service.put_request(rows) if "{request_id}" in operation.path else None)
        assert answers, operation.label
        if THOROUGH:
            with capsys.disabled():
                print(f"{operation.label}: {dict(sorted(answers.items()))}")  # noqa: T201  # what `make fuzz` is for


def made_up(service: Service, operation: Any, request_id: str | None) -> Counter[int]:
    """Statuses of the answers to requests for one operation. Fails with the request, made as small as it can be.

    request_id: of a request that is there, for operations on one.
    """
    answers: Counter[int] = Counter()
    cases = st.one_of([operation.as_strategy(generation_mode=mode) for mode in MODES])

    @settings(
        max_examples=EXAMPLES,
        derandomize=not THOROUGH,
        deadline=None,
        database=None,
        phases=(Phase.generate, Phase.shrink) if THOROUGH else (Phase.generate,),
        suppress_health_check=list(HealthCheck),
    )
    @given(cases, st.sampled_from(MADE_UP))
    def ask(case: Case[Any], made_up: str) -> None:
        case.body = bounded(operation.path, case.body, made_up, service.model)
        if made_up != "all" and request_id is not None and operation.path != EVENTS:  # a stream that does not end
            case.path_parameters["request_id"] = request_id
        headers = {"authorization": f"Bearer {service.token}"}
        response = case.call(base_url=service.url, headers=headers, timeout=120)
        answers[response.status_code] += 1
        check(response)
        case.validate_response(response, checks=[content_type_conformance])

    ask()
    return answers
