"""C2SP checkpoints and cosignatures: how large the log is and what its root is, signed by the log and by witnesses.

The log signs with both of its keys, under its origin as their name: an Ed25519 note signature, and an ML-DSA-44
cosignature, which says the time too. Witnesses cosign with either algorithm.
"""

from __future__ import annotations

import base64
import binascii
import re
import struct
from collections.abc import Iterable
from dataclasses import dataclass

from gateway.evidence.errors import InvalidKey, Malformed, SignatureInvalid, UnknownSigner
from gateway.evidence.log.merkle import HASH_BYTES
from gateway.evidence.log.note import Note, SignatureLine, is_key_name, key_id
from gateway.evidence.signing.keys import PublicKeys, SigningKey, check_ed25519, check_mldsa44

#: Signature types of signed notes.
ED25519 = 0x01
COSIGNATURE_ED25519 = 0x04
COSIGNATURE_MLDSA44 = 0x06

_SIZE = re.compile(r"0|[1-9][0-9]{0,18}")
_TIME = struct.Struct(">Q")
_SUBTREE_LABEL = b"subtree/v1\n\0"
_LONGEST_NAME = 255


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """origin: names the log. size: of its tree, in leaves. root: 32 bytes.

    Raises `Malformed` for what cannot be written as one.
    """

    origin: str
    size: int
    root: bytes

    def __post_init__(self) -> None:
        if not is_key_name(self.origin) or not self.origin.isprintable():
            raise Malformed("an origin has no spaces and no plus")
        if len(self.origin.encode()) > _LONGEST_NAME:
            raise Malformed(f"an origin has at most {_LONGEST_NAME} bytes")
        if self.size < 0 or len(self.root) != HASH_BYTES:
            raise Malformed(f"a checkpoint has a size and {HASH_BYTES} bytes of root")

    @property
    def text(self) -> str:
        """What the log's Ed25519 key signs: three lines."""
        return f"{self.origin}\n{self.size}\n{base64.b64encode(self.root).decode()}\n"

    @classmethod
    def parse(cls, text: str) -> Checkpoint:
        """Of a note's text. Raises `Malformed`, also for extension lines: ML-DSA does not sign them."""
        lines = text.removesuffix("\n").split("\n")
        if len(lines) != 3 or not _SIZE.fullmatch(lines[1]):
            raise Malformed("a checkpoint has three lines: origin, size, root")
        try:
            checkpoint = cls(lines[0], int(lines[1]), base64.b64decode(lines[2], validate=True))
        except binascii.Error as error:
            raise Malformed("a checkpoint's root is base64") from error
        if checkpoint.text != text:
            raise Malformed("a checkpoint has three lines: origin, size, root")
        return checkpoint


@dataclass(frozen=True, slots=True)
class NoteKey:
    """A public key as signed notes name it; C2SP's vkey. kind: of the signatures, one of the three types above."""

    name: str
    kind: int
    public: bytes

    @property
    def id(self) -> bytes:
        return key_id(self.name, self.kind, self.public)

    def __str__(self) -> str:
        return f"{self.name}+{self.id.hex()}+{base64.b64encode(bytes([self.kind]) + self.public).decode()}"

    @classmethod
    def parse(cls, vkey: str) -> NoteKey:
        """Raises `InvalidKey`."""
        name, _, rest = vkey.partition("+")
        claimed, _, encoded = rest.partition("+")
        try:
            content = base64.b64decode(encoded, validate=True)
        except (binascii.Error, ValueError) as error:
            raise InvalidKey("a witness key is name+id+base64") from error
        key = cls(name, content[0] if content else 0, content[1:])
        if str(key) != vkey or not is_key_name(name) or claimed != key.id.hex():
            raise InvalidKey("a witness key is name+id+base64, and the id is that of the key")
        return key

    def check(self, checkpoint: Checkpoint, line: SignatureLine) -> int | None:
        """When this key signed the checkpoint, in unix seconds; None where its signatures say no time.

        Raises `SignatureInvalid`.
        """
        if self.kind == ED25519:
            check_ed25519(self.public, line.signature, checkpoint.text.encode())
            return None
        if len(line.signature) <= _TIME.size:
            raise SignatureInvalid("a cosignature begins with its time")
        (at,), signature = _TIME.unpack_from(line.signature), line.signature[_TIME.size :]
        if self.kind == COSIGNATURE_ED25519:
            check_ed25519(self.public, signature, _cosigned_text(checkpoint, at))
        elif self.kind == COSIGNATURE_MLDSA44:
            check_mldsa44(self.public, signature, _cosigned_message(self.name, checkpoint, at))
        else:
            raise SignatureInvalid(f"no signatures of type {self.kind} are known")
        return int(at)


def log_keys(origin: str, keys: PublicKeys) -> tuple[NoteKey, NoteKey]:
    """The two keys as the log's signature lines name them."""
    return NoteKey(origin, ED25519, keys.ed25519), NoteKey(origin, COSIGNATURE_MLDSA44, keys.mldsa44)


def sign(checkpoint: Checkpoint, keys: Iterable[SigningKey], at: int) -> Note:
    """The checkpoint, signed with each key twice. at: unix seconds."""
    lines: list[SignatureLine] = []
    for key in keys:
        classical, lattice = log_keys(checkpoint.origin, key.public())
        message = _cosigned_message(lattice.name, checkpoint, at)
        lines.append(SignatureLine(classical.name, classical.id, key.sign_ed25519(checkpoint.text.encode())))
        lines.append(SignatureLine(lattice.name, lattice.id, _TIME.pack(at) + key.sign_mldsa44(message)))
    return Note(checkpoint.text, tuple(lines))


def cosignature(checkpoint: Checkpoint, name: str, key: SigningKey, at: int) -> SignatureLine:
    """What a witness of this name and ML-DSA-44 key adds. at: unix seconds."""
    lattice = NoteKey(name, COSIGNATURE_MLDSA44, key.public().mldsa44)
    signature = key.sign_mldsa44(_cosigned_message(name, checkpoint, at))
    return SignatureLine(name, lattice.id, _TIME.pack(at) + signature)


def verified(note: str, keys: PublicKeys, *, origin: str | None = None) -> tuple[Checkpoint, int]:
    """The checkpoint, and when it was signed in unix seconds, where both keys signed it.

    origin: that it must be of; None takes what it says. Raises `Malformed`, `UnknownSigner`, `SignatureInvalid`.
    """
    parsed = Note.parse(note)
    checkpoint = Checkpoint.parse(parsed.text)
    if origin is not None and checkpoint.origin != origin:
        raise UnknownSigner(f"the checkpoint is of the log {checkpoint.origin}, not of {origin}")
    times = [_signed_at(parsed, checkpoint, key) for key in log_keys(checkpoint.origin, keys)]
    return checkpoint, times[1] or 0


def cosignatures(note: str, witnesses: Iterable[NoteKey]) -> dict[NoteKey, SignatureLine]:
    """The lines of those witnesses that have signed the checkpoint. Raises `Malformed`, `SignatureInvalid`."""
    parsed = Note.parse(note)
    checkpoint = Checkpoint.parse(parsed.text)
    found = {}
    for witness in witnesses:
        for line in _lines_of(parsed, witness):
            witness.check(checkpoint, line)
            found[witness] = line
    return found


def _signed_at(note: Note, checkpoint: Checkpoint, key: NoteKey) -> int | None:
    """Raises `UnknownSigner` where no line is this key's; a line that is must hold."""
    lines = _lines_of(note, key)
    if not lines:
        raise UnknownSigner(f"the checkpoint is not signed with the key {key.name}+{key.id.hex()}")
    return [key.check(checkpoint, line) for line in lines][-1]


def _lines_of(note: Note, key: NoteKey) -> list[SignatureLine]:
    return [line for line in note.lines if (line.name, line.key_id) == (key.name, key.id)]


def _cosigned_text(checkpoint: Checkpoint, at: int) -> bytes:
    return f"cosignature/v1\ntime {at}\n{checkpoint.text}".encode()


def _cosigned_message(name: str, checkpoint: Checkpoint, at: int) -> bytes:
    """`cosigned_message` of tlog-cosignature, for the whole tree."""
    cosigner, origin = name.encode(), checkpoint.origin.encode()
    return b"".join(
        (
            _SUBTREE_LABEL,
            bytes([len(cosigner)]) + cosigner,
            _TIME.pack(at),
            bytes([len(origin)]) + origin,
            _TIME.pack(0),
            _TIME.pack(checkpoint.size),
            checkpoint.root,
        )
    )
