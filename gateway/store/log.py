"""The transparency log in Redis: what waits to be logged, the tree, what is behind its leaves, its checkpoint.

log:outbox                 STREAM  what waits, in order; written by the scripts in the instant of what it is about
log:size                   INT     leaves
log:tile:<level>:<n>       STRING  hashes; log:tile:entries:<n>: leaves. Appended to, never changed
log:opening:<index>        STRING  salt and body of a leaf, until it is redacted
log:openings:<request>     SET     indices of a request's leaves
log:placed:<token>         STRING  of a call: '' while it waits, then the leaf's index; for a day
log:keys                   STRING  the log's evidence keys, old and new, as PEM
log:checkpoint             HASH    the newest one: size, note
log:cosigned               HASH    the newest one that a witness has cosigned, and a line of each that did

`gateway.store.log_tail` makes leaves of what waits.
"""

from __future__ import annotations

import asyncio
import json
import secrets
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from typing import Any, TypeVar

from redis.asyncio import Redis

from gateway.errors import NotFound
from gateway.evidence.errors import LogUnavailable, NotProven
from gateway.evidence.log.checkpoint import Checkpoint
from gateway.evidence.log.leaf import Entry, Opening
from gateway.evidence.log.merkle import (
    HASH_BYTES,
    Part,
    consistency_parts,
    folded,
    inclusion_parts,
    root_parts,
    subtrees,
)
from gateway.evidence.log.note import Note
from gateway.evidence.log.proof_file import ProofFile
from gateway.evidence.log.tiles import WIDTH, TileId, join_bundle, split_bundle, subtree_hash, tile_of
from gateway.evidence.signing.rotation import KeySet
from gateway.store import keys, scripts
from gateway.store.client import call

T = TypeVar("T")

SIZE = "log:size"
KEYS = "log:keys"
CHECKPOINT = "log:checkpoint"
COSIGNED = "log:cosigned"
_POLL_S = 0.05


class LogStore:
    """The log, for who writes into it and for who reads it.

    patience_s: how long a call goes on trying while Redis is away before it raises `StoreUnavailable`.
    """

    def __init__(self, redis: Redis, *, patience_s: float = 0.0) -> None:
        self._redis = redis
        self._patience_s = patience_s
        self._append = redis.register_script(scripts.load("outbox", "log_append"))
        self._cosign = redis.register_script(scripts.load("log_cosign"))

    async def append(
        self, entry: Entry, *, request: str | None = None, token: str | None = None, timeout_s: float = 60.0
    ) -> int:
        """Log the entry; its index, once it is a leaf that a signed checkpoint covers.

        token: names this entry for a day, so that who repeats a call logs once. Raises `LogUnavailable` where no
        checkpoint comes in time: the entry waits, and a call with the same token goes on waiting for it.
        """
        token = token or secrets.token_hex(16)
        await self.put(entry, request=request, token=token)
        deadline = time.monotonic() + timeout_s
        while (index := await self._signed(token)) is None:
            if time.monotonic() > deadline:
                raise LogUnavailable(f"nobody has signed the log within {timeout_s:.0f} s")
            await asyncio.sleep(_POLL_S)
        return index

    async def put(self, entry: Entry, *, request: str | None = None, token: str) -> None:
        """The same without waiting."""
        arguments = [token, entry.kind, request or "", json.dumps(dict(entry.body), allow_nan=False)]
        await self._call(lambda: self._append(args=arguments))

    async def opening(self, index: int) -> Opening:
        """What is behind a leaf. Raises `NotFound` where it was redacted, and where there is no such leaf."""
        found = await self._openings([index])
        if not found:
            raise NotFound(f"nothing is known of leaf {index}: it was redacted, or is not there")
        return found[0]

    async def openings(self, request: str) -> list[Opening]:
        """What is behind a request's leaves, in order; what was redacted is not among them."""
        indices: Any = await self._call(lambda: self._redis.smembers(_openings_of(request)))
        return await self._openings(sorted(map(int, indices)))

    async def redact(self, request: str) -> int:
        """Erase what is behind a request's leaves; how many there were. The leaves stay, and say nothing of it.

        An embedded Redis loses it from its append-only file at the next sweep of erasures.
        """
        name = _openings_of(request)

        async def erase() -> int:
            indices: Any = await self._redis.smembers(name)
            if not indices:
                return 0
            async with self._redis.pipeline(transaction=True) as pipeline:
                pipeline.delete(*(_opening(int(index)) for index in indices))
                pipeline.srem(name, *indices)
                pipeline.incr(keys.ERASURES)
                return int((await pipeline.execute())[0])

        return await self._call(erase)

    async def checkpoint(self) -> str:
        """The newest signed one, with the lines of witnesses that cosigned it. Raises `NotFound` before the first."""
        found: Any = await self._call(lambda: self._redis.hget(CHECKPOINT, "note"))
        if found is None:
            raise NotFound("the log has no checkpoint yet")
        note, cosigned = str(found.decode()), await self.cosigned()
        same = cosigned is not None and Note.parse(cosigned).text == Note.parse(note).text
        return cosigned if cosigned is not None and same else note

    async def cosigned(self) -> str | None:
        """The newest one that a witness has cosigned, with the lines of all that did."""
        fields: Any = await self._call(lambda: self._redis.hgetall(COSIGNED))
        if not fields:
            return None
        texts = {name.decode(): value.decode() for name, value in fields.items()}
        del texts["size"]
        return "".join([texts.pop("note"), *(texts[name] for name in sorted(texts))])

    async def put_cosignatures(self, size: int, note: str, lines: Mapping[str, str]) -> bool:
        """Keep witnesses' lines of a checkpoint; False where a larger one is cosigned already.

        note: the checkpoint with the log's own lines. lines: by the witness's key.
        """
        arguments: list[str | int] = [size, note, *(part for pair in lines.items() for part in pair)]
        return bool(await self._call(lambda: self._cosign(keys=[COSIGNED], args=arguments)))

    async def size(self) -> int:
        """Leaves, those among them that no checkpoint covers yet."""
        return int(await self._call(lambda: self._redis.get(SIZE)) or 0)

    async def keys(self) -> KeySet:
        """The log's keys, old and new. Raises `NotFound` before the first."""
        pem: Any = await self._call(lambda: self._redis.get(KEYS))
        if pem is None:
            raise NotFound("the log has no key yet")
        return KeySet.from_pem(pem.decode())

    async def leaves(self, start: int, end: int) -> list[bytes]:
        """The leaves from `start` up to `end`, as many as there are."""
        end = min(end, await self.size())
        names = [TileId(None, index) for index in range(start // WIDTH, -(-end // WIDTH))] if start < end else []
        bundles = await self.tiles(names)
        found = [leaf for name in names for leaf in split_bundle(bundles[name])]
        return found[start % WIDTH :][: max(0, end - start)]

    async def inclusion(self, index: int, size: int) -> list[bytes]:
        """The proof that a leaf is in the tree of `size`. Raises `NotFound` where either is not there."""
        if not 0 <= index < size <= await self.size():
            raise NotFound(f"the log has no leaf {index} in a tree of {size} leaves")
        return await self._folded(inclusion_parts(index, size))

    async def consistency(self, old: int, new: int) -> list[bytes]:
        """The proof that the tree of `new` leaves is that of `old` and more. Raises `NotFound`."""
        if not 0 <= old <= new <= await self.size():
            raise NotFound(f"the log never grew from {old} to {new} leaves")
        return await self._folded(consistency_parts(old, new))

    async def root(self, size: int) -> bytes:
        """Of the tree of the first `size` leaves. Raises `NotFound`."""
        if not 0 <= size <= await self.size():
            raise NotFound(f"the log has no tree of {size} leaves")
        return (await self._folded([root_parts(size)]))[0]

    async def proof_file(self, index: int) -> str:
        """The `.tlog-proof` of a leaf, under the newest checkpoint that a witness cosigned where that covers the leaf,
        and else under the newest. Raises `NotFound` where none covers it.
        """
        note = await self._proving_note(index)
        size = Checkpoint.parse(Note.parse(note).text).size
        if index < 0 or index >= size:
            raise NotFound(f"no checkpoint covers leaf {index} yet")
        return ProofFile(index, tuple(await self.inclusion(index, size)), note).to_text()

    async def tiles(self, tiles: Iterable[TileId]) -> dict[TileId, bytes]:
        """The tiles and bundles, as wide as they are now; those that are not there are empty."""
        wanted = list(tiles)
        values: Any = await self._call(lambda: self._redis.mget(map(tile_key, wanted))) if wanted else []
        return {tile: bytes(value or b"") for tile, value in zip(wanted, values, strict=True)}

    async def tile(self, tile: TileId, width: int) -> bytes:
        """A tile or bundle of this width. Raises `NotFound` where no published checkpoint needs one so wide."""
        size: Any = await self._call(lambda: self._redis.hget(CHECKPOINT, "size"))
        if width > tile.width(int(size or 0)):
            raise NotFound("no checkpoint of the log has this tile")
        data = (await self.tiles([tile]))[tile]
        return join_bundle(split_bundle(data)[:width]) if tile.level is None else data[: width * HASH_BYTES]

    async def _call(self, operation: Callable[[], Awaitable[T]]) -> T:
        return await call(operation, patience_s=self._patience_s)

    async def _signed(self, token: str) -> int | None:
        placed: Any = await self._call(lambda: self._redis.get(f"log:placed:{token}"))
        if not placed:
            return None
        size: Any = await self._call(lambda: self._redis.hget(CHECKPOINT, "size"))
        return int(placed) if int(placed) < int(size or 0) else None

    async def _proving_note(self, index: int) -> str:
        cosigned = await self.cosigned()
        if cosigned is not None and index < Checkpoint.parse(Note.parse(cosigned).text).size:
            try:
                (await self.keys()).checked_checkpoint(cosigned)
                return cosigned
            except NotProven:  # signed with a key that was revoked since
                pass
        return await self.checkpoint()

    async def _folded(self, parts: list[Part]) -> list[bytes]:
        tiles = await self.tiles({tile_of(subtree) for subtree in subtrees(parts)})
        return [folded(part, lambda subtree: subtree_hash(subtree, tiles)) for part in parts]

    async def _openings(self, indices: Sequence[int]) -> list[Opening]:
        values: Any = await self._call(lambda: self._redis.mget(map(_opening, indices))) if indices else []
        found = [(index, json.loads(value)) for index, value in zip(indices, values, strict=True) if value is not None]
        return [Opening(index, each["salt_b64"], each["body"]) for index, each in found]


def tile_key(tile: TileId) -> str:
    return f"log:tile:{'entries' if tile.level is None else tile.level}:{tile.index}"


def _opening(index: int) -> str:
    return f"log:opening:{index}"


def _openings_of(request: str) -> str:
    return f"log:openings:{request}"
