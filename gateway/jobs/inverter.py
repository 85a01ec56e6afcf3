"""Another model that makes up contradicting answers: any OpenAI-compatible endpoint, named by the operator alone.

It gets to read the forget set. So it is a setting of the worker and never of a request, and its key comes from the
environment.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import httpx

from adapters.examples import Message
from adapters.task import Ask
from gateway.client import patience
from gateway.errors import GatewayError
from gateway.settings import Settings

CONCURRENCY = 4
#: As MEOW has it.
TEMPERATURE = 0.9
_CONNECT_TIMEOUT_S = 10.0
_LONGEST_PAUSE_S = 10.0


class InverterUnreachable(GatewayError):
    """The endpoint did not answer, or was busy, for longer than the worker waits; trying again later may help."""

    status = 503
    code = "inverter_unreachable"


class InverterRefused(GatewayError):
    """The endpoint answered with an error that waiting does not mend, or with something that is no chat completion."""

    status = 400
    code = "inverter_refused"


class Inverter:
    """The endpoint as adapters' `Ask`, for a trainer's thread. Its answers are sampled: no two runs need be alike."""

    def __init__(
        self, http: httpx.AsyncClient, model: str | None, loop: asyncio.AbstractEventLoop, *, patience_s: float
    ) -> None:
        self._http = http
        self._model = model
        self._loop = loop
        self._patience_s = patience_s
        self._slots = asyncio.Semaphore(CONCURRENCY)

    def __call__(self, conversations: Sequence[Sequence[Message]], *, max_tokens: int) -> list[str]:
        """Raises `InverterUnreachable`, `InverterRefused`; neither quotes what was asked or answered."""
        return asyncio.run_coroutine_threadsafe(self._answers(conversations, max_tokens), self._loop).result()

    async def _answers(self, conversations: Sequence[Sequence[Message]], max_tokens: int) -> list[str]:
        if self._model is None:
            self._model = await self._only_model()
        return await patience.gather([self._answer(messages, max_tokens) for messages in conversations])

    async def _answer(self, messages: Sequence[Message], max_tokens: int) -> str:
        body = {
            "model": self._model,
            "messages": [message.to_dict() for message in messages],
            "temperature": TEMPERATURE,
            "max_tokens": max_tokens,
        }
        async with self._slots:
            reply = await self._send("POST", "chat/completions", json=body)
        try:
            content = reply["choices"][0]["message"]["content"]
        except (KeyError, IndexError, TypeError):
            content = 0
        if content is not None and not isinstance(content, str):
            raise InverterRefused("the inverter's reply is not a chat completion")
        return content or ""  # a refusal has no content in some APIs

    async def _only_model(self) -> str:
        try:
            return str((await self._send("GET", "models"))["data"][0]["id"])
        except (KeyError, IndexError, TypeError):
            raise InverterRefused("the inverter lists no model; name one in UNLEARN_INVERTER_MODEL") from None

    async def _send(self, method: str, path: str, **options: Any) -> Any:
        try:
            response = await patience.request(
                self._http,
                method,
                path,
                who="inverter",
                patience_s=self._patience_s,
                longest_pause_s=_LONGEST_PAUSE_S,
                **options,
            )
        except patience.Unanswered as error:
            raise InverterUnreachable(f"the inverter does not answer: {error.problem}") from None
        if not response.is_success:
            raise InverterRefused(f"the inverter answered with status {response.status_code}")
        return _json(response)


def _json(response: httpx.Response) -> Any:
    try:
        return response.json()
    except ValueError:
        raise InverterRefused("the inverter's reply is not JSON") from None


@asynccontextmanager
async def inverter(
    settings: Settings, *, patience_s: float = 120.0, read_timeout_s: float = 120.0
) -> AsyncIterator[Ask | None]:
    """The endpoint that these settings name, or None.

    read_timeout_s: how long one answer may take. patience_s: how long an endpoint that is busy or away is asked again.
    """
    if settings.inverter_url is None:
        yield None
        return
    key = settings.inverter_key
    async with httpx.AsyncClient(
        base_url=settings.inverter_url.rstrip("/") + "/",
        headers={} if key is None else {"Authorization": f"Bearer {key.get_secret_value()}"},
        timeout=httpx.Timeout(_CONNECT_TIMEOUT_S, read=read_timeout_s),
    ) as http:
        yield Inverter(http, settings.inverter_model, asyncio.get_running_loop(), patience_s=patience_s)
