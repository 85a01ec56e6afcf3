"""What every request with a report needs: its certificate, and a look whether the report still holds."""

from __future__ import annotations

from gateway.requests.certifier import Certifier
from gateway.requests.reverification import Reverification
from gateway.requests.staleness import Staleness
from gateway.service.metrics import GatewayMetrics
from gateway.store.lease import Lease
from gateway.store.records import RequestState
from gateway.store.requests import RequestStore

#: Between two rounds: how late a certificate, or the word that a report is stale, may be.
POLL_S = 15.0
#: Longer than a round may take: one that waits for the log to be signed, above all.
LEASE_S = 300.0


class EvidenceUpkeep:
    """`sweep` is to be done every `POLL_S`: every replica counts what is stale, and one at a time acts."""

    def __init__(
        self,
        store: RequestStore,
        certifier: Certifier,
        staleness: Staleness,
        reverification: Reverification,
        lease: Lease,
        metrics: GatewayMetrics,
    ) -> None:
        self._store = store
        self._certifier = certifier
        self._staleness = staleness
        self._reverification = reverification
        self._lease = lease
        self._metrics = metrics

    async def sweep(self) -> None:
        """Raises `StoreUnavailable`, `LogRefused`."""
        active, ready = [
            [record async for record in self._store.every(state)] for state in (RequestState.ACTIVE, RequestState.READY)
        ]
        reported = [record for record in (*active, *ready) if record.report is not None]
        stale = {record.id: bool(record.report and record.report["stale"]) for record in reported}
        async with self._lease.held() as mine:
            for record in reported if mine else ():
                if (report := await self._certifier.certify(record)) is not None:
                    stale[record.id] = bool(await self._staleness.check(record, report, active))
                await self._reverification.ask_when_due(record)
        self._metrics.reports_stale.set(sum(stale.values()))
