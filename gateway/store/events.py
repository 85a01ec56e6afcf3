"""A request's event stream: replay from a known event, then follow until nothing more happens on its own."""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator
from dataclasses import dataclass
from functools import partial
from typing import Any

from redis.asyncio import Redis

from gateway.errors import InvalidRequest
from gateway.store.client import call
from gateway.store.records import PENDING, Activation, RequestState

BLOCK_MS = 5000
_BATCH = 200
#: In front of every event.
FIRST = "0"
_EVENT_ID = re.compile(r"([0-9]{1,20})(?:-([0-9]{1,20}))?")
_LARGEST = 2**64 - 1  # of either part, in Redis


@dataclass(frozen=True, slots=True)
class Event:
    """`type` is state, progress, or ping (where a heartbeat was asked for; with the last real event's id)."""

    id: str
    type: str
    data: dict[str, Any]


def is_settled(event: Event, activation: Activation) -> bool:
    """Whether a request whose latest event is this one stays as it is until somebody asks for more."""
    if event.type != "state":
        return False
    state = event.data["state"]
    if state == RequestState.READY:
        # auto: still on its way to active, unless it comes back from there or was refused.
        return activation == "manual" or event.data.get("previous") == RequestState.ACTIVE or bool(event.data["error"])
    return state not in PENDING


def check_event_id(text: str) -> None:
    """Raises `InvalidRequest` for what no stream's event is called."""
    parts = _EVENT_ID.fullmatch(text)
    if parts is None or any(int(part) > _LARGEST for part in parts.groups(default="0")):
        raise InvalidRequest("the last event id is not one of this stream", param="Last-Event-ID")


async def follow(
    redis: Redis, key: str, *, activation: Activation, after: str, heartbeat: bool, patience_s: float
) -> AsyncIterator[Event]:
    """Events of stream `key` later than `after`, oldest first; ends once the latest one is settled.

    Raises `InvalidRequest` for an `after` that is no event id, `StoreUnavailable`.
    """
    check_event_id(after)
    last = after
    newest: Any = await call(lambda: redis.xrevrange(key, count=1), patience_s=patience_s)
    settled = bool(newest) and is_settled(_event(newest[0]), activation)
    while True:
        # A settled request may have been changed by hand meanwhile: look once more, without waiting.
        read = partial(redis.xread, {key: last}, count=_BATCH, block=None if settled else BLOCK_MS)
        entries = _entries(await call(read, patience_s=patience_s))
        if not entries and settled:
            return
        if not entries and heartbeat:
            yield Event(last, "ping", {})
        for entry in entries:
            event = _event(entry)
            last, settled = event.id, is_settled(event, activation)
            yield event


def _entries(reply: Any) -> list[Any]:
    """The entries of the one stream that was read."""
    if not reply:
        return []
    streams = list(reply.values()) if isinstance(reply, dict) else [stream[1] for stream in reply]
    entries: list[Any] = streams[0]
    return entries


def _event(entry: Any) -> Event:
    event_id, fields = entry
    data: dict[str, Any] = json.loads(fields[b"data"])
    if b"previous" in fields:
        data["previous"] = fields[b"previous"].decode()
    if b"guarded" in fields:
        data["guarded"] = True
    return Event(event_id.decode(), fields[b"type"].decode(), data)
