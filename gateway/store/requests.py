"""Unlearning requests in Redis: the source of truth for their state, and for which of them are active.

request:<id>               HASH    the record; state changes only by compare-and-set in transition.lua
requests:all               ZSET    ids by order of registration
requests:by_state:<state>  ZSET    the same, split by state
payload:<id>               STRING  the sealed forget and retain sets, gone from `ready` on
scope:<id>                 STRING  the sealed scope of a matched request, gone when it failed and guards nothing, or is
                                   retired
events:<id>                STREAM  state changes and progress, about the last 1000
probes:<id>, results:<id>  what it is evaluated with and what came of it; see gateway.store.probe_sets
idempotency:<fingerprint>  HASH    request id and the body's fingerprint, for a day
blobs:<id>                 SET     digests of the artifacts made for it
beside:<id>                SET     ids of those it shares a note with, while both are active; see notes.lua
requests:guarded           SET     ids of those whose prompts are refused until they are active; see guard.lua
policy:generation          INT     grows whenever the set of requests in force changes
policy:calm                HASH    the last generations through which the active ones stayed the same
policy:marks               HASH    a random mark of each generation; see gateway.store.generation
aof:erasures               INT     grows with every erasure of a payload, a scope, an artifact or a subject
aof:compacted              STRING  what it was when this server last began to rewrite its append-only file
"""

from __future__ import annotations

import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from redis.asyncio import Redis
from redis.exceptions import ResponseError

from gateway.access.api_key import GLOBAL_TENANT
from gateway.errors import BudgetExceeded, IdempotencyConflict, InvalidRequest, NotFound, StateConflict
from gateway.store import keys, scripts
from gateway.store.blobs import BlobStore
from gateway.store.client import call
from gateway.store.events import Event, follow
from gateway.store.generation import Generation, generation_read, new_mark, read_arguments
from gateway.store.notes import Note, for_script
from gateway.store.records import (
    EMPTY,
    FINAL,
    PENDING,
    TRANSITIONS,
    WORKING,
    RequestRecord,
    RequestState,
    encode_fields,
)

T = TypeVar("T")

IDEMPOTENCY_TTL_S = 24 * 3600
MAX_PAGE = 200


@dataclass(frozen=True, slots=True)
class Guard:
    """A request whose prompts are refused until it is active. created_at: when it was registered."""

    request_id: str
    tenant: str
    created_at: float
    scope_digest: str | None


@dataclass(frozen=True, slots=True)
class Policy:
    """The requests in force, and the generation they are.

    records: the active ones in the order of their activation; None where they are those of the generation that was
    seen.
    """

    generation: Generation
    records: tuple[RequestRecord, ...] | None
    guards: tuple[Guard, ...] = ()


@dataclass(frozen=True, slots=True)
class Page:
    """One page of a listing, newest first. `next_cursor` is None on the last one."""

    items: list[RequestRecord]
    next_cursor: str | None


class RequestStore:
    """Requests, their payloads, their events, and the set of active ones.

    `patience_s`: how long a call goes on trying while Redis is away before it raises `StoreUnavailable`.
    `compact`: rewrite Redis's append-only file when a payload, a scope or an artifact is erased, so that it is gone
    from disk too. Meant for the embedded server; a shared one is left to its operator.
    """

    def __init__(self, redis: Redis, *, patience_s: float = 0.0, compact: bool = False) -> None:
        self._redis = redis
        self._patience_s = patience_s
        self._compact = compact
        self._create = redis.register_script(scripts.load("generation", "outbox", "guard", "create"))
        self._transition = redis.register_script(
            scripts.load("blob", "generation", "outbox", "guard", "notes", "watch", "transition")
        )
        self._update = redis.register_script(scripts.load("generation", "outbox", "guard", "update"))
        self._policy = redis.register_script(scripts.load("generation", "outbox", "guard", "policy"))
        self._list = redis.register_script(scripts.load("list"))
        self._scope = redis.register_script(scripts.load("generation", "outbox", "guard", "scope"))

    async def create(
        self,
        record: RequestRecord,
        payload: bytes,
        idempotency: tuple[str, str] | None = None,
        *,
        scope: bytes = b"",
    ) -> tuple[RequestRecord, bool]:
        """Store a registered request with its sealed payload. The flag says whether it is new.

        With a sealed `scope` the request guards from now on, and a replica that reads the policy knows it.
        `idempotency` holds the fingerprints of the caller's key, within its tenant, and of the body.
        Raises `IdempotencyConflict` when the key came with another body in the last 24 hours.
        """
        if record.state is not RequestState.REGISTERED:
            raise ValueError("a new request starts as registered")
        key, body = idempotency or ("", "")
        own = keys.of(record.id)
        names = [
            own.record,
            own.payload,
            own.events,
            keys.ALL,
            keys.by_state(record.state),
            keys.SEQ,
            keys.idempotency(key) if idempotency else "",
        ]
        arguments: list[Any] = [
            record.id,
            payload,
            repr(record.created_at),
            _state_event(record.state, record.created_at, error=None),
            body,
            IDEMPOTENCY_TTL_S,
            scope,
            new_mark(),
        ]
        arguments += keys.flatten(record.to_fields())
        reply = await self._call(lambda: self._create(keys=names, args=arguments))
        if reply[0] == b"conflict":
            raise IdempotencyConflict("this Idempotency-Key was used with another body", param="Idempotency-Key")
        return await self.get(reply[1].decode()), reply[0] == b"created"

    async def get(self, request_id: str) -> RequestRecord:
        """The record. Raises `NotFound`."""
        fields: Any = await self._call(lambda: self._redis.hgetall(keys.of(request_id).record))
        if not fields:
            raise NotFound(f"no unlearning request {request_id!r}")
        return keys.record_of(_pairs(fields))

    async def list(
        self,
        state: RequestState | None = None,
        limit: int = 20,
        cursor: str | None = None,
        *,
        tenant: str = GLOBAL_TENANT,
    ) -> Page:
        """Requests, newest first, of one state or of all. New ones never shift a page under its reader.

        tenant: those that its callers see, its own and everybody's; without one, all.
        """
        limit = max(1, min(limit, MAX_PAGE))
        if cursor is not None and not (cursor.isascii() and cursor.isdigit()):
            raise InvalidRequest("the cursor is not one that a listing gave", param="cursor")
        below = "+inf" if cursor is None else f"({cursor}"
        arguments: list[Any] = [below, limit + 1, *(json.dumps(each) for each in (GLOBAL_TENANT, tenant))]
        ids: Any = await self._call(lambda: self._list(keys=[keys.by_state(state)], args=arguments))
        names = [raw.decode() for raw in ids]
        found = await self._fetch(names[:limit])
        more = len(names) > limit
        return Page([record for record, _ in found], str(found[-1][1]) if more and found else None)

    async def transition(
        self,
        request_id: str,
        *,
        expected: Collection[RequestState],
        to: RequestState,
        changes: Mapping[str, Any] | None = None,
        attempt: int | None = None,
        budget: int | None = None,
        notes: Sequence[Note] = (),
    ) -> RequestRecord:
        """Move the request to `to` if it is in one of `expected`, with `changes` in the same instant.

        With `attempt`, only while that attempt is the current one: a trainer that was given up cannot
        write over its successor. With `budget`, to active only while all active adapters that apply to every prompt of
        any one tenant, everybody's among them and each counted once, have no more rows than that. With `notes`, to
        active: of each, where the other request is active in that instant, both records have one from then on, until
        either of the two is active no more.

        Raises `NotFound`, `StateConflict` naming the state it is in, `BudgetExceeded`, and `ValueError` for a step
        that TRANSITIONS does not have.
        """
        record, _ = await self._move(request_id, expected, to, changes or {}, attempt, budget, notes)
        return record

    async def queue(self, request_id: str) -> RequestRecord:
        """Let a worker have a registered or drafted request. One that is further is returned as it is."""
        expected = {RequestState.REGISTERED, RequestState.DRAFTED}
        try:
            return await self.transition(request_id, expected=expected, to=RequestState.QUEUED)
        except StateConflict:
            return await self.get(request_id)

    async def retire(self, request_id: str, blobs: BlobStore | None = None) -> RequestRecord:
        """Retire from any state; its subject goes, and the artifacts made for it, but for those another request uses.

        Raises `NotFound`, and `StateConflict` when it is retired already.
        """
        expected = frozenset(RequestState) - {RequestState.RETIRED}
        record, unused = await self._move(request_id, expected, RequestState.RETIRED, {"subject": None})
        if blobs is not None:
            for digest in unused:
                await blobs.discard(digest)
        return record

    async def update_progress(
        self, request_id: str, progress: Mapping[str, Any], *, attempt: int | None = None
    ) -> bool:
        """Set `progress` and tell followers; False when the request is no longer being worked on."""
        return await self._change(request_id, WORKING, "progress", progress, {"progress": progress}, attempt)

    async def replace_payload(
        self,
        request_id: str,
        sealed: bytes,
        changes: Mapping[str, Any],
        *,
        state: RequestState,
        attempt: int | None = None,
        scope: bytes = b"",
    ) -> bool:
        """While in `state`, put another sealed payload in the place of the first; False when it has moved on.

        changes: fields of the record, `forget_count` among them. scope: sealed, of the new payload; empty to leave the
        one there is.
        """
        event: dict[str, Any] = {"forget_count": changes["forget_count"]}
        kind = "examples"
        if state is RequestState.DRAFTED:
            # A follower ends at a settled state: nothing but a state may come last.
            event, kind = json.loads(_state_event(state, time.time(), error=None)) | event, "state"
        return await self._change(request_id, {state}, kind, event, changes, attempt, payload=sealed, scope=scope)

    async def refuse_activation(self, request_id: str, error: Mapping[str, Any]) -> bool:
        """Note on a ready request why it was not activated; False when it is no longer ready."""
        event = json.loads(_state_event(RequestState.READY, time.time(), error=error))
        return await self._change(request_id, {RequestState.READY}, "state", event, {"error": error}, None)

    async def policy(self, seen: Generation | None = None) -> Policy | None:
        """The requests in force; None while they are those of the generation that was seen.

        Raises `DataLost` when this Redis never had that generation.
        """
        names = [keys.by_state(RequestState.ACTIVE), keys.GENERATION, keys.MARKS]
        reply = await self._call(lambda: self._policy(keys=names, args=read_arguments(seen)))
        generation = generation_read(reply, seen, "policy", "served")
        if generation is None:
            return None
        records = None
        if reply[3] != b"same":
            records = tuple(sorted(map(keys.record_of, reply[3]), key=lambda record: record.activated_seq or 0))
        return Policy(generation, records, tuple(map(_guard, reply[4])))

    async def those(self, ids: Collection[str]) -> dict[str, RequestRecord]:
        """The records of these requests, of those that are there, read in one transaction."""
        return {record.id: record for record, _ in await self._fetch(list(ids))}

    async def every(self, state: RequestState | None = None) -> AsyncIterator[RequestRecord]:
        """All requests of a state, or all there are, newest first; read a page at a time."""
        cursor: str | None = None
        while True:
            page = await self.list(state, MAX_PAGE, cursor)
            for record in page.items:
                yield record
            if (cursor := page.next_cursor) is None:
                return

    async def digests(self) -> frozenset[str]:
        """Artifacts that requests need: those of unfinished ones, candidates included, and what the others kept."""
        found: set[str] = set()
        async for record in self.every():
            if record.state in PENDING:
                tried = (record.selection or {}).get("trials") or ()
                found.update(trial["digest"] for trial in tried if trial["digest"])
            if record.digest is not None and record.state not in EMPTY:
                found.add(record.digest)
        return frozenset(found)

    async def compact(self) -> None:
        """Rewrite Redis's append-only file, unless this server has begun to since the last erasure."""
        if not self._compact:
            return

        async def rewrite() -> None:
            erasures, compacted = await self._redis.mget(keys.ERASURES, keys.COMPACTED)
            if erasures is None:
                return
            server: Any = await self._redis.info()
            # Of a server that died while it rewrote, nobody knows.
            mark = f"{server['run_id']} {int(erasures)}".encode()
            if compacted == mark and server["aof_last_bgrewrite_status"] == "ok":
                return
            try:
                await self._redis.bgrewriteaof()
            except ResponseError:
                return  # one is running, and it may have begun before the erasure: the next call does it
            await self._redis.set(keys.COMPACTED, mark)

        await self._call(rewrite)

    async def payload(self, request_id: str) -> bytes:
        """The sealed payload. Raises `NotFound` once it is erased."""
        value: Any = await self._call(lambda: self._redis.get(keys.of(request_id).payload))
        if value is None:
            raise NotFound(f"the forget set of {request_id!r} is gone")
        return bytes(value)

    async def put_scope(self, request_id: str, sealed: bytes, *, attempt: int) -> bool:
        """Keep the sealed scope of a request that this attempt works on; False when it has moved on."""
        arguments: list[Any] = [",".join(sorted(WORKING)), str(attempt), sealed, request_id, new_mark()]
        return bool(await self._call(lambda: self._scope(keys=[keys.of(request_id).record], args=arguments)))

    async def scopes(self, ids: Sequence[str]) -> dict[str, bytes]:
        """The sealed scopes of these requests, of those that have one."""
        names = [keys.of(request_id).scope for request_id in ids]
        values: Any = await self._call(lambda: self._redis.mget(names)) if names else []
        return {each: bytes(value) for each, value in zip(ids, values, strict=True) if value is not None}

    async def events(self, request_id: str, after: str = "0", *, heartbeat: bool = False) -> AsyncIterator[Event]:
        """Replay the events later than `after`, then follow; see `gateway.store.events`.

        With `heartbeat`, a `ping` comes every five quiet seconds. Raises `NotFound`, `InvalidRequest`.
        """
        record = await self.get(request_id)
        async for event in follow(
            self._redis,
            keys.of(request_id).events,
            activation=record.activation,
            after=after,
            heartbeat=heartbeat,
            patience_s=self._patience_s,
        ):
            yield event

    async def _call(self, operation: Callable[[], Awaitable[T]]) -> T:
        return await call(operation, patience_s=self._patience_s)

    async def _move(
        self,
        request_id: str,
        expected: Collection[RequestState],
        to: RequestState,
        changes: Mapping[str, Any],
        attempt: int | None = None,
        budget: int | None = None,
        notes: Sequence[Note] = (),
    ) -> tuple[RequestRecord, Sequence[str]]:
        """The record after the step, and the digests of blobs that went with it."""
        if illegal := [state for state in expected if to not in TRANSITIONS[state]]:
            raise ValueError(f"no request goes from {', '.join(sorted(illegal))} to {to}")
        now = time.time()
        active = keys.by_state(RequestState.ACTIVE)
        own = keys.of(request_id)
        names = [own.record, own.payload, own.events, own.blobs, active, keys.ACTIVATION_SEQ]
        arguments: list[Any] = [
            request_id,
            to.value,
            ",".join(expected),
            repr(now),
            new_mark(),
            "" if attempt is None else str(attempt),
            "1" if to in FINAL else "0",
            "none" if to in EMPTY else "own" if to in FINAL else "all",
            "" if budget is None else budget,
            json.dumps(GLOBAL_TENANT),
            _state_event(to, now, error=changes.get("error"), told=[said for note in notes for said in note.told]),
            for_script(notes, now),
        ]
        arguments += keys.flatten(encode_fields(changes))
        reply = await self._call(lambda: self._transition(keys=names, args=arguments))
        if reply[0] == b"missing":
            raise NotFound(f"no unlearning request {request_id!r}")
        if reply[0] == b"conflict":
            raise StateConflict(f"the request is {reply[1].decode()} and cannot become {to}")
        if reply[0] == b"stale":
            raise StateConflict(f"attempt {attempt} was superseded by attempt {reply[1].decode()}")
        if reply[0] == b"full":
            raise BudgetExceeded(
                f"{reply[1]} active requests and this one need {reply[2]} virtual tokens, the service allows {budget}"
            )
        if reply[2] or reply[3] or to is RequestState.RETIRED:
            await self.compact()
        return keys.record_of(reply[1]), [digest.decode() for digest in reply[3]]

    async def _change(
        self,
        request_id: str,
        expected: Collection[RequestState],
        event_type: str,
        event: Mapping[str, Any],
        fields: Mapping[str, Any],
        attempt: int | None,
        payload: bytes = b"",
        scope: bytes = b"",
    ) -> bool:
        names = keys.of(request_id)
        arguments: list[Any] = [
            ",".join(expected),
            "" if attempt is None else str(attempt),
            repr(time.time()),
            event_type,
            json.dumps(event, allow_nan=False),
            payload,
            scope,
            request_id,
            new_mark(),
        ]
        arguments += keys.flatten(encode_fields(fields))
        reply = await self._call(lambda: self._update(keys=[names.record, names.events, names.payload], args=arguments))
        if payload:
            await self.compact()
        return bool(reply)

    async def _fetch(self, ids: Sequence[str]) -> Sequence[tuple[RequestRecord, int]]:
        """Records with their place in the order of registration, read in one transaction."""

        async def read() -> list[dict[bytes, bytes]]:
            async with self._redis.pipeline(transaction=True) as pipeline:
                for name in ids:
                    pipeline.hgetall(keys.of(name).record)
                replies: list[dict[bytes, bytes]] = await pipeline.execute()
                return replies

        replies = await self._call(read) if ids else []
        return [(keys.record_of(_pairs(fields)), int(fields[b"seq"])) for fields in replies if fields]


def _state_event(state: RequestState, at: float, *, error: Mapping[str, Any] | None, told: Sequence[str] = ()) -> str:
    said = {"interference": list(told)} if told else {}
    return json.dumps({"state": state, "at": at, "error": error, **said})


def _guard(reply: Sequence[bytes | None]) -> Guard:
    """Fields as the script returns them; it has no scope digest where an older service stored the scope."""
    request_id, tenant, created_at, digest = (None if field is None else field.decode() for field in reply)
    assert request_id is not None
    assert tenant is not None
    assert created_at is not None
    return Guard(request_id, json.loads(tenant), float(created_at), None if digest is None else json.loads(digest))


def _pairs(fields: Mapping[bytes, bytes]) -> list[bytes]:
    return [part for pair in fields.items() for part in pair]
