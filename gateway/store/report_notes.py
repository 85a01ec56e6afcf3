"""The note that a request's record has of its report: which it is, and whether it still holds."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from typing import Any

from redis.asyncio import Redis

from gateway.evidence.report.report import Report, instant
from gateway.store import keys, scripts, webhooks
from gateway.store.client import call
from gateway.store.records import RequestRecord, RequestState

#: The kinds of messages that the operator's webhook gets: a report is stale; a request was evaluated again.
STALE, MADE = "report.stale", "report.made"


def note_of(report: Report) -> dict[str, Any]:
    """The record's field about a report that holds."""
    return {
        "digest": report.digest,
        "verdict": report.verdict.value,
        "tier": report.evaluation.tier.value,
        "made_at": report.made_at,
        "valid_until": report.valid_until,
        "stale": [],
    }


class ReportNotes:
    """Raises `StoreUnavailable`."""

    def __init__(self, redis: Redis, *, tells_webhook: bool) -> None:
        """tells_webhook: whether the operator has one; without, no messages are written."""
        self._redis = redis
        self._tells_webhook = tells_webhook
        self._replace = redis.register_script(scripts.load("watch", "replace_report"))

    async def mark_stale(self, record: RequestRecord, report: str, names: Sequence[str]) -> bool:
        """Note that the report of this digest is stale for these reasons too. False where the request has another by
        now, and where it is noted already.

        Its followers get an event and the webhook a message in the same instant.
        """
        while True:
            read = await self._read(record.id)
            note: dict[str, Any] | None = None if read is None else json.loads(read)
            if read is None or note is None or note["digest"] != report:
                return False
            stale = list(dict.fromkeys((*note["stale"], *names)))
            if stale == note["stale"]:
                return False
            # It fails where somebody else has noted something meanwhile, which is then read.
            if await self._replaced(record, read, {**note, "stale": stale}, STALE, {"stale": stale}):
                return True

    async def replace(self, record: RequestRecord, note: Mapping[str, Any]) -> bool:
        """Note another report. False where somebody else has noted one meanwhile.

        Its followers get an event and the webhook a message in the same instant.
        """
        read = await self._read(record.id)
        return read is not None and await self._replaced(record, read, note, MADE, {"report": note["digest"]})

    async def _read(self, request_id: str) -> bytes | None:
        read: Any = await call(lambda: self._redis.hget(keys.of(request_id).record, "report"))
        return None if read is None else bytes(read)

    async def _replaced(
        self, record: RequestRecord, read: bytes, note: Mapping[str, Any], kind: str, says: Mapping[str, Any]
    ) -> bool:
        """Put another note in the place of the one that was read. kind: of the message. says: what the event has."""
        own, now = keys.of(record.id), time.time()
        event = {"state": record.state, "at": now, "error": record.error, **says}
        previous = RequestState.ACTIVE.value if record.activated_seq is not None else ""
        message = ""
        if self._tells_webhook:
            told = {"request": record.id, "report": note["digest"], "verdict": note["verdict"], "stale": note["stale"]}
            message = json.dumps({"type": kind, "timestamp": instant(now), "data": told})
        texts = [json.dumps(note), json.dumps(event), previous, message, str(webhooks.MOST), record.id]
        names = [own.record, own.events, webhooks.KEY]
        return bool(await call(lambda: self._replace(keys=names, args=[read, *texts])))
