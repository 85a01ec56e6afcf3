"""The log's keys over time: which one signs now, which ones did, and up to where what they signed still counts.

A *retired* key was replaced in order: its checkpoints of the log as it was then still count. A *revoked* key may be in
other hands: whoever holds it can sign a checkpoint of any size, so none of its checkpoints counts. What either signed
of itself (a certificate) counts where it was logged before the end of its key, by a checkpoint of a key that counts.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any

from gateway.evidence.errors import InvalidKey, KeyRevoked, UnknownSigner
from gateway.evidence.log import checkpoint as checkpoints
from gateway.evidence.log.checkpoint import Checkpoint
from gateway.evidence.log.leaf import Entry
from gateway.evidence.signing import dsse
from gateway.evidence.signing.keys import PublicKeys

_HEADER = re.compile(r"^# evidence key of (\S+): (current|retired|revoked)(?: since leaf (\d{1,19}))?$", re.MULTILINE)
_BLOCK_BEGIN = "-----BEGIN"


class KeyEvent(StrEnum):
    """What a log's entry of the kind "key" says.

    added: the first key. rotated: the key before it signed the checkpoint of this entry too. replaced: it was lost, and
    an operator vouches for the new one. revoked: a key counts no longer.
    """

    ADDED = "added"
    ROTATED = "rotated"
    REPLACED = "replaced"
    REVOKED = "revoked"


class KeyState(StrEnum):
    """current: signs. retired: was replaced. revoked: may be in other hands."""

    CURRENT = "current"
    RETIRED = "retired"
    REVOKED = "revoked"


@dataclass(frozen=True, slots=True)
class KnownKey:
    """since: index of the log's entry that ended it; None while it is current."""

    keys: PublicKeys
    state: KeyState = KeyState.CURRENT
    since: int | None = None

    @property
    def ids(self) -> frozenset[str]:
        return frozenset({self.keys.ed25519_id, self.keys.mldsa44_id})


def key_entry(event: KeyEvent, keys: PublicKeys, origin: str) -> Entry:
    """What is logged of a key."""
    ids = {"ed25519": keys.ed25519_id, "mldsa44": keys.mldsa44_id}
    return Entry("key", {"event": event.value, "log": origin, **ids, "pem": keys.to_pem()})


@dataclass(frozen=True, slots=True)
class KeySet:
    """All keys of one log, the current one first. origin None: keys that do not say which log they are of."""

    origin: str | None
    known: tuple[KnownKey, ...]

    @property
    def current(self) -> PublicKeys | None:
        """None before the first, and where the last one was revoked."""
        return next((key.keys for key in self.known if key.state is KeyState.CURRENT), None)

    def find(self, key_id: str) -> KnownKey:
        """By either of its key ids. Raises `UnknownSigner`."""
        for key in self.known:
            if key_id in key.ids:
                return key
        raise UnknownSigner(f"{key_id} is no evidence key of this log")

    def succeeded(self, by: PublicKeys, at: int) -> KeySet:
        """With another current key. at: index of the entry that says so. One that was there before is refused.

        Raises `InvalidKey`: a key that was given up is not taken up again.
        """
        if any(key.keys == by for key in self.known):
            raise InvalidKey("this key was the log's already; make a new one")
        before = tuple(
            replace(key, state=KeyState.RETIRED, since=at) if key.state is KeyState.CURRENT else key
            for key in self.known
        )
        return KeySet(self.origin, (KnownKey(by), *before))

    def revoked(self, key_id: str, at: int) -> KeySet:
        """Without trust in one key. A retired one counts for what was logged before it retired, as it did."""
        lost = self.find(key_id)
        end = replace(lost, state=KeyState.REVOKED, since=at if lost.since is None else lost.since)
        return KeySet(self.origin, tuple(end if key is lost else key for key in self.known))

    def checked_checkpoint(self, note: str) -> tuple[Checkpoint, int]:
        """The checkpoint and when it was signed, where a key that counts for it signed it.

        Raises `Malformed`, `UnknownSigner`, `SignatureInvalid`, `KeyRevoked`.
        """
        refused: UnknownSigner | KeyRevoked | None = None
        for key in self.known:
            try:
                found = checkpoints.verified(note, key.keys, origin=self.origin)
            except UnknownSigner as error:
                refused = refused or error
                continue
            if key.state is KeyState.CURRENT or (key.state is KeyState.RETIRED and found[0].size <= (key.since or 0)):
                return found
            refused = KeyRevoked(f"the checkpoint is signed with a {key.state} key; ask the log for one of today")
        raise refused or UnknownSigner("no evidence key is known")

    def checked_envelope(self, envelope: Any, payload_type: str, *, logged_at: int) -> bytes:
        """The payload of a DSSE envelope that was logged as leaf `logged_at`, which is for the caller to have checked.

        Raises `Malformed`, `UnknownSigner`, `SignatureInvalid`, `KeyRevoked`.
        """
        named = dsse.signers(envelope)
        key = next((key for key in self.known if key.ids <= named), None)
        if key is None:
            raise UnknownSigner("the envelope is not signed with an evidence key of this log")
        payload = dsse.verified(envelope, payload_type, key.keys)
        if key.since is not None and logged_at >= key.since:
            raise KeyRevoked(f"signed with a key that is {key.state} since leaf {key.since}, and logged after that")
        return payload

    def after(self, body: Mapping[str, Any], at: int) -> KeySet:
        """With what the body of a key's entry says, which is leaf `at`. One that does not fit changes nothing.

        Two hosts may ask for the same at once: the log has both entries, and the first one counts.
        """
        keys, event = PublicKeys.from_pem(body["pem"]), KeyEvent(body["event"])
        if event is KeyEvent.ADDED:
            return self if self.known else KeySet(body["log"], ()).succeeded(keys, at)
        known = [key for key in self.known if key.keys == keys]
        if event is KeyEvent.REVOKED:
            fits = bool(known) and known[0].state is KeyState.RETIRED
            return self.revoked(keys.ed25519_id, at) if fits else self
        return self if known else self.succeeded(keys, at)

    def to_pem(self) -> str:
        """All keys, each under a line that says of which log it is and what became of it."""
        return "".join(self._blocks())

    def _blocks(self) -> Iterator[str]:
        for key in self.known:
            if self.origin is not None:
                since = "" if key.since is None else f" since leaf {key.since}"
                yield f"# evidence key of {self.origin}: {key.state}{since}\n"
            yield key.keys.to_pem()

    @classmethod
    def from_pem(cls, text: str) -> KeySet:
        """The reverse; one key without such a line is a current one. Raises `InvalidKey`."""
        headers = list(_HEADER.finditer(text))
        if not headers:
            return cls(None, (KnownKey(PublicKeys.from_pem(text)),))
        if _BLOCK_BEGIN in text[: headers[0].start()] or len({header[1] for header in headers}) > 1:
            raise InvalidKey("the file has keys of several logs, or keys that do not say of which log they are")
        ends = [header.start() for header in headers[1:]] + [len(text)]
        known = tuple(
            KnownKey(PublicKeys.from_pem(text[header.end() : end]), KeyState(header[2]), _since(header[3]))
            for header, end in zip(headers, ends, strict=True)
        )
        if sum(key.state is KeyState.CURRENT for key in known) > 1:
            raise InvalidKey("a log has one current key")
        return cls(headers[0][1], known)


def _since(text: str | None) -> int | None:
    return None if text is None else int(text)
