"""Reports that are watched: what has happened that they are to be held against, and what can still make them stale.

watch:changes    STREAM  what happened and was not looked at yet, in order: a request has another report, or came into
                         force; written by the scripts in the instant of the change, and taken out when it is done
watch:activated  ZSET    requests by when they last came into force, those among them that are not any more
watch:open       ZSET    requests by when their report was made, which others in force can still make stale
watch:ends       ZSET    requests by when their report ends, until it has
watch:again      ZSET    requests by when they were last evaluated, or that was last asked for
watch:manifests  HASH    of each request its report's digest and manifest, as JSON
watch:stale      SET     ids of those whose report is stale
watch:reports    INT     grows with each report that is watched
watch:against    HASH    stamp of what a replica answers with → that number, when all reports were held against it
watch:begun      STRING  when all this began

Of a retired request nothing is left here but when it was in force.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from redis.asyncio import Redis

from gateway.access.api_key import GLOBAL_TENANT
from gateway.evidence.report.report import seconds_of
from gateway.store import keys, scripts
from gateway.store.client import call
from gateway.store.records import RequestRecord, RequestState

CHANGES = "watch:changes"
ACTIVATED = "watch:activated"
OPEN = "watch:open"
ENDS = "watch:ends"
AGAIN = "watch:again"
MANIFESTS = "watch:manifests"
STALE = "watch:stale"
AGAINST = "watch:against"
REPORTS = "watch:reports"
BEGUN = "watch:begun"

#: Requests that are looked at together.
BATCH = 256
#: How long before it begins the requests that came into force are looked at: whatever watched before was not so late.
_BEFORE_S = 3600.0


@dataclass(frozen=True, slots=True)
class Change:
    """id: of the stream. activated_at: unix seconds, of a request that came into force; else its report is new."""

    id: str
    request: str
    activated_at: float | None


@dataclass(frozen=True, slots=True)
class Bound:
    """Requests that apply to the same callers: those that apply to every prompt, and those to what is about them."""

    always: frozenset[str]
    matched: frozenset[str]


@dataclass(frozen=True, slots=True)
class Manifest:
    """What a report was made of. report: its digest."""

    report: str
    digests: Mapping[str, str]


class WatchedReports:
    """What happens twice does no harm, so that whoever is killed begins anew. Raises `StoreUnavailable`."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis
        self._begin = redis.register_script(scripts.load("watch", "watch_begin"))
        self._watch = redis.register_script(scripts.load("watch", "watch_report"))
        self._follow = redis.register_script(scripts.load("watch", "watch_follow"))
        self._bound = redis.register_script(scripts.load("watch_bound"))

    async def begin(self, now: float) -> None:
        """Have all reports looked at that are there, in a service that has not watched them so far."""
        names = [BEGUN, keys.by_state(RequestState.ACTIVE), keys.by_state(RequestState.READY)]
        await call(lambda: self._begin(keys=names, args=[repr(now), repr(now - _BEFORE_S)]))

    async def changes(self) -> list[Change]:
        """The first of what happened and is not done."""
        found: Any = await call(lambda: self._redis.xrange(CHANGES, count=BATCH))
        return [_change(name.decode(), fields) for name, fields in found]

    async def done(self, changes: Sequence[Change]) -> None:
        """They need not be looked at again."""
        await call(lambda: self._redis.xdel(CHANGES, *(each.id for each in changes)))

    async def watch(self, record: RequestRecord, manifest: Mapping[str, str] | None, stamp: str) -> bool:
        """Watch the report that a record notes; False where it notes another by now, or is not ready any more.

        manifest: of that report, which is held against what has the stamp; None where it is not known.
        """
        note = record.report or {}
        times = [repr(seconds_of(note[name])) for name in ("made_at", "valid_until")]
        kept = "" if manifest is None else json.dumps({"report": note["digest"], "manifest": dict(manifest)})
        return bool(await call(lambda: self._watch(args=[record.id, note["digest"], *times, kept, stamp])))

    async def follow(self, ids: Sequence[str]) -> None:
        """Let go of what cannot make the reports of these stale any more."""
        if ids:
            await call(lambda: self._follow(args=list(ids)))

    async def open_before(self, at: float, tenant: str) -> Bound:
        """Those whose report is older and not stale by others yet, and that apply to some of this tenant's callers."""
        return await self._listed(OPEN, "-inf", f"({at!r}", tenant)

    async def activated_after(self, at: float, tenant: str) -> Bound:
        """Those that came into force after that time and apply to some of this tenant's callers."""
        return await self._listed(ACTIVATED, f"({at!r}", "+inf", tenant)

    async def ended(self, now: float) -> list[str]:
        """Those whose report is over, and not noted as that."""
        return _texts(await call(lambda: self._redis.zrangebyscore(ENDS, "-inf", repr(now))))

    async def evaluated_before(self, at: float) -> list[str]:
        """Those that were last evaluated, or asked to be, no later than that."""
        return _texts(await call(lambda: self._redis.zrangebyscore(AGAIN, "-inf", repr(at))))

    async def note_asked(self, request_id: str, at: float | None) -> None:
        """Count it as evaluated at that time; None: never ask again for the report that it has."""
        if at is None:
            await call(lambda: self._redis.zrem(AGAIN, request_id))
        else:
            await call(lambda: self._redis.zadd(AGAIN, {request_id: at}, xx=True))

    async def manifests(self) -> AsyncIterator[dict[str, Manifest]]:
        """Of all reports that are watched, some at a time; one that comes or goes meanwhile may be among them."""
        cursor: int = 0
        while True:
            page: Any = await call(partial(self._redis.hscan, MANIFESTS, cursor, count=BATCH))
            cursor, found = page
            yield {name.decode(): _manifest(text) for name, text in found.items()}
            if not cursor:
                return

    async def not_held_against(self, stamp: str) -> int | None:
        """The number of reports now, where not all were held against what has this stamp; None where all were."""
        number, held = await asyncio.gather(
            call(lambda: self._redis.get(REPORTS)), call(lambda: self._redis.hget(AGAINST, stamp))
        )
        return None if held is not None and int(held) == int(number or 0) else int(number or 0)

    async def hold_against(self, stamp: str, number: int) -> None:
        """All were held against this that there were at that number."""
        await call(lambda: self._redis.hset(AGAINST, stamp, str(number)))

    async def stale(self) -> int:
        """How many ready and active requests have a stale report."""
        return int(await call(lambda: self._redis.scard(STALE)))

    async def _listed(self, listing: str, lowest: str, highest: str, tenant: str) -> Bound:
        arguments = [lowest, highest, json.dumps(GLOBAL_TENANT), json.dumps(tenant)]
        found: Any = await call(lambda: self._bound(keys=[listing], args=arguments))
        return Bound(*(frozenset(_texts(ids)) for ids in found))


def _change(name: str, fields: Mapping[bytes, bytes]) -> Change:
    at = fields.get(b"activated_at")
    return Change(name, fields[b"request"].decode(), None if at is None else float(at))


def _manifest(text: bytes) -> Manifest:
    found = json.loads(text)
    return Manifest(found["report"], found["manifest"])


def _texts(found: Any) -> list[str]:
    return [each.decode() for each in found]
