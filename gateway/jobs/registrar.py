"""Where an evaluation says beforehand what it will ask."""

from __future__ import annotations

import logging
from typing import Protocol

from gateway.evidence.canonical import canonical
from gateway.evidence.log.leaf import Entry

log = logging.getLogger(__name__)


class Registrar(Protocol):
    """A log that nothing is taken out of."""

    async def append(self, entry: Entry, *, request: str | None) -> int | None:
        """The index of the entry, once it is in; None where there are no indices."""


class LogLines:
    """The service's own log, a line an entry."""

    async def append(self, entry: Entry, *, request: str | None) -> int | None:
        log.info("%s id=%s %s", entry.kind, request, canonical(dict(entry.body)).decode())
        return None
