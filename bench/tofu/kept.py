"""What is measured or asked once a world, as JSON in its folder."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any


def read_kept(path: Path) -> dict[str, Any]:
    """What was written there; {} where nothing was."""
    kept: dict[str, Any] = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    return kept


def write_kept(path: Path, kept: Mapping[str, Any]) -> None:
    """All at once: another run may be reading it. What two write at a time is the later one's."""
    staging = path.with_name(f".{path.name}.{os.getpid()}")
    staging.write_text(json.dumps(kept, ensure_ascii=False), encoding="utf-8")
    staging.replace(path)
