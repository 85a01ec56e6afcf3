"""Follows a request's events to where it stays, across broken connections."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from gateway.cli.failures import CommandFailed
from gateway.client.client import Event, UnlearnClient
from gateway.client.errors import ServiceRefused, ServiceUnreachable
from gateway.store.records import PENDING, RequestState

#: Tries in a row that bring no event before giving up; with the pauses below, about a minute.
_TRIES = 10
_LONGEST_PAUSE_S = 8.0


class RequestEnded(CommandFailed):
    """The request ended otherwise than was asked for."""

    code = "request_ended"


def follow(client: UnlearnClient, request_id: str, *, pause: Callable[[float], None] = time.sleep) -> Iterator[Event]:
    """Events from the first on; ends where the request stays as it is. Reconnects after the last event seen.

    Raises `ServiceUnreachable` when the service stays away, `ServiceRefused` when it knows no such request.
    """
    last: str | None = None
    failures = 0
    while True:
        try:
            for event in client.follow(request_id, after=last):
                last, failures = event.id, 0
                yield event
            # A service that stops ends the stream as well.
            if _stays(client.show(request_id)):
                return
            broken: ServiceUnreachable | ServiceRefused = ServiceUnreachable(
                "the event stream ends early", code="service_unreachable"
            )
        except ServiceUnreachable as error:
            broken = error
        except ServiceRefused as refusal:
            if refusal.answered != 503:
                raise
            broken = refusal
        failures += 1
        if last is None or failures == _TRIES:
            raise broken
        pause(min(0.25 * 2**failures, _LONGEST_PAUSE_S))


def check_outcome(record: Mapping[str, Any], *, bad: tuple[str, ...]) -> None:
    """Raises `RequestEnded` when the request is in a bad state, or is ready because its activation was refused."""
    error = record.get("error") or {}
    reason = f": {error['message']}" if error.get("message") else ""
    if record["state"] in bad:
        raise RequestEnded(f"{record['id']} is {record['state']}{reason}")
    if record["state"] == RequestState.READY and error:
        raise RequestEnded(f"{record['id']} is ready, but was not activated{reason}")


def _stays(record: Mapping[str, Any]) -> bool:
    """Whether nothing more happens to the request by itself; see `RequestRecord.unfinished`."""
    awaits_activation = (
        record["state"] == RequestState.READY
        and record["activation"] == "auto"
        and record.get("activated_seq") is None
        and not record.get("error")
    )
    return record["state"] not in PENDING and not awaits_activation
