"""Evaluations that are to be made again: on demand, and after so many days."""

from __future__ import annotations

import logging

from gateway.access import caller as callers
from gateway.errors import NotFound, StateConflict
from gateway.requests.certifier import CERTIFIED
from gateway.store.probe_sets import KeptProbes
from gateway.store.records import RequestRecord
from gateway.store.requests import RequestStore
from gateway.store.verifications import Verifications
from gateway.store.watched import WatchedReports

audit = logging.getLogger("gateway.audit")

_DAY_S = 86_400.0


class Reverification:
    """Has requests evaluated again."""

    def __init__(self, verifications: Verifications, kept: KeptProbes) -> None:
        self._verifications = verifications
        self._kept = kept

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


class Schedule:
    """Asks again after so many days, without anybody's asking."""

    def __init__(
        self, reverification: Reverification, store: RequestStore, watched: WatchedReports, *, every_days: float
    ) -> None:
        self._reverification = reverification
        self._store = store
        self._watched = watched
        self._every_s = every_days * _DAY_S

    async def ask_due(self, now: float) -> None:
        """Ask for all whose time has come, of those whose probes are kept. now: unix seconds."""
        for request_id in await self._watched.evaluated_before(now - self._every_s):
            try:
                await self._reverification.ask(await self._store.get(request_id))
            except (NotFound, StateConflict):
                await self._watched.note_asked(request_id, None)
            else:
                # It may come to nothing: after a day without another report it is asked again.
                await self._watched.note_asked(request_id, now - max(0.0, self._every_s - _DAY_S))
