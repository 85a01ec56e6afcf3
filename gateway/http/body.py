"""The body of a request: read whole, within the limit, and checked for what no later part could answer for."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from starlette.types import Message, Receive, Scope

from gateway.errors import InvalidRequest, PayloadTooLarge
from gateway.http.fields import BODIES
from gateway.http.responses_body import normalised
from gateway.http.routes import RESPONSES

#: Half of a surrogate pair, as an escape or as the bytes that Python's JSON takes for one; and what no body is searched
#: for it without.
_MAYBE_HALF = re.compile(rb"\\u[dD][89a-fA-F]|\xed[\xa0-\xbf]")
_SIGNS = (b"\\u", b"\xed")

_LENGTH_PENALTY, _MOST_EXPONENT = "length_penalty", 10


async def read_body(scope: Scope, receive: Receive, limit: int) -> bytes:
    """Raises `PayloadTooLarge` for bodies over `limit` bytes, by their declared length or as they arrive."""
    error = PayloadTooLarge(f"the body is larger than the {limit} bytes allowed")
    declared = dict(scope["headers"]).get(b"content-length", b"")
    if declared.isdigit() and int(declared) > limit:
        raise error
    body = bytearray()
    while True:
        message = await receive()
        body += message.get("body", b"")
        if len(body) > limit:
            raise error
        if not message.get("more_body"):
            return bytes(body)


def replay(body: bytes, receive: Receive) -> Receive:
    """A `receive` that gives the body, and then whatever still comes: that the caller has left."""
    given = False

    async def again() -> Message:
        nonlocal given
        if given:
            return await receive()
        given = True
        return {"type": "http.request", "body": body, "more_body": False}

    return again


def prepared(path: str, body: bytes) -> bytes:
    """The body as the route gets it: checked, and without what asks for nothing.

    What is no JSON object goes on as it is: the route says what is wrong with it. Raises `InvalidRequest`.
    """
    shape = BODIES.get(path)
    if shape is None:
        return body
    try:
        content = _parse(body)
        if content is None:
            return body
        _check_text(body, content)
        _check_length_penalty(content)
        kept = shape.kept(content)
        if path == RESPONSES:
            kept = normalised(kept)
        return json.dumps(kept).encode()  # written anew: what was judged is what is read
    except RecursionError:
        raise InvalidRequest("the body is nested too deeply") from None


def _check_text(body: bytes, content: Mapping[str, Any]) -> None:
    """Raises `InvalidRequest`, naming the field, where a JSON body holds half a character (a lone surrogate).

    It is in no encoding: neither the engine's process nor an error that quotes it could be sent.
    """
    if not any(sign in body for sign in _SIGNS) or not _MAYBE_HALF.search(body):
        return
    for field, value in content.items():
        try:
            json.dumps([field, value], ensure_ascii=False).encode()
        except UnicodeEncodeError:
            whole = field.encode(errors="replace").decode()
            raise InvalidRequest(f"{whole} holds half a character, a lone surrogate", param=whole) from None


def _check_length_penalty(content: Mapping[str, Any]) -> None:
    """Raises `InvalidRequest` for an exponent under which a length has no finite power: vLLM divides by it."""
    value = content.get(_LENGTH_PENALTY)
    if isinstance(value, int | float) and not abs(value) <= _MOST_EXPONENT:
        raise InvalidRequest(f"{_LENGTH_PENALTY} must be within ±{_MOST_EXPONENT}", param=_LENGTH_PENALTY)


def _parse(body: bytes) -> dict[str, Any] | None:
    """The JSON object that the body is, or None. Raises RecursionError."""
    try:
        content = json.loads(body)
    except ValueError:
        return None
    return content if isinstance(content, dict) else None
