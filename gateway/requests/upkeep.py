"""What every request with a report needs: its certificate, and a look whether the report still holds.

It goes by what has happened: while nothing does, a round costs the same for one report and for thousands.
"""

from __future__ import annotations

import time

from gateway.requests.certifier import CERTIFIED, Certifier
from gateway.requests.many import for_each
from gateway.requests.reverification import Schedule
from gateway.requests.staleness import Staleness
from gateway.service.metrics import GatewayMetrics
from gateway.store.lease import Lease
from gateway.store.records import RequestRecord
from gateway.store.requests import RequestStore
from gateway.store.watched import Change, WatchedReports

#: Between two rounds: how late a certificate, or the word that a report is stale, may be.
POLL_S = 15.0
#: Longer than a round may take: one that waits for the log to be signed, above all.
LEASE_S = 300.0


class EvidenceUpkeep:
    """`sweep` is to be done every `POLL_S`: every replica counts what is stale, and one at a time acts."""

    def __init__(
        self,
        store: RequestStore,
        watched: WatchedReports,
        certifier: Certifier,
        staleness: Staleness,
        lease: Lease,
        metrics: GatewayMetrics,
        schedule: Schedule | None = None,
    ) -> None:
        """schedule: None where nothing is evaluated again without anybody's asking."""
        self._store = store
        self._watched = watched
        self._certifier = certifier
        self._staleness = staleness
        self._lease = lease
        self._metrics = metrics
        self._schedule = schedule

    async def sweep(self) -> None:
        """Raises `StoreUnavailable`, `LogRefused`."""
        async with self._lease.held() as mine:
            if mine:
                await self._act(time.time())
        self._metrics.reports_stale.set(await self._watched.stale())

    async def _act(self, now: float) -> None:
        await self._watched.begin(now)
        while changes := await self._watched.changes():
            await self._take(changes)
            await self._watched.done(changes)
        await self._staleness.hold_against_surroundings()
        await self._staleness.end_by_date(now)
        if self._schedule is not None:
            await self._schedule.ask_due(now)

    async def _take(self, changes: list[Change]) -> None:
        """Look at what happened to some requests; killed here, they are looked at again."""
        records = await self._store.those({change.request for change in changes})
        reported = {change.request for change in changes if change.activated_at is None}
        await for_each([records[each] for each in sorted(reported & records.keys())], self._look)
        activated: dict[str, float] = {}
        for change in changes:
            if change.activated_at is not None:  # the last time stands for those before it
                activated[change.request] = max(change.activated_at, activated.get(change.request, 0.0))
        for each in activated.keys() & records.keys():
            await self._staleness.came_into_force(records[each], activated[each])

    async def _look(self, record: RequestRecord) -> None:
        """Certify the report that a record notes, and watch it."""
        if record.state not in CERTIFIED or record.report is None:
            return
        newest = await self._certifier.certify(record)
        # Where its maker was killed before it was noted, the newest report is another.
        known = newest is not None and newest.digest == record.report["digest"]
        await self._staleness.watch(record, newest.report.manifest if newest is not None and known else None)
