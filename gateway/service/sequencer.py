"""Makes the log of what waits for it, and signs it: in every gateway at once, one of which is first each time.

Two steps, each of which may be the last before a kill: what waits becomes leaves in one script, which fails where the
log has grown meanwhile; a checkpoint of all leaves is signed and published. A host signs nothing that is not consistent
with what it has signed or seen before.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass

from gateway.errors import NotFound, StateConflict
from gateway.evidence.canonical import DIGEST_PREFIX
from gateway.evidence.errors import (
    EvidenceKeyNotCurrent,
    KeyRevoked,
    LogInconsistent,
    LogRefused,
    Malformed,
    NotProven,
)
from gateway.evidence.log import checkpoint as checkpoints
from gateway.evidence.log.checkpoint import Checkpoint
from gateway.evidence.log.merkle import check_consistency
from gateway.evidence.signing.keys import PublicKeys, SigningKey
from gateway.evidence.signing.rotation import KeyEvent, KeySet, KeyState, key_entry
from gateway.service.metrics import GatewayMetrics
from gateway.settings import DISTRIBUTION
from gateway.store.checkpoint_file import CheckpointFile
from gateway.store.evidence_key import EvidenceKeys
from gateway.store.log_tail import Head, LogTail

logger = logging.getLogger(__name__)

_WAIT_MS = 1000
_ORIGIN_DIGITS = 16


@dataclass(frozen=True, slots=True)
class LogState:
    """The log as this host has it.

    size: its leaves. waiting: what is no leaf yet. signs: whether this host has the key that the log is signed with.
    kept: whether the last checkpoint lies beside this host's data. believed: so many leaves were there when this host
    first looked, with no checkpoint of its own to hold them against.
    """

    size: int
    waiting: int
    signs: bool
    kept: bool
    believed: int


class Sequencer:
    """`step` until told to stop. origin: what the log is to be called; None takes a name from its first key."""

    def __init__(
        self,
        store: LogTail,
        keys: EvidenceKeys,
        file: CheckpointFile,
        metrics: GatewayMetrics,
        *,
        origin: str | None = None,
    ) -> None:
        self._store = store
        self._keys = keys
        self._file = file
        self._metrics = metrics
        self._origin = origin
        self._seen: tuple[int, str | None] | None = None  # size and checkpoint that were checked last
        self._known: KeySet | None = None  # keys that were kept last
        self._believed = 0

    async def step(self) -> None:
        """Wait a moment for something to log, then log and sign all there is.

        Raises `LogInconsistent`, `EvidenceKeyNotCurrent`, `StoreUnavailable`.
        """
        await self._store.wait(_WAIT_MS)
        await self.advance()

    async def advance(self) -> None:
        """The same without waiting."""
        try:
            held = self._keys.load()
            head = await self._store.head()
            self._measure(head)
            await self._check(head)
            await self._announce(head.keys, held)
            if head.waiting:
                await self._commit(head)
            await self._sign(held)
        except LogRefused as error:
            self._metrics.log_refusals.labels(error.code).inc()
            raise

    async def state(self) -> LogState:
        """The log now, checked; nothing is logged or signed.

        Raises `LogInconsistent`, `StoreUnavailable`, and as `EvidenceKeys.load`.
        """
        held, head = self._keys.load(), await self._store.head()
        await self._check(head)
        signs = head.keys is None or head.keys.current in [key.public() for key in held]
        return LogState(head.size, head.backlog, signs, self._file.load() is not None, self._believed)

    async def replace_key(self) -> PublicKeys:
        """Have the log signed with this host's key, whose predecessor is lost: an operator vouches for it.

        Raises `StateConflict` for a key that is or was the log's.
        """
        public, keys = self._keys.load()[0].public(), await self._store.keys()
        if any(key.keys == public for key in keys.known):
            raise StateConflict("this host's key is the log's already, or was; make another one first")
        await self._put_key(KeyEvent.REPLACED, public, keys.origin)
        return public

    async def revoke_key(self, key_id: str) -> None:
        """Let a retired key count no longer. Raises `UnknownSigner`, `StateConflict` for one that is not retired."""
        keys = await self._store.keys()
        key = keys.find(key_id)
        if key.state is not KeyState.RETIRED:
            raise StateConflict(f"the key is {key.state}: only a retired one is revoked, so rotate first")
        await self._put_key(KeyEvent.REVOKED, key.keys, keys.origin)

    def _measure(self, head: Head) -> None:
        self._metrics.log_size.set(head.size)
        self._metrics.log_waiting.set(head.backlog)
        if head.signed_at:
            self._metrics.log_checkpoint_age.set(max(0, head.now - head.signed_at))

    async def _check(self, head: Head) -> None:
        """That this log is the one that this host has seen, and more. Raises `LogInconsistent`."""
        seen = self._file.load()
        origin = None if head.keys is None else head.keys.origin
        if seen is not None and (origin != seen.origin or head.size < seen.size):
            raise LogInconsistent(
                f"this host has seen {seen.size} leaves of the log {seen.origin}, and Redis has {head.size} of "
                f"{origin or 'none'}: its data was lost. Restore it; docs/log.md says how to accept the loss"
            )
        if self._origin is not None and origin not in (None, self._origin):
            raise LogInconsistent(f"the log is called {origin}, and the setting log_origin says {self._origin}")
        if self._seen == (head.size, head.note):
            return
        published = head.checkpoint
        try:
            for earlier in (seen, published):
                if earlier is not None:
                    await self._check_growth(earlier, head.size)
            if head.note is not None and head.keys is not None:
                _check_signed(head.note, head.keys)
        except (NotProven, NotFound, Malformed) as error:
            raise LogInconsistent(f"the log in Redis is not the one that was signed: {error.message}") from error
        if head.note is not None and published is not None and (seen is None or seen.size < published.size):
            if seen is None and self._seen is None:
                self._believed = published.size
                logger.warning("log believed leaves=%d: no checkpoint was kept here", published.size)
            self._file.save(head.note)
        if head.keys is not None and head.keys != self._known:
            self._file.save_keys(head.keys.to_pem())
            self._known = head.keys
        self._seen = head.size, head.note

    async def _check_growth(self, earlier: Checkpoint, size: int) -> None:
        """Raises `ConsistencyInvalid`, `NotFound`, `Malformed` where hashes are missing."""
        proof = await self._store.consistency(earlier.size, size)
        check_consistency(earlier.size, size, earlier.root, await self._store.root(size), proof)

    async def _announce(self, keys: KeySet | None, held: Sequence[SigningKey]) -> None:
        """Log this host's key where it is the first one, or follows one that this host has too."""
        first, *before = (key.public() for key in held)
        if keys is None:
            await self._put_key(KeyEvent.ADDED, first, self._origin or default_origin(first))
        elif keys.current in before and all(key.keys != first for key in keys.known):
            await self._put_key(KeyEvent.ROTATED, first, keys.origin)

    async def _put_key(self, event: KeyEvent, keys: PublicKeys, origin: str | None) -> None:
        # Every host says the same once: the token is the key's.
        await self._store.put(key_entry(event, keys, origin or ""), token=f"key:{event}:{keys.ed25519_id}")

    async def _commit(self, head: Head) -> None:
        keys = head.keys or KeySet(None, ())
        for index, waiting in enumerate(head.waiting, start=head.size):
            if waiting.entry.kind == "key":
                keys = keys.after(waiting.entry.body, index)
        await self._store.commit(head.size, head.waiting, keys if keys.known and keys != head.keys else None)

    async def _sign(self, held: Sequence[SigningKey]) -> None:
        """Sign the log as it is now, where it has grown. The key before the current one vouches for the change."""
        head = await self._store.head()
        published = 0 if head.checkpoint is None else head.checkpoint.size
        if head.keys is None or head.size == published:
            return
        await self._check(head)
        current = [key for key in held if key.public() == head.keys.current]
        if not current:
            raise EvidenceKeyNotCurrent(
                "the log is signed with another key than this host's: give all hosts the same UNLEARN_EVIDENCE_KEY, "
                "or, where the other key is lost, run `unlearn evidence-keys rotate --lost`"
            )
        leaving = [key.keys for key in head.keys.known if key.since is not None and published <= key.since]
        before = [key for key in held if key.public() in leaving]
        checkpoint = Checkpoint(str(head.keys.origin), head.size, await self._store.root(head.size))
        note = str(checkpoints.sign(checkpoint, [*current, *before], head.now))
        if await self._store.publish(head.size, note, head.now):
            self._file.save(note)
            self._metrics.log_size.set(head.size)


def default_origin(keys: PublicKeys) -> str:
    """What a log is called that nobody gave a name, by its first key."""
    return f"{DISTRIBUTION}/{keys.ed25519_id.removeprefix(DIGEST_PREFIX)[:_ORIGIN_DIGITS]}"


def _check_signed(note: str, keys: KeySet) -> None:
    """Raises `UnknownSigner`, `SignatureInvalid`."""
    with suppress(KeyRevoked):  # until the next checkpoint, of another key
        keys.checked_checkpoint(note)
