"""Says of reports that they say no longer what the service does.

A report is stale when a digest of its manifest has changed, when another request came into force where it may
interfere, or when its time is up. Another counts from the instant at which it came into force, however soon it went:
it may have changed answers meanwhile. Where it was retired before it was looked at, nothing is left that would tell
whom it was near to: then it was near to all.
"""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Collection, Iterable, Mapping, Sequence
from typing import Any, Protocol

from gateway.evidence.log.leaf import Entry
from gateway.evidence.report.report import seconds_of
from gateway.evidence.staleness import INTERFERENCE, VALID_UNTIL, changed_names
from gateway.requests.certifier import CERTIFIED
from gateway.requests.evidence_log import EvidenceLog
from gateway.requests.many import for_each
from gateway.store.records import RequestRecord
from gateway.store.report_notes import ReportNotes
from gateway.store.requests import RequestStore
from gateway.store.watched import BATCH, Bound, WatchedReports

audit = logging.getLogger("gateway.audit")


class Nearness(Protocol):
    """Tells which matched requests may apply to the same prompts."""

    async def near(self, request_id: str, others: Collection[str]) -> frozenset[str]:
        """Of the others those that may apply to a prompt together with this one. Raises `StoreUnavailable`."""
        ...


class Apart:
    """Every matched request is far from every other."""

    async def near(self, request_id: str, others: Collection[str]) -> frozenset[str]:  # noqa: ARG002
        return frozenset()


class Surroundings(Protocol):
    """What the service answers with now."""

    @property
    def stamp(self) -> str:
        """Another where any manifest may be another."""
        ...

    async def manifests(self, records: Iterable[RequestRecord]) -> Mapping[str, Mapping[str, str]]:
        """By request, digests by name as `Report.manifest` has them, of the service as it is and its adapter."""
        ...


class Staleness:
    """Each of its checks may end at any point and begin anew, and is to be done by one replica at a time.

    What a report was stale for before, it stays stale for. All raise `StoreUnavailable`, `LogRefused`.
    """

    def __init__(
        self,
        store: RequestStore,
        watched: WatchedReports,
        notes: ReportNotes,
        log: EvidenceLog,
        surroundings: Surroundings,
        nearness: Nearness | None = None,
    ) -> None:
        self._store = store
        self._watched = watched
        self._notes = notes
        self._log = log
        self._surroundings = surroundings
        self._nearness = nearness or Apart()

    async def watch(self, record: RequestRecord, manifest: Mapping[str, str] | None) -> None:
        """Begin to watch the report that a record notes, and hold it against all there is by now.

        manifest: of that report; None where it is not known.
        """
        if not await self._watched.watch(record, manifest, self._surroundings.stamp):
            return
        found: tuple[str, ...] = ()
        if manifest is not None:
            now = await self._surroundings.manifests([record])
            found = changed_names(manifest, now[record.id], matched=record.matched)
        later = await self._watched.activated_after(_instant(record, "made_at"), record.tenant)
        if await self._met(record, later):
            found = (*found, INTERFERENCE)
        await self._mark(record, found)

    async def came_into_force(self, record: RequestRecord, at: float) -> None:
        """Hold against a request that came into force the reports that were made before."""
        met = await self._met(record, await self._watched.open_before(at, record.tenant))
        async for records in self._batches(sorted(met)):
            found = [(each, (INTERFERENCE,)) for each in records if _instant(each, "made_at") < at]
            await for_each(found, self._mark_each)

    async def hold_against_surroundings(self) -> None:
        """Hold all reports against what this replica answers with, where not all were held against it yet."""
        stamp = self._surroundings.stamp
        if (number := await self._watched.not_held_against(stamp)) is None:
            return
        async for manifests in self._watched.manifests():
            records = _reported(await self._store.those(manifests))
            now = await self._surroundings.manifests(records)
            found = [
                (each, changed_names(made.digests, now[each.id], matched=each.matched))
                for each in records
                if (made := manifests[each.id]).report == (each.report or {})["digest"]
            ]
            await for_each(found, self._mark_each)
        await self._watched.hold_against(stamp, number)

    async def end_by_date(self, now: float) -> None:
        """Mark the reports whose time is up."""
        ended = await self._watched.ended(now)
        async for records in self._batches(ended):
            found = [(each, (VALID_UNTIL,)) for each in records if _instant(each, "valid_until") <= now]
            await for_each(found, self._mark_each)
        await self._watched.follow(ended)

    async def _met(self, record: RequestRecord, others: Bound) -> frozenset[str]:
        """Of the others, which apply to the same callers, those that may apply to a prompt together with it."""
        matched = others.matched
        if record.matched and matched - {record.id}:
            matched = await self._nearness.near(record.id, matched - {record.id})
        return (others.always | matched) - {record.id}

    async def _batches(self, ids: Sequence[str]) -> AsyncIterator[list[RequestRecord]]:
        for start in range(0, len(ids), BATCH):
            yield _reported(await self._store.those(ids[start : start + BATCH]))

    async def _mark_each(self, found: tuple[RequestRecord, Iterable[str]]) -> None:
        await self._mark(*found)

    async def _mark(self, record: RequestRecord, found: Iterable[str]) -> None:
        """Mark the report that a record notes stale, for these reasons and those that are known."""
        note: Mapping[str, Any] = record.report or {}
        known, report = tuple(note["stale"]), note["digest"]
        names = tuple(dict.fromkeys((*known, *found)))
        if names == known:
            return
        # First the log: a leaf that is there already is not written again, so this may end at any point and begin anew.
        body = {"request": record.id, "report": report, "stale": list(names)}
        await self._log.append_once(Entry("stale", body), request=record.id)
        if await self._notes.mark_stale(record, report, names):
            audit.warning("report stale request=%s report=%s why=%s", record.id, report[:19], ",".join(names))


def _reported(records: Mapping[str, RequestRecord]) -> list[RequestRecord]:
    """Those that are ready or active and have a report."""
    return [each for each in records.values() if each.state in CERTIFIED and each.report is not None]


def _instant(record: RequestRecord, name: str) -> float:
    """A time in the note of its report, in unix seconds."""
    return seconds_of((record.report or {})[name])
