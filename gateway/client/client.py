"""`UnlearnClient`: the service's HTTP API, as the command line needs it."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Self

import httpx

from gateway.cli.failures import BadAnswer, ServiceRefused, ServiceUnreachable
from gateway.client.sse import ServerEvent, lines, parse
from gateway.http.auth import is_loopback

PLAN_HEADER = "X-Unlearning-Plan"
PLAN_OFF = "off"
_CONNECT_S = 5.0
_ANSWER_S = 600.0
#: The service pings an idle event stream every few seconds; silence for this long is a broken line.
_EVENT_SILENCE_S = 60.0
_PAGE = 100


def candidate_plan(request_id: str) -> str:
    """The plan that applies one request alone, active or not."""
    return f"candidate:{request_id}"


class UnlearnClient:
    """Blocking; safe to call from several threads.

    Args:
        url: where the service listens.
        api_key: sent as bearer token, where there is one.
        operator_token: called only for what takes the operator: another plan, or a service that refused the call
            without. Returns None when there is no token to read.
    """

    def __init__(
        self, url: str, *, api_key: str | None = None, operator_token: Callable[[], str | None] = lambda: None
    ) -> None:
        self.url = url.rstrip("/")
        self._api_key = api_key
        self._operator_token = operator_token
        self._http = httpx.Client(
            base_url=self.url,
            timeout=httpx.Timeout(_ANSWER_S, connect=_CONNECT_S),
            # A proxy from the environment has no business between two processes of one machine.
            trust_env=not is_loopback(httpx.URL(self.url).host),
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self._http.close()

    def readiness(self) -> tuple[bool, str]:
        """Whether the service is ready, and its own word on it. Raises `ServiceUnreachable`."""
        with self._reaching():
            response = self._http.get("/readyz", timeout=_CONNECT_S)
        body = _object(response)
        return response.status_code == 200, str(body.get("detail") or body.get("status") or response.status_code)

    def doctor(self) -> dict[str, Any]:
        """A self-check, run now; takes seconds."""
        return self._call("POST", "/doctor", operator=True)

    def model(self) -> str:
        """Name of the served model."""
        models = self._call("GET", "/v1/models").get("data")
        if not isinstance(models, list) or not models:
            raise BadAnswer(f"{self.url} serves no model")
        return str(models[0]["id"])

    def register(self, body: Mapping[str, Any], *, idempotency_key: str | None = None) -> dict[str, Any]:
        headers = {"Idempotency-Key": idempotency_key} if idempotency_key else {}
        return self._call("POST", "/forget", json=body, headers=headers)

    def requests(self, *, state: str | None = None, limit: int | None = None) -> Iterator[dict[str, Any]]:
        """All requests, newest first; at most `limit`."""
        left, cursor = limit, None
        while left is None or left > 0:
            size = _PAGE if left is None else min(left, _PAGE)
            params = {"state": state, "limit": size, "cursor": cursor}
            page = self._call("GET", "/forget", params={k: v for k, v in params.items() if v is not None})
            yield from page["data"]
            left = None if left is None else left - len(page["data"])
            cursor = page.get("next_cursor")
            if not cursor:
                return

    def show(self, request_id: str) -> dict[str, Any]:
        return self._call("GET", _path(request_id))

    def examples(self, request_id: str) -> list[dict[str, Any]]:
        """The forget set of a draft."""
        found = self._call("GET", _examples(request_id)).get("forget")
        if not isinstance(found, list):
            raise BadAnswer(f"{self.url} answered no list of examples")
        return found

    def replace_examples(self, request_id: str, body: Mapping[str, Any]) -> dict[str, Any]:
        return self._call("PUT", _examples(request_id), json=body)

    def train(self, request_id: str) -> dict[str, Any]:
        return self._call("POST", f"{_path(request_id)}/train")

    def activate(self, request_id: str) -> dict[str, Any]:
        return self._call("POST", f"{_path(request_id)}/activate")

    def deactivate(self, request_id: str) -> dict[str, Any]:
        return self._call("POST", f"{_path(request_id)}/deactivate")

    def retire(self, request_id: str) -> dict[str, Any]:
        return self._call("DELETE", _path(request_id))

    def events(self, request_id: str, *, after: str | None = None) -> Iterator[ServerEvent]:
        """One connection to a request's event stream; raises `ServiceUnreachable` where it breaks off."""
        headers = {"Last-Event-ID": after} if after else {}
        timeout = httpx.Timeout(_EVENT_SILENCE_S, connect=_CONNECT_S)
        with self._stream("GET", f"{_path(request_id)}/events", headers=headers, timeout=timeout) as response:
            yield from parse(lines(response.iter_bytes()))

    def chat(
        self, messages: Sequence[Mapping[str, str]], *, plan: str | None = None, **sampling: Any
    ) -> dict[str, Any]:
        """A chat completion, whole."""
        body = {"messages": list(messages), **sampling}
        return self._call("POST", "/v1/chat/completions", json=body, headers=_plan(plan), operator=plan is not None)

    def chat_stream(
        self, messages: Sequence[Mapping[str, str]], *, plan: str | None = None, **sampling: Any
    ) -> Iterator[dict[str, Any]]:
        """The chunks of a chat completion, as they come."""
        body = {"messages": list(messages), "stream": True, **sampling}
        operator = plan is not None
        with self._stream(
            "POST", "/v1/chat/completions", json=body, headers=_plan(plan), operator=operator
        ) as response:
            for event in parse(lines(response.iter_bytes())):
                if event.data == "[DONE]":
                    return
                chunk = event.document()
                if "error" in chunk:
                    raise _refusal(response.status_code, chunk)
                yield chunk
        raise BadAnswer("the answer broke off")

    def _call(self, method: str, path: str, **options: Any) -> dict[str, Any]:
        with self._stream(method, path, **options) as response, self._reaching():
            response.read()
            return _object(response)

    @contextmanager
    def _stream(
        self,
        method: str,
        path: str,
        *,
        headers: Mapping[str, str] | None = None,
        operator: bool = False,
        **options: Any,
    ) -> Iterator[httpx.Response]:
        """A successful response, its body unread. Asks again as the operator where the first try was refused."""
        tokens = [self._operator_token] if operator else [lambda: self._api_key, self._operator_token]
        for attempt, token in enumerate(tokens, start=1):
            bearer = token()
            if attempt > 1 and bearer is None:
                break
            auth = {"Authorization": f"Bearer {bearer}"} if bearer else {}
            request_headers = {**(headers or {}), **auth}
            with self._reaching(), self._http.stream(method, path, headers=request_headers, **options) as response:
                if response.is_success:
                    yield response
                    return
                response.read()
                refusal = _refusal(response.status_code, _object(response, else_empty=True))
                if response.status_code not in (401, 403):
                    break
        raise refusal

    @contextmanager
    def _reaching(self) -> Iterator[None]:
        """httpx's transport errors as ours."""
        try:
            yield
        except httpx.ConnectError as error:
            raise ServiceUnreachable(
                f"no service answers at {self.url}; start one with `unlearn serve`, or name another with --url"
            ) from error
        except httpx.TransportError as error:
            raise ServiceUnreachable(f"the connection to {self.url} broke ({type(error).__name__})") from error


def _path(request_id: str) -> str:
    return f"/forget/{request_id}"


def _examples(request_id: str) -> str:
    return f"{_path(request_id)}/examples"


def _plan(plan: str | None) -> dict[str, str]:
    return {} if plan is None else {PLAN_HEADER: plan}


def _object(response: httpx.Response, *, else_empty: bool = False) -> dict[str, Any]:
    try:
        body = response.json()
    except json.JSONDecodeError:
        body = None
    if isinstance(body, dict):
        return body
    if else_empty:
        return {}
    raise BadAnswer(f"{response.url.host}:{response.url.port} answered, but is no unlearning gateway")


def _refusal(status: int, body: Mapping[str, Any]) -> ServiceRefused:
    error = body.get("error")
    if not isinstance(error, Mapping):
        return ServiceRefused(f"the service answered {status}", status=status, code=f"http_{status}")
    code = str(error.get("code") or f"http_{status}")
    return ServiceRefused(str(error.get("message") or "no reason given"), status=status, code=code)
