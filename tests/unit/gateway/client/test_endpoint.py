"""What a client makes of the other side's answers, and of none."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from gateway.client.client import Event, UnlearnClient, candidate_plan
from gateway.client.endpoint import Endpoint
from gateway.client.errors import BadAnswer, ClientError, ServiceRefused, ServiceUnreachable

OK = httpx.Response(200, json={"fine": True})
Outcome = httpx.Response | Exception


def answering(*outcomes: Outcome, kind: type[Endpoint] = Endpoint, seen: Any = None, **options: Any) -> Any:
    """A client whose requests meet the outcomes in turn."""
    turns = iter(outcomes)

    def handle(request: httpx.Request) -> httpx.Response:
        if seen is not None:
            seen.append(request)
        outcome = next(turns)
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    options = {"longest_pause_s": 0.0, **options}
    return kind("http://other", transport=httpx.MockTransport(handle), **options)


def test_what_waiting_may_mend_is_asked_for_again() -> None:
    outcomes = (httpx.Response(503), httpx.ConnectError("away"), httpx.Response(429), httpx.ReadTimeout("slow"), OK)
    assert answering(*outcomes, patience_s=60.0).call("GET", "/x") == {"fine": True}


@pytest.mark.parametrize("status", [301, 400, 401, 404, 422, 501])
def test_an_error_that_waiting_does_not_mend_is_final(status: int) -> None:
    with pytest.raises(ServiceRefused, match=f"^the service answered with status {status}$") as refusal:
        answering(httpx.Response(status, text="secret"), patience_s=60.0).call("GET", "/x")
    assert (refusal.value.answered, refusal.value.status) == (status, 400)


@pytest.mark.parametrize("outcome", [httpx.ReadError("cut"), httpx.LocalProtocolError("x"), httpx.DecodingError("x")])
def test_without_patience_it_is_asked_once(outcome: Exception) -> None:
    with pytest.raises(ServiceUnreachable, match=type(outcome).__name__):
        answering(outcome).call("GET", "/x")
    with pytest.raises(ServiceRefused) as refusal:
        answering(httpx.Response(503)).call("GET", "/x")
    assert (refusal.value.busy, refusal.value.status) == (True, 503)


@pytest.mark.parametrize("body", [b"", b"<html>", b"[]", b'"x"', b"\xff", b"[" * 2000])
def test_what_is_no_json_object(body: bytes) -> None:
    with pytest.raises(BadAnswer, match="no JSON object"):
        answering(httpx.Response(200, content=body)).call("GET", "/x")


@pytest.mark.parametrize("body", [{}, {"data": []}, {"data": [1]}, {"data": None}])
def test_a_listing_without_a_model(body: Any) -> None:
    with pytest.raises(BadAnswer, match="lists no model"):
        answering(httpx.Response(200, json=body)).model()


@pytest.mark.parametrize("kind", [Endpoint, UnlearnClient])
def test_the_other_sides_words_are_repeated_where_it_is_a_gateway(kind: type[Endpoint]) -> None:
    answer = httpx.Response(422, json={"error": {"message": "forget.0 is blank", "code": "unprocessable"}})
    with pytest.raises(ServiceRefused) as refusal:
        answering(answer, kind=kind).call("POST", "/x", body={})
    assert ("forget.0" in refusal.value.message) is (kind is UnlearnClient)
    assert refusal.value.code == ("unprocessable" if kind is UnlearnClient else "service_refused")


@pytest.mark.parametrize("content", [b"[]", b"{}", b'{"error": "x"}', b"\xff", b"[" * 2000])
def test_a_refusal_in_no_words(content: bytes) -> None:
    with pytest.raises(ServiceRefused, match="status 418") as refusal:
        answering(httpx.Response(418, content=content), kind=UnlearnClient).call("GET", "/x")
    assert refusal.value.code == "http_418"


def test_the_operator_is_asked_for_where_a_key_does_not_do() -> None:
    seen: list[httpx.Request] = []
    client = answering(httpx.Response(403), OK, OK, seen=seen, api_key="key", operator_token=lambda: "op")
    client.call("GET", "/forget")
    client.call("GET", "/x", plan="off")
    assert [request.headers["authorization"] for request in seen] == ["Bearer key", "Bearer op", "Bearer op"]
    with pytest.raises(ServiceRefused):
        answering(httpx.Response(401), api_key="key").call("GET", "/forget")


def test_a_plan_names_one_request_or_several() -> None:
    seen: list[httpx.Request] = []
    client = answering(*[OK] * 3, seen=seen, operator_token=lambda: "op")
    for plan in (candidate_plan("req_a"), candidate_plan("req_a", "req_b", "req_c"), "odd plan"):
        client.call("GET", "/x", plan=plan)
    plans = [request.headers["x-unlearning-plan"] for request in seen]
    assert plans == ["candidate:req_a", "candidate:req_a,req_b,req_c", "odd%20plan"]


def test_anything_can_be_sent() -> None:
    """It is for the service to refuse, in words."""
    seen: list[httpx.Request] = []
    client = answering(OK, OK, kind=UnlearnClient, seen=seen)
    client.register({"forget": "\ud83d", "rate": float("nan")}, idempotency_key="é\ud83d")
    client.show("../v1/\ud83d?x#y")
    assert seen[0].content == b'{"forget": "\\ud83d", "rate": NaN}'
    assert seen[1].url.raw_path == b"/forget/..%2Fv1%2F%3F%3Fx%23y"


class TestEach:
    """Several questions at once."""

    def test_results_come_in_the_order_of_the_work(self) -> None:
        last = threading.Event()

        def ask(number: int) -> int:
            if number == 2:
                last.set()
            assert last.wait(10)
            return number

        assert Endpoint("http://other", concurrency=3).each(ask, [0, 1, 2]) == [0, 1, 2]
        assert Endpoint("http://other").each(ask, []) == []

    def test_the_first_that_fails_is_told(self) -> None:
        def ask(number: int) -> None:
            if number > 1:
                raise KeyError(number)

        with pytest.raises(KeyError, match="2"):
            Endpoint("http://other", concurrency=1).each(ask, range(9))


class Stream(httpx.SyncByteStream):
    """A body in these pieces, which breaks off where one is None."""

    def __init__(self, *pieces: bytes | None) -> None:
        self._pieces = pieces

    def __iter__(self) -> Iterator[bytes]:
        for piece in self._pieces:
            if piece is None:
                raise httpx.ReadError("cut")
            yield piece


def streamed(*pieces: bytes | None) -> UnlearnClient:
    headers = {"content-type": "text/event-stream"}
    made: UnlearnClient = answering(httpx.Response(200, headers=headers, stream=Stream(*pieces)), kind=UnlearnClient)
    return made


EVENT = b'id: 1-0\r\nevent: state\r\ndata: {"a": "x\xe2\x80\xa8y\xc2\x85z"}\r\n\r\n'


@pytest.mark.parametrize("size", [1, 7, 1000])
def test_events_comments_and_line_separators_inside_wherever_the_pieces_end(size: int) -> None:
    body = EVENT + b": ping\n\n: ping\n\n" + EVENT
    pieces = [body[start : start + size] for start in range(0, len(body), size)]
    wanted = Event("1-0", "state", {"a": "x\u2028y\u0085z"})
    assert list(streamed(*pieces).follow("req_1")) == [wanted, wanted]


def test_a_stream_that_breaks_off_loses_its_unfinished_event() -> None:
    events = streamed(EVENT, b"id: 2-0\ndata: {}", None).follow("req_1")
    assert next(events).id == "1-0"
    with pytest.raises(ServiceUnreachable, match="ReadError"):
        next(events)
    assert [event.id for event in streamed(EVENT, b"id: 2-0\ndata: {}").follow("req_1")] == ["1-0"]


@pytest.mark.parametrize("data", [b"x", b"[]", b"1"])
def test_an_event_that_is_no_object(data: bytes) -> None:
    with pytest.raises(BadAnswer, match="no JSON object"):
        list(streamed(b"data: " + data + b"\n\n").follow("req_1"))


@pytest.mark.parametrize(
    ("pieces", "error"),
    [
        ((b'data: {"error": {"message": "no", "code": "c"}}\n\n',), ServiceRefused),
        ((b'data: {"choices": []}\n\n',), BadAnswer),
        ((b"data: {", None), ServiceUnreachable),
    ],
)
def test_an_answer_that_ends_otherwise_than_done(pieces: tuple[bytes | None, ...], error: type[ClientError]) -> None:
    with pytest.raises(error):
        list(streamed(*pieces).chat_stream([], model="m"))
    done = b"data: " + json.dumps({"choices": []}).encode() + b"\n\ndata: [DONE]\n\n"
    assert list(streamed(done).chat_stream([], model="m")) == [{"choices": []}]


def test_what_is_no_event_stream() -> None:
    with pytest.raises(ServiceUnreachable, match="SSEError"):
        list(answering(OK, kind=UnlearnClient).follow("req_1"))
