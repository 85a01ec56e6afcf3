"""Looks whether reports still say what the service does, and says so where they do not.

A report is stale when a digest of its manifest has changed, when another request came into force where it may
interfere, or when its time is up.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any, Protocol

from gateway.access.api_key import GLOBAL_TENANT
from gateway.evidence.log.leaf import Entry
from gateway.evidence.report.report import Report
from gateway.evidence.staleness import stale_names
from gateway.requests.evidence_log import EvidenceLog
from gateway.store.records import RequestRecord
from gateway.store.report_notes import ReportNotes

audit = logging.getLogger("gateway.audit")


class Nearness(Protocol):
    """Tells whether two matched requests may apply to the same prompts."""

    async def near(self, one: RequestRecord, other: RequestRecord) -> bool:
        """Whether `other` may change answers to prompts that are about `one`."""


class Apart:
    """Every matched request is far from every other."""

    async def near(self, one: RequestRecord, other: RequestRecord) -> bool:  # noqa: ARG002
        return False


class Surroundings(Protocol):
    """What the service answers with now."""

    async def manifest(self, record: RequestRecord) -> Mapping[str, str]:
        """Digests by name, as `Report.manifest` has them, of the service as it is and this request's adapter."""


class Staleness:
    """`check` is to be done for each request that has a report, by one replica at a time."""

    def __init__(
        self,
        notes: ReportNotes,
        log: EvidenceLog,
        surroundings: Surroundings,
        nearness: Nearness | None = None,
    ) -> None:
        self._notes = notes
        self._log = log
        self._surroundings = surroundings
        self._nearness = nearness or Apart()

    async def check(self, record: RequestRecord, report: Report, active: Iterable[RequestRecord]) -> tuple[str, ...]:
        """Mark the report stale where it has become so; returns why it is. active: all requests in force.

        What it was stale for before, it stays stale for. Raises `StoreUnavailable`.
        """
        note: Mapping[str, Any] = record.report or {}
        known = tuple(note.get("stale", ()))
        now = datetime.now(UTC)
        found = stale_names(
            report.manifest,
            await self._surroundings.manifest(record),
            interfering=await self._interferes(record, report, active),
            valid_until=datetime.fromisoformat(report.valid_until),
            at=now,
            matched=record.matched,
        )
        names = tuple(dict.fromkeys((*known, *found)))
        if names == known:
            return known
        # First the log: a leaf that is there already is not written again, so this may end at any point and begin anew.
        body = {"request": record.id, "report": report.digest, "stale": list(names)}
        await self._log.append_once(Entry("stale", body), request=record.id)
        if await self._notes.mark_stale(record, report.digest, names):
            audit.warning("report stale request=%s report=%s why=%s", record.id, report.digest[:19], ",".join(names))
        return names

    async def _interferes(self, record: RequestRecord, report: Report, active: Iterable[RequestRecord]) -> bool:
        """Whether a request that may change its answers came into force after the report was made."""
        others = [each for each in active if each.id != record.id and _meet(record.tenant, each.tenant)]
        since = await self._notes.active_since([each.id for each in others])
        made = datetime.fromisoformat(report.made_at).timestamp()
        later = [each for each in others if since.get(each.id, made) > made]
        for other in later:
            if not other.matched or await self._nearness.near(record, other):
                return True
        return False


def _meet(one: str, other: str) -> bool:
    """Whether requests of these tenants apply to any caller together."""
    return one == other or GLOBAL_TENANT in (one, other)
