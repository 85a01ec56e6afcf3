"""Attacks of other requests, which their callers had kept to be asked again."""

from __future__ import annotations

from collections.abc import Sequence

from pydantic import ValidationError

from adapters.evaluation.attacks.probe import Probe
from gateway.errors import NotFound
from gateway.jobs.probe_set import ProbeSet
from gateway.store.probe_sets import KeptProbes


class KeptAttacks:
    """Reads the probe sets that are kept."""

    def __init__(self, kept: KeptProbes) -> None:
        self._kept = kept

    async def leaking(self, request_id: str) -> Sequence[Probe]:
        """Those of this request that brought the fact out before it was active; empty where none are kept, or another
        version wrote them. Raises `PayloadUnreadable`."""
        try:
            return ProbeSet.from_bytes(await self._kept.get(request_id)).leaking
        except (NotFound, ValidationError):
            return ()
