"""Which set of active requests somebody has seen, and how a Redis that lost its data is told from one that has not.

Each change of the set gets the next number and a random mark, and Redis keeps the marks of all numbers. A Redis that
does not hold the mark of a set that was seen is not the one it was seen in: emptied, restarted without its file, or
restored from an older copy and gone on from there.
"""

from __future__ import annotations

import logging
import os
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gateway.errors import DataLost

logger = logging.getLogger(__name__)

FILE = "policy.generation"
KEYS_FILE = "keys.generation"


@dataclass(frozen=True, slots=True)
class Generation:
    """One set of active requests. mark: random, in hex."""

    number: int
    mark: str


def new_mark() -> str:
    """Of one call, and of the generation that it makes."""
    return secrets.token_hex(8)


def read_arguments(seen: Generation | None) -> list[str]:
    """What a script that reads a set by generation is asked with: see generation.lua."""
    return [new_mark(), *(("", "") if seen is None else (str(seen.number), seen.mark))]


def generation_read(reply: Sequence[Any], seen: Generation | None, what: str, known: str) -> Generation | None:
    """The generation that such a script answered with; None where it is the one that was seen.

    what: it is the generation of, and known: what became of the one that was seen; both are for the error. Raises
    `DataLost` for a Redis that never had that one.
    """
    if reply[0] == b"lost":
        assert seen is not None
        raise DataLost(
            f"Redis is at {what} generation {reply[1].decode()} and never had the generation {seen.number} that was "
            f"{known}: its data was lost. Restore it; docs/operations.md says how to accept the loss"
        )
    return None if reply[0] == b"same" else Generation(int(reply[1]), reply[2].decode())


class GenerationFile:
    """The newest generation that a service of this data directory has served, across its restarts.

    An operator who accepts what a Redis has lost removes the file and starts the service again.
    """

    def __init__(self, data_dir: Path, name: str = FILE) -> None:
        self.path = data_dir / name

    def load(self) -> Generation | None:
        """None where there is no file. Raises `DataLost` for one that cannot be read."""
        try:
            number, mark = self.path.read_text(encoding="ascii").split()
            return Generation(int(number), mark)
        except FileNotFoundError:
            return None
        except (OSError, ValueError) as error:
            raise DataLost(f"{self.path} does not say what was served: {type(error).__name__}") from error

    def save(self, generation: Generation) -> None:
        """A full disk must not keep a new set from being served: it is logged."""
        staging = self.path.with_suffix(f".{os.getpid()}")
        try:
            staging.write_text(f"{generation.number} {generation.mark}\n", encoding="ascii")
            staging.replace(self.path)
        except OSError as error:
            logger.error("generation not kept number=%d error=%s", generation.number, error.strerror)
