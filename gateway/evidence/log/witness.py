"""Witnesses: who has checked, apart from the log, that it only grows, and says so under its checkpoints."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from gateway.evidence.errors import UnknownSigner
from gateway.evidence.log.checkpoint import Checkpoint, NoteKey, cosignatures, log_keys
from gateway.evidence.log.note import Note
from gateway.evidence.signing.rotation import KeySet


@dataclass(frozen=True, slots=True)
class Cosigned:
    """note: the checkpoint with the log's own lines alone. lines: of witnesses, by their keys."""

    checkpoint: Checkpoint
    note: str
    lines: Mapping[str, str]


def parse_witnesses(text: str) -> tuple[NoteKey, ...]:
    """Keys apart by commas, each as name+id+base64. Raises `InvalidKey`."""
    return tuple(NoteKey.parse(part.strip()) for part in text.split(",") if part.strip())


def checked(note: str, keys: KeySet, witnesses: Iterable[NoteKey]) -> Cosigned:
    """A checkpoint that the log has signed and one of the witnesses at least; other lines are dropped.

    Raises `Malformed`, `UnknownSigner`, `SignatureInvalid`, `KeyRevoked`.
    """
    checkpoint, _ = keys.checked_checkpoint(note)
    lines = {str(key): str(line) for key, line in cosignatures(note, witnesses).items()}
    if not lines:
        raise UnknownSigner("none of the witnesses of this log has cosigned the checkpoint")
    own = {(key.name, key.id) for known in keys.known for key in log_keys(checkpoint.origin, known.keys)}
    parsed = Note.parse(note)
    kept = tuple(line for line in parsed.lines if (line.name, line.key_id) in own)
    return Cosigned(checkpoint, str(Note(parsed.text, kept)), lines)
