"""Evaluations that are to be made again: on demand, and after so many days."""

from __future__ import annotations

import logging
import time
from contextlib import suppress
from datetime import datetime

from gateway.access import caller as callers
from gateway.errors import NotFound, StateConflict
from gateway.requests.certifier import CERTIFIED
from gateway.store.probe_sets import KeptProbes
from gateway.store.records import RequestRecord
from gateway.store.verifications import Verifications

audit = logging.getLogger("gateway.audit")

_DAY_S = 86_400.0


class Reverification:
    """every_days: after which a report is made anew without anybody's asking; None: never."""

    def __init__(self, verifications: Verifications, kept: KeptProbes, *, every_days: float | None = None) -> None:
        self._verifications = verifications
        self._kept = kept
        self._every_s = None if every_days is None else every_days * _DAY_S

    async def ask(self, record: RequestRecord) -> None:
        """Have a worker evaluate it again, by the probes that were kept.

        Raises `StateConflict` for a request without an adapter that could be asked, `NotFound` where nothing was kept.
        """
        if record.state not in CERTIFIED:
            raise StateConflict(f"the request is {record.state}; only a ready or active one can be evaluated again")
        try:
            await self._kept.get(record.id)
        except NotFound:
            raise NotFound(
                "no probes of this request were kept (`evidence.keep`): whoever has the examples can evaluate it with "
                "`unlearn verify FILE --again --examples`"
            ) from None
        await self._verifications.ask(record.id)
        audit.info("verification asked request=%s by=%s", record.id, callers.name())

    async def ask_when_due(self, record: RequestRecord) -> None:
        """The same where the time has come, for a request whose probes are kept."""
        if self._every_s is None or record.report is None:
            return
        made = datetime.fromisoformat(record.report["made_at"]).timestamp()
        if time.time() - made >= self._every_s:
            with suppress(NotFound, StateConflict):
                await self.ask(record)
