"""A blocking client of any OpenAI-compatible endpoint: bearer token, patience, several questions at once."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from contextlib import contextmanager
from threading import Lock
from typing import Any, ClassVar, Self, TypeVar
from urllib.parse import quote

import httpx
from httpx_sse import EventSource, ServerSentEvent
from tenacity import RetryCallState, Retrying, retry_if_exception, stop_before_delay, wait_exponential

from gateway.client.errors import BadAnswer, ClientError, ServiceRefused, ServiceUnreachable
from gateway.http.auth import is_loopback

log = logging.getLogger(__name__)

A = TypeVar("A")
T = TypeVar("T")

PLAN_HEADER = "X-Unlearning-Plan"
_CONNECT_S = 5.0
_FIRST_PAUSE_S = 0.25


class Endpoint:
    """Safe to use from several threads. Close it, or use it as a context manager.

    Its errors never hold what was asked; what the endpoint says of it is not repeated either.

    Args:
        url: what paths are added to.
        name: of the other side, for logs, messages and error codes.
        api_key: sent as bearer token, where there is one.
        operator_token: called only for what takes a gateway's operator: another plan, or what was refused without.
            Returns None when there is no token to read.
        patience_s: how long an endpoint that is away or busy is asked again; 0: it is asked once.
        longest_pause_s: between two tries.
        read_timeout_s: how long one answer may take.
        concurrency: of `each`.
        transport: in place of the network.
    """

    #: Of the OpenAI API's paths under `url`.
    PREFIX: ClassVar[str] = ""

    def __init__(
        self,
        url: str,
        *,
        name: str = "service",
        api_key: str | None = None,
        operator_token: Callable[[], str | None] = lambda: None,
        headers: Mapping[str, str] | None = None,
        patience_s: float = 0.0,
        longest_pause_s: float = 5.0,
        read_timeout_s: float = 600.0,
        concurrency: int = 16,
        transport: httpx.BaseTransport | None = None,
    ) -> None:
        self.url = url.rstrip("/")
        self.name = name
        self._api_key = api_key
        self._operator_token = operator_token
        self._concurrency = concurrency
        self._model: str | None = None
        self._naming = Lock()  # many questions at once ask for it once
        self._http = httpx.Client(
            base_url=self.url,
            headers=headers,
            # One that waits for its turn is not late.
            timeout=httpx.Timeout(read_timeout_s, connect=_CONNECT_S, pool=None),
            limits=httpx.Limits(max_connections=concurrency + 1, max_keepalive_connections=concurrency),
            # A proxy from the environment has no business between two processes of one machine.
            trust_env=not is_loopback(httpx.URL(self.url).host),
            transport=transport,
        )
        self._retrying = Retrying(
            retry=retry_if_exception(_may_be_mended),
            stop=stop_before_delay(patience_s),
            wait=wait_exponential(_FIRST_PAUSE_S, max=longest_pause_s),
            before_sleep=self._log_pause,
            reraise=True,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self._http.close()

    def model(self) -> str:
        """The first model listed. Raises `BadAnswer` for a listing without one."""
        with self._naming:
            if self._model is None:
                models = self.call("GET", f"{self.PREFIX}/models").get("data")
                try:
                    self._model = str(models[0]["id"])  # type: ignore[index]
                except (KeyError, IndexError, TypeError):
                    raise self._bad("lists no model") from None
            return self._model

    def chat(
        self,
        messages: Sequence[Mapping[str, Any]],
        *,
        model: str | None = None,
        plan: str | None = None,
        **sampling: Any,
    ) -> str:
        """The text of an answer; empty for one without content. model, plan: of `post`."""
        body = {"messages": list(messages), **sampling}
        return self.text_of(self.post("/chat/completions", body, model=model, plan=plan))

    def text_of(self, answer: Mapping[str, Any]) -> str:
        """The text of a completion's first choice. Raises `BadAnswer`."""
        return self.texts_of(answer)[0]

    def texts_of(self, answer: Mapping[str, Any]) -> list[str]:
        """The text of each choice of a completion of either kind, in order, at least one. Raises `BadAnswer`."""
        try:
            choices = sorted(answer["choices"], key=lambda choice: int(choice.get("index", 0)))
            texts = [choice["message"]["content"] if "message" in choice else choice["text"] for choice in choices]
        except (KeyError, TypeError, ValueError, AttributeError):
            texts = []
        if not texts or not all(text is None or isinstance(text, str) for text in texts):
            raise self._bad("gave no completion")
        return [text or "" for text in texts]  # a refusal has no content in some APIs

    def post(
        self, path: str, body: Mapping[str, Any], *, model: str | None = None, plan: str | None = None
    ) -> dict[str, Any]:
        """A completion of either kind, whole. model: instead of the first listed. plan: a gateway's, as operator."""
        whole = {"model": model or self.model(), **body}
        return self.call("POST", self.PREFIX + path, body=whole, plan=plan)

    def each(self, ask: Callable[[A], T], work: Sequence[A]) -> list[T]:
        """The results in order, `concurrency` at a time. After one that fails none begins any more."""
        if not work:
            return []
        with ThreadPoolExecutor(min(len(work), self._concurrency)) as threads:
            asked = [threads.submit(ask, item) for item in work]
            try:
                wait(asked, return_when=FIRST_EXCEPTION)
            finally:
                threads.shutdown(wait=False, cancel_futures=True)
            failed = [one for one in asked if one.done() and not one.cancelled() and one.exception()]
            return [one.result() for one in failed or asked]

    def call(self, method: str, path: str, **options: Any) -> dict[str, Any]:
        """The JSON object that answers; options: of `stream`.

        Raises `ServiceUnreachable`, `ServiceRefused`, `BadAnswer`.
        """

        def once() -> dict[str, Any]:
            with self.stream(method, path, **options) as response:
                response.read()
                return self._object(response)

        return self._retrying(once)

    @contextmanager
    def stream(
        self,
        method: str,
        path: str,
        *,
        body: Any = None,
        headers: Mapping[str, str] | None = None,
        plan: str | None = None,
        operator: bool = False,
        **options: Any,
    ) -> Iterator[httpx.Response]:
        """A successful response, its body unread; asked for once. operator: what is asked takes the operator."""
        headers = dict(headers or {})
        if plan is not None:
            headers[PLAN_HEADER] = quote(plan, safe=":,", errors="replace")
        if body is not None:
            # Escaped, so that half a character is the service's to refuse.
            options["content"] = json.dumps(body).encode("ascii")
            headers["Content-Type"] = "application/json"
        refusal: ClientError | None = None
        for bearer in self._bearers(operator=operator or plan is not None):
            if bearer is not None:
                headers["Authorization"] = f"Bearer {bearer}"
            sent = {name.encode(): value.encode("utf-8", "replace") for name, value in headers.items()}
            with self._reaching(), self._http.stream(method, path, headers=sent, **options) as response:
                if response.is_success:
                    yield response
                    return
                response.read()
                refusal = self._refusal(response)
            if refusal.answered not in (401, 403):
                break
        assert refusal is not None
        raise refusal

    def events(self, response: httpx.Response) -> Iterator[ServerSentEvent]:
        """The server-sent events of a response; those without data are none."""
        return (event for event in EventSource(response).iter_sse() if event.data)

    def document(self, event: ServerSentEvent) -> dict[str, Any]:
        """An event's data. Raises `BadAnswer`."""
        try:
            document = json.loads(event.data)
        except ValueError:
            document = None
        if not isinstance(document, dict):
            raise self._bad("streams something that is no JSON object")
        return document

    def _bearers(self, *, operator: bool) -> Iterator[str | None]:
        """Tokens to try, one after the other while they are refused."""
        if not operator:
            yield self._api_key
        token = self._operator_token()
        if token is not None or operator:
            yield token

    def _refusal(self, response: httpx.Response) -> ServiceRefused:
        said = f"the {self.name} answered with status {response.status_code}"
        return ServiceRefused(said, code=f"{self.name}_refused", answered=response.status_code)

    def _object(self, response: httpx.Response) -> dict[str, Any]:
        try:
            body = response.json()
        except (ValueError, RecursionError):
            body = None
        if not isinstance(body, dict):
            raise self._bad("answered something that is no JSON object")
        return body

    def _bad(self, what: str) -> BadAnswer:
        return BadAnswer(f"the {self.name} at {self.url} {what}", code=f"{self.name}_bad_answer")

    def _unreachable(self, error: httpx.HTTPError) -> ServiceUnreachable:
        said = f"the {self.name} does not answer: {type(error).__name__}"
        return ServiceUnreachable(said, code=f"{self.name}_unreachable")

    @contextmanager
    def _reaching(self) -> Iterator[None]:
        """httpx's errors as ours."""
        try:
            yield
        except httpx.HTTPError as error:
            raise self._unreachable(error) from error

    def _log_pause(self, state: RetryCallState) -> None:
        error = state.outcome.exception() if state.outcome else None
        problem = f"status {error.answered}" if isinstance(error, ServiceRefused) else str(error)
        pause_s = state.next_action.sleep if state.next_action else 0.0
        log.info("%s busy problem=%s retry_in_s=%.1f", self.name, problem, pause_s)


def _may_be_mended(error: BaseException) -> bool:
    return isinstance(error, ServiceUnreachable) or (isinstance(error, ServiceRefused) and error.busy)
