"""`UnlearnClient`: the service's HTTP API, for the command line, the worker, the demo and the benchmarks."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple
from urllib.parse import quote

import httpx

from adapters.examples import Message, PartialAnswer
from gateway.client.endpoint import Endpoint
from gateway.client.errors import ServiceRefused
from gateway.evidence.report.manifest import ServedManifest

PLAN_OFF = "off"
_READINESS_S = 5.0
#: The service pings an idle event stream every few seconds; silence for this long is a broken line.
_EVENT_SILENCE_S = 60.0
_PAGE = 100


def candidate_plan(request_id: str, *beside: str) -> str:
    """The plan that applies one request alone, active or not; or together with those beside it, and no others."""
    return f"candidate:{','.join((request_id, *beside))}"


@dataclass(frozen=True, slots=True)
class Event:
    """One event of a request's stream: `kind` is state or progress."""

    id: str
    kind: str
    data: dict[str, Any]


class ReadToken(NamedTuple):
    """A token that was read. logprob: in nats, after all before it. rank: among all tokens, 1 for the likeliest."""

    logprob: float
    rank: int


class UnlearnClient(Endpoint):
    """The service at `url`; see `Endpoint` for how it is asked."""

    PREFIX = "/v1"

    def readiness(self) -> tuple[bool, str]:
        """Whether the service is ready, and its own word on it. Raises `ServiceUnreachable`."""
        with self._reaching():
            response = self._http.get("/readyz", timeout=_READINESS_S)
        body = self._object(response)
        return response.status_code == 200, str(body.get("detail") or body.get("status") or response.status_code)

    def doctor(self) -> dict[str, Any]:
        """A self-check, run now; takes seconds."""
        return self.call("POST", "/doctor", operator=True)

    def manifest(self) -> ServedManifest:
        """What the service serves with. Raises `BadAnswer`."""
        body = self.call("GET", "/evidence/manifest", operator=True)
        try:
            return ServedManifest.from_dict(body)
        except (KeyError, TypeError, ValueError):
            raise self._bad("gave no manifest") from None

    def report(self, request_id: str) -> dict[str, Any]:
        """The last report of a request."""
        return self.call("GET", _path(request_id, "report"))

    def register(self, body: Mapping[str, Any], *, idempotency_key: str | None = None) -> dict[str, Any]:
        headers = {} if idempotency_key is None else {"Idempotency-Key": idempotency_key}
        return self.call("POST", "/forget", body=body, headers=headers)

    def requests(self, *, state: str | None = None, limit: int | None = None) -> Iterator[dict[str, Any]]:
        """All requests, newest first; at most `limit`."""
        left, cursor = limit, None
        while left is None or left > 0:
            size = _PAGE if left is None else min(left, _PAGE)
            params = {"state": state, "limit": size, "cursor": cursor}
            page = self.call("GET", "/forget", params={k: v for k, v in params.items() if v is not None})
            found = self._listed(page, "data")
            yield from found
            left = None if left is None else left - len(found)
            cursor = page.get("next_cursor")
            if not cursor:
                return

    def show(self, request_id: str) -> dict[str, Any]:
        return self.call("GET", _path(request_id))

    def certificate(self, request_id: str) -> dict[str, Any]:
        """The certificate file of a request."""
        return self.call("GET", _path(request_id, "certificate"))

    def verify_again(self, request_id: str) -> dict[str, Any]:
        """Evaluate a request anew by the probes that were kept."""
        return self.call("POST", _path(request_id, "verify"))

    def examples(self, request_id: str) -> list[dict[str, Any]]:
        """The forget set of a draft."""
        return self._listed(self.call("GET", _path(request_id, "examples")), "forget")

    def replace_examples(self, request_id: str, body: Mapping[str, Any]) -> dict[str, Any]:
        return self.call("PUT", _path(request_id, "examples"), body=body)

    def train(self, request_id: str) -> dict[str, Any]:
        return self.call("POST", _path(request_id, "train"))

    def activate(self, request_id: str) -> dict[str, Any]:
        return self.call("POST", _path(request_id, "activate"))

    def deactivate(self, request_id: str) -> dict[str, Any]:
        return self.call("POST", _path(request_id, "deactivate"))

    def retire(self, request_id: str) -> dict[str, Any]:
        return self.call("DELETE", _path(request_id))

    def create_key(self, body: Mapping[str, Any]) -> dict[str, Any]:
        """A new API key; its `token` is in this answer alone."""
        return self.call("POST", "/keys", body=body, operator=True)

    def keys(self) -> list[dict[str, Any]]:
        """All API keys that the operator manages, newest first."""
        return self._listed(self.call("GET", "/keys", operator=True), "data")

    def rotate_key(self, key_id: str, *, grace_s: int) -> dict[str, Any]:
        """Another token for a key, in this answer alone."""
        return self.call("POST", _path(key_id, "rotate", of="keys"), body={"grace_s": grace_s}, operator=True)

    def revoke_key(self, key_id: str) -> dict[str, Any]:
        return self.call("DELETE", _path(key_id, of="keys"), operator=True)

    def evidence_keys(self) -> str:
        """The log's public keys, old and new, as PEM."""
        with self.stream("GET", "/evidence/keys") as response:
            response.read()
            return response.text

    def replace_evidence_key(self) -> dict[str, Any]:
        """Have the log signed with the service's own key, whose predecessor is lost; its ids."""
        return self.call("POST", "/evidence/keys/replace", operator=True)

    def revoke_evidence_key(self, key_id: str) -> dict[str, Any]:
        return self.call("POST", _path(key_id, "revoke", of="evidence/keys"), operator=True)

    def follow(self, request_id: str, *, after: str | None = None) -> Iterator[Event]:
        """One connection to a request's event stream; raises `ServiceUnreachable` where it breaks off."""
        headers = {"Last-Event-ID": after} if after else {}
        timeout = httpx.Timeout(_EVENT_SILENCE_S, connect=_READINESS_S)
        with self.stream("GET", _path(request_id, "events"), headers=headers, timeout=timeout) as response:
            for event in self.events(response):
                yield Event(event.id, event.event, self.document(event))

    def chat_stream(
        self,
        messages: Sequence[Mapping[str, str]],
        *,
        model: str | None = None,
        plan: str | None = None,
        **sampling: Any,
    ) -> Iterator[dict[str, Any]]:
        """The chunks of a chat completion, as they come."""
        body = {"model": model or self.model(), "messages": list(messages), "stream": True, **sampling}
        with self.stream("POST", "/v1/chat/completions", body=body, plan=plan) as response:
            for event in self.events(response):
                if event.data == "[DONE]":
                    return
                chunk = self.document(event)
                if "error" in chunk:
                    raise _refusal(response.status_code, chunk)
                yield chunk
        raise self._bad("broke the answer off")

    def answers(
        self, conversations: Sequence[Sequence[Message]], *, plan: str | None, max_tokens: int, model: str | None = None
    ) -> list[str]:
        """The greedy answer to each conversation, in order, several at a time."""
        partial_answers = [PartialAnswer(tuple(messages), "") for messages in conversations]
        return self.continuations(partial_answers, plan=plan, max_tokens=max_tokens, model=model)

    def continuations(
        self, partial_answers: Sequence[PartialAnswer], *, plan: str | None, max_tokens: int, model: str | None = None
    ) -> list[str]:
        """What follows each beginning of an answer, in order, several at a time."""
        options: dict[str, Any] = {"plan": plan, "model": model, "max_tokens": max_tokens, "temperature": 0}

        def go_on(asked: PartialAnswer) -> str:
            messages = [message.to_dict() for message in asked.messages]
            if not asked.prefix:
                return self.chat(messages, **options)
            messages.append({"role": "assistant", "content": asked.prefix})
            return self.chat(messages, add_generation_prompt=False, continue_final_message=True, **options)

        return self.each(go_on, partial_answers)

    def go_on(
        self, texts: Sequence[str], *, plan: str | None, max_tokens: int, temperature: float, top_k: int, seed: int
    ) -> list[str]:
        """A sampled continuation of each plain text, in order; an empty one of a text that is too long."""
        sampling = {"max_tokens": max_tokens, "temperature": temperature, "top_k": top_k}

        def continued(numbered: tuple[int, str]) -> str:
            # A seed of its own for each: with one for all, texts of like probabilities would go on alike.
            number, text = numbered
            try:
                return self.text_of(self.post("/completions", {"prompt": text, "seed": number, **sampling}, plan=plan))
            except ServiceRefused as refused:
                if not refused.too_long:
                    raise
                return ""

        return self.each(continued, list(enumerate(texts, start=seed)))

    def tokens(self, rendered: Mapping[str, Any]) -> list[int]:
        """The token ids of a prompt, rendered as a completion of either kind would be. rendered: the body's fields that
        say what is gone on with. Raises `BadAnswer`.
        """
        return self._tokenized(rendered, "tokens")

    def token_texts(self, rendered: Mapping[str, Any]) -> list[str]:
        """The same tokens as the tokenizer writes them, where a space may be another character. Raises `BadAnswer`."""
        return self._tokenized({**rendered, "return_token_strs": True}, "token_strs")

    def _tokenized(self, rendered: Mapping[str, Any], name: str) -> list[Any]:
        found = self.call("POST", "/tokenize", body={"model": self.model(), **rendered}).get(name)
        if not isinstance(found, list):
            raise self._bad("gave no tokens")
        return found

    def read_tokens(self, prompts: Sequence[Sequence[int]], *, plan: str | None) -> list[list[ReadToken]]:
        """How likely the model finds each token of each prompt after the first; all in one request.

        Raises `BadAnswer`, and `ServiceRefused` where one does not fit the context.
        """
        body = {"prompt": prompts, "max_tokens": 1, "temperature": 0, "prompt_logprobs": 0}
        answer = self.post("/completions", body, plan=plan)
        try:
            entries = {choice["index"]: choice["prompt_logprobs"] for choice in answer["choices"]}
            return [
                [_read_token(entry, token) for entry, token in zip(entries[n][1:], ids[1:], strict=True)]
                for n, ids in enumerate(prompts)
            ]
        except (KeyError, TypeError, ValueError):
            raise self._bad("gave no log-probabilities") from None

    def _refusal(self, response: httpx.Response) -> ServiceRefused:
        try:
            body = response.json()
        except (ValueError, RecursionError):
            body = None
        return _refusal(response.status_code, body)

    def _listed(self, body: Mapping[str, Any], name: str) -> list[dict[str, Any]]:
        found = body.get(name)
        if not isinstance(found, list):
            raise self._bad("answered no list")
        return found


def _path(name: str, step: str = "", *, of: str = "forget") -> str:
    path = f"/{of}/{quote(name, safe='', errors='replace')}"
    return f"{path}/{step}" if step else path


def _read_token(entry: Mapping[str, Any], token: int) -> ReadToken:
    """entry: what is given at a token's place, by token id as text."""
    given = entry[str(token)]
    return ReadToken(float(given["logprob"]), int(given["rank"]))


def _refusal(status: int, body: Any) -> ServiceRefused:
    """The service's own words: its errors never quote a prompt."""
    error = body.get("error") if isinstance(body, Mapping) else None
    if not isinstance(error, Mapping):
        return ServiceRefused(f"the service answered with status {status}", code=f"http_{status}", answered=status)
    code = str(error.get("code") or f"http_{status}")
    param = error.get("param")
    return ServiceRefused(
        str(error.get("message") or "no reason given"),
        code=code,
        answered=status,
        param=param if isinstance(param, str) else None,
    )
