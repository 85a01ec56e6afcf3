"""The note that a request's record has of its report: which it is, and whether it still holds."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from typing import Any

from redis.asyncio import Redis

from gateway.store import keys, scripts, webhooks
from gateway.store.client import call
from gateway.store.records import RequestRecord, RequestState

#: The kind of message that the operator's webhook gets.
STALE = "report.stale"


class ReportNotes:
    """Raises `StoreUnavailable`."""

    def __init__(self, redis: Redis, *, tells_webhook: bool) -> None:
        """tells_webhook: whether the operator has one; without, no messages are written."""
        self._redis = redis
        self._tells_webhook = tells_webhook
        self._replace = redis.register_script(scripts.load("replace_report"))

    async def mark_stale(self, record: RequestRecord, report: str, names: Sequence[str]) -> bool:
        """Note that the report of this digest is stale for these reasons. False where the request has another by now.

        Its followers get an event and the webhook a message in the same instant.
        """
        own = keys.of(record.id)
        read: Any = await call(lambda: self._redis.hget(own.record, "report"))
        note: dict[str, Any] | None = None if read is None else json.loads(read)
        if note is None or note["digest"] != report:
            return False
        now = time.time()
        event = {"state": record.state, "at": now, "error": record.error, "stale": list(names)}
        message = ""
        if self._tells_webhook:
            said = {"request": record.id, "report": report, "verdict": note["verdict"], "stale": list(names)}
            message = json.dumps({"type": STALE, "timestamp": _instant(now), "data": said})
        previous = RequestState.ACTIVE.value if record.activated_seq is not None else ""
        arguments = [read, json.dumps({**note, "stale": list(names)}), json.dumps(event), previous, message]
        return bool(
            await call(
                lambda: self._replace(keys=[own.record, own.events, webhooks.KEY], args=[*arguments, webhooks.MOST])
            )
        )

    async def active_since(self, ids: Sequence[str]) -> dict[str, float]:
        """When each of these requests came to the state that it is in, in unix seconds; of those that are there."""

        async def read() -> list[bytes | None]:
            async with self._redis.pipeline(transaction=False) as pipeline:
                for each in ids:
                    pipeline.hget(keys.of(each).record, "state_since")
                found: list[bytes | None] = await pipeline.execute()
                return found

        since = await call(read) if ids else []
        return {each: float(at) for each, at in zip(ids, since, strict=True) if at is not None}


def _instant(seconds: float) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(seconds))
