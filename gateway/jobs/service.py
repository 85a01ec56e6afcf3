"""The worker's client of the service: answers under a chosen plan, and activation."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import httpx

from adapters.examples import Message, PartialAnswer
from gateway.client import patience
from gateway.errors import GatewayError
from gateway.settings import Settings
from gateway.store.tokens import load_or_create_operator_token

OFF = "off"
#: Requests at once. The engine batches what it has, so this is to be no less than a batch of its own.
CONCURRENCY = 128
_LONGEST_PAUSE_S = 5.0
_TOO_LONG = 400
_READ_TIMEOUT_S = 300.0  # a slow CPU, many answers at once


def candidate(request_id: str) -> str:
    """The plan of one request's adapter alone."""
    return f"candidate:{request_id}"


class ServiceUnreachable(GatewayError):
    """The service did not answer, or was busy, for longer than the worker waits."""

    status = 503
    code = "service_unreachable"


class ServiceRefused(GatewayError):
    """The service answered with an error that waiting does not mend."""

    status = 400
    code = "service_refused"

    def __init__(self, message: str, *, code: str, answered: int = 400) -> None:
        """answered: the status that the service answered with."""
        super().__init__(message)
        self.reason = code
        self.answered = answered


class ServiceClient:
    """Waits up to `patience_s` while the service is starting, busy or away."""

    def __init__(self, http: httpx.AsyncClient, *, patience_s: float = 120.0) -> None:
        self._http = http
        self._patience_s = patience_s
        self._slots = asyncio.Semaphore(CONCURRENCY)
        self._model: str | None = None

    async def answer(self, messages: Sequence[Message], *, plan: str, max_tokens: int, prefix: str = "") -> str:
        """The greedy answer to a conversation, or what follows when it begins with `prefix`.

        Raises `ServiceUnreachable`, `ServiceRefused`.
        """
        body: dict[str, Any] = {
            "model": await self._served_model(),
            "messages": [message.to_dict() for message in messages],
            "temperature": 0,
            "max_tokens": max_tokens,
        }
        if prefix:
            body["messages"].append({"role": "assistant", "content": prefix})
            body |= {"add_generation_prompt": False, "continue_final_message": True}
        async with self._slots:
            reply = await self._send("POST", "/v1/chat/completions", json=body, headers={"X-Unlearning-Plan": plan})
        return reply["choices"][0]["message"]["content"] or ""

    async def answers(self, conversations: Sequence[Sequence[Message]], *, plan: str, max_tokens: int) -> list[str]:
        """`answer` for each, in order, a few at a time."""
        partial = [PartialAnswer(tuple(messages), "") for messages in conversations]
        return await self.continuations(partial, plan=plan, max_tokens=max_tokens)

    async def continuations(self, partial: Sequence[PartialAnswer], *, plan: str, max_tokens: int) -> list[str]:
        """What follows each beginning of an answer, in order, a few at a time."""
        await self._served_model()
        return await patience.gather(
            [self.answer(p.messages, plan=plan, max_tokens=max_tokens, prefix=p.prefix) for p in partial]
        )

    async def go_on(self, text: str, *, plan: str, max_tokens: int, temperature: float, top_k: int, seed: int) -> str:
        """A sampled continuation of a plain text; none of one that is too long for the service.

        Raises `ServiceUnreachable`, `ServiceRefused`.
        """
        body = {
            "model": await self._served_model(),
            "prompt": text,
            "temperature": temperature,
            "top_k": top_k,
            "max_tokens": max_tokens,
            "seed": seed,
        }
        async with self._slots:
            try:
                reply = await self._send("POST", "/v1/completions", json=body, headers={"X-Unlearning-Plan": plan})
            except ServiceRefused as refused:
                if refused.answered != _TOO_LONG:
                    raise
                return ""
        return reply["choices"][0]["text"] or ""

    async def activate(self, request_id: str) -> None:
        """Raises `ServiceUnreachable`, or `ServiceRefused` with the service's reason."""
        await self._send("POST", f"/forget/{request_id}/activate")

    async def _served_model(self) -> str:
        if self._model is None:
            self._model = str((await self._send("GET", "/v1/models"))["data"][0]["id"])
        return self._model

    async def _send(self, method: str, path: str, **options: Any) -> Any:
        try:
            response = await patience.request(
                self._http,
                method,
                path,
                who="service",
                patience_s=self._patience_s,
                longest_pause_s=_LONGEST_PAUSE_S,
                **options,
            )
        except patience.Unanswered as error:
            raise ServiceUnreachable(f"the service does not answer: {error.problem}") from None
        if not response.is_success:
            raise _refusal(response)
        return response.json()


class ServiceAsk:
    """The original model's answers, for a trainer's thread: adapters' `Ask` over HTTP with the plan off."""

    def __init__(self, client: ServiceClient, loop: asyncio.AbstractEventLoop) -> None:
        self._client = client
        self._loop = loop

    def __call__(self, conversations: Sequence[Sequence[Message]], *, max_tokens: int) -> list[str]:
        answers = self._client.answers(conversations, plan=OFF, max_tokens=max_tokens)
        return asyncio.run_coroutine_threadsafe(answers, self._loop).result()


class ServiceGoOn:
    """How the original model goes on with plain texts, for a trainer's thread: adapters' `GoOn` with the plan off."""

    def __init__(self, client: ServiceClient, loop: asyncio.AbstractEventLoop) -> None:
        self._client = client
        self._loop = loop

    def __call__(
        self, texts: Sequence[str], *, max_tokens: int, temperature: float, top_k: int, seed: int
    ) -> list[str]:
        async def all_at_once() -> list[str]:
            sampling: Any = {"max_tokens": max_tokens, "temperature": temperature, "top_k": top_k}
            # A seed of its own for each: with one for all, texts of like probabilities would go on alike.
            seeded = enumerate(texts, start=seed)
            return await patience.gather(
                [self._client.go_on(text, plan=OFF, seed=own, **sampling) for own, text in seeded]
            )

        return asyncio.run_coroutine_threadsafe(all_at_once(), self._loop).result()


class ServiceContinue:
    """Continuations under a plan, for MEMO in another thread: `adapters.evaluation.memo`'s `Continue` over HTTP."""

    def __init__(self, client: ServiceClient, loop: asyncio.AbstractEventLoop, *, plan: str) -> None:
        self._client = client
        self._loop = loop
        self._plan = plan

    def __call__(self, partial: Sequence[PartialAnswer], *, max_tokens: int) -> list[str]:
        written = self._client.continuations(partial, plan=self._plan, max_tokens=max_tokens)
        return asyncio.run_coroutine_threadsafe(written, self._loop).result()


@asynccontextmanager
async def service(settings: Settings, *, patience_s: float = 120.0) -> AsyncIterator[ServiceClient]:
    """A client of the service these settings name, with the operator's token."""
    token = load_or_create_operator_token(settings)
    async with httpx.AsyncClient(
        base_url=settings.service_url,
        headers={"Authorization": f"Bearer {token}"},
        timeout=httpx.Timeout(10.0, read=_READ_TIMEOUT_S),
    ) as http:
        yield ServiceClient(http, patience_s=patience_s)


def _refusal(response: httpx.Response) -> ServiceRefused:
    """The service's own words: its errors never quote a prompt."""
    try:
        error = response.json()["error"]
        return ServiceRefused(str(error["message"]), code=str(error["code"]), answered=response.status_code)
    except (ValueError, KeyError, TypeError):
        said = f"the service answered with status {response.status_code}"
        return ServiceRefused(said, code="service_refused", answered=response.status_code)
