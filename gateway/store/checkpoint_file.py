"""The last checkpoint of the log that this host has signed or seen, beside its data and not in Redis."""

from __future__ import annotations

import logging
import os
from pathlib import Path

from gateway.evidence.errors import LogInconsistent, Malformed
from gateway.evidence.log.checkpoint import Checkpoint
from gateway.evidence.log.note import Note

logger = logging.getLogger(__name__)

FILE = "log.checkpoint"
KEYS_FILE = "log.keys.pem"


class CheckpointFile:
    """What a log that was cut, or a Redis that went back in time, is told by.

    An operator who accepts what was lost removes the file; docs/log.md says what to do beside.
    """

    def __init__(self, data_dir: Path) -> None:
        self.path = data_dir / FILE
        self.keys_path = data_dir / KEYS_FILE

    def load(self) -> Checkpoint | None:
        """None where there is no file. Raises `LogInconsistent` for one that cannot be read."""
        try:
            return Checkpoint.parse(Note.parse(self.path.read_text(encoding="utf-8")).text)
        except FileNotFoundError:
            return None
        except (OSError, UnicodeDecodeError, Malformed) as error:
            raise LogInconsistent(f"{self.path} does not say which log was seen: {type(error).__name__}") from error

    def save(self, note: str) -> None:
        """A full disk must not keep the log from being signed: it is logged."""
        _replace(self.path, note)

    def save_keys(self, pem: str) -> None:
        """Keep the log's public keys, old and new: they verify what was signed even where Redis is lost."""
        _replace(self.keys_path, pem)


def _replace(path: Path, text: str) -> None:
    staging = path.with_suffix(f".{os.getpid()}")
    try:
        with staging.open("w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        staging.replace(path)
    except OSError as error:
        logger.error("%s not kept error=%s", path.name, error.strerror)
