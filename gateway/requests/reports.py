"""What `/forget/{id}/report` does, without HTTP."""

from __future__ import annotations

import logging
from dataclasses import dataclass

from gateway.access import caller as callers
from gateway.evidence.report.manifest import ServedManifest
from gateway.store.probe_sets import KeptProbes
from gateway.store.reports import ReportStore

audit = logging.getLogger("gateway.audit")


@dataclass(frozen=True, slots=True)
class Reports:
    """The reports of one service, what is kept to make them again, and what it serves with."""

    store: ReportStore
    kept: KeptProbes
    served: ServedManifest

    async def latest(self, request_id: str) -> bytes:
        """The canonical bytes of the last report. Raises `NotFound`."""
        return await self.store.latest(request_id)

    async def erase_probes(self, request_id: str) -> None:
        """Delete what was kept to evaluate the request again. Raises `NotFound` where nothing is."""
        await self.kept.erase(request_id)
        audit.info("probes erased request=%s by=%s", request_id, callers.name())
