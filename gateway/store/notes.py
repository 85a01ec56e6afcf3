"""What two active requests do to each other, as their records hold it; `notes.lua` puts it there and takes it out."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Note:
    """About a request that becomes active and another that is active.

    own, theirs: as its record has it, and the other's, each naming whom it is beside under `with`, whose that is under
    `tenant`, and in words under `message`. lost: whether it is to be told to who follows them.
    """

    other: str
    own: Mapping[str, Any]
    theirs: Mapping[str, Any]
    lost: bool

    @property
    def told(self) -> list[str]:
        """For the followers of who becomes active."""
        return [self.own["message"]] if self.lost else []


def for_script(notes: Sequence[Note], at: float) -> str:
    """The notes as `put_notes` takes them: what goes to a record or to its followers is text there."""
    return json.dumps([_for_script(note, at) for note in notes])


def _for_script(note: Note, at: float) -> dict[str, str | bool]:
    # Who follows a request of everybody's need not know of a tenant's.
    told = note.lost and note.own["tenant"] == note.theirs["tenant"]
    event = {"state": "active", "at": at, "error": None, "interference": [note.theirs["message"]]}
    return {
        "other": note.other,
        "own": json.dumps({**note.own, "at": at}),
        "theirs": json.dumps({**note.theirs, "at": at}),
        "lost": note.lost,
        "event": json.dumps(event) if told else "",
    }
