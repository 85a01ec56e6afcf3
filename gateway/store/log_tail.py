"""The end of the log in Redis, where it grows: what waits, how it becomes leaves, the checkpoint over them.

All that one step changes is changed by one script: whatever is killed when, an entry waits or is a leaf, and a
checkpoint is of leaves that are there.
"""

from __future__ import annotations

import base64
import json
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from redis.asyncio import Redis

from gateway.evidence.log.checkpoint import Checkpoint
from gateway.evidence.log.leaf import SALT_BYTES, Entry, Leaf, sealed
from gateway.evidence.log.note import Note
from gateway.evidence.log.tiles import edge, growth
from gateway.evidence.signing.rotation import KeySet
from gateway.store import scripts
from gateway.store.log import CHECKPOINT, KEYS, SIZE, LogStore, tile_key

OUTBOX = "log:outbox"
#: Leaves of one step.
BATCH = 256


@dataclass(frozen=True, slots=True)
class Waiting:
    """What waits to be logged. at_ms: when it happened, by the clock of Redis. request: that it is about, or ''."""

    id: str
    token: str
    request: str
    at_ms: int
    entry: Entry


@dataclass(frozen=True, slots=True)
class Head:
    """The log at one instant, `now` by the clock of Redis.

    note: the newest checkpoint, signed at `signed_at`. waiting: the first of `backlog`. Times in unix seconds.
    """

    size: int
    keys: KeySet | None
    note: str | None
    waiting: tuple[Waiting, ...]
    backlog: int
    now: int
    signed_at: int

    @property
    def checkpoint(self) -> Checkpoint | None:
        """Of the note, whoever signed it."""
        return None if self.note is None else Checkpoint.parse(Note.parse(self.note).text)


class LogTail(LogStore):
    """The log, for who makes it grow. The parameters are those of `LogStore`."""

    def __init__(self, redis: Redis, *, patience_s: float = 0.0) -> None:
        super().__init__(redis, patience_s=patience_s)
        self._commit = redis.register_script(scripts.load("outbox", "log_commit"))
        self._publish = redis.register_script(scripts.load("log_publish"))

    async def wait(self, block_ms: int) -> None:
        """Until something waits to be logged, but no longer than that."""
        await self._call(lambda: self._redis.xread({OUTBOX: "0-0"}, count=1, block=block_ms))

    async def head(self) -> Head:
        """The log now, and the first of what waits."""

        async def read() -> list[Any]:
            async with self._redis.pipeline(transaction=True) as pipeline:
                pipeline.get(SIZE)
                pipeline.get(KEYS)
                pipeline.hmget(CHECKPOINT, ["note", "at"])
                pipeline.xrange(OUTBOX, count=BATCH)
                pipeline.xlen(OUTBOX)
                pipeline.time()
                found: list[Any] = await pipeline.execute()
                return found

        size, pem, (note, at), entries, backlog, now = await self._call(read)
        return Head(
            int(size or 0),
            None if pem is None else KeySet.from_pem(pem.decode()),
            None if note is None else note.decode(),
            tuple(map(_waiting, entries)),
            int(backlog),
            int(now[0]),
            int(at or 0),
        )

    async def commit(self, size: int, waiting: Sequence[Waiting], keys: KeySet | None) -> bool:
        """Make leaves of what waits, behind the `size` that there are; False where somebody else has meanwhile.

        keys: the log's from now on, where these entries change them.
        """
        leaves: list[Leaf] = []
        openings: list[str | bytes] = []
        for each in waiting:
            salt = secrets.token_bytes(SALT_BYTES)
            leaves.append(sealed(each.entry, salt, each.at_ms))
            opening = {"salt_b64": base64.b64encode(salt).decode(), "body": dict(each.entry.body)}
            openings += [each.id, each.token, each.request, json.dumps(opening)]
        appended = growth(size, await self.tiles(edge(size)), [leaf.to_bytes() for leaf in leaves])
        arguments: list[str | bytes | int] = [size, "" if keys is None else keys.to_pem(), len(appended)]
        for tile, more in appended.items():
            arguments += [tile_key(tile), more]
        arguments += openings
        return bool(await self._call(lambda: self._commit(keys=[SIZE, OUTBOX, KEYS], args=arguments)))

    async def publish(self, size: int, note: str, at: int) -> bool:
        """Make a signed checkpoint the newest; False where one of as large a tree is. at: unix seconds."""
        return bool(await self._call(lambda: self._publish(keys=[CHECKPOINT], args=[size, note, at])))


def _waiting(record: Any) -> Waiting:
    """An entry of the outbox. The time is in its id: the clock of Redis, which never goes back there."""
    name, fields = record
    texts = {key.decode(): value.decode() for key, value in fields.items()}
    kind = texts["kind"]
    body = _state_body(texts) if kind == "state" else json.loads(texts["body"])
    at_ms = int(name.decode().partition("-")[0])
    return Waiting(name.decode(), texts["token"], texts["request"], at_ms, Entry(kind, body))


def _state_body(texts: Mapping[str, str]) -> dict[str, Any]:
    """Of a state event. Of an error its code alone: its message is for people."""
    event = json.loads(texts["data"])
    error = event["error"]
    return {
        "request": texts["request"],
        "state": event["state"],
        "previous": texts.get("previous"),
        "guarded": "guarded" in texts,
        "error": None if error is None else error.get("code"),
        "commitment": json.loads(texts["commitment"]),
        "digest": json.loads(texts["digest"]),
    }
