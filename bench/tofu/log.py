"""Logs of JSON lines, which an interrupted run goes on with."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any


def load_log(path: Path, split: str | None = None) -> list[dict[str, Any]]:
    """The lines of a log, of one split where that is named."""
    lines = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    return [line for line in lines if split in (None, line["split"])]


class ReportLog:
    """Lines by the key of what they are about, each written when it is made, and kept."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lines: dict[str, dict[str, Any]] = {}
        if path.exists():
            self._lines = {line["key"]: line for line in load_log(path)}

    @property
    def folder(self) -> Path:
        """Where artifacts lie."""
        return self.path.with_suffix("")

    def get(self, key: str) -> dict[str, Any] | None:
        return self._lines.get(key)

    def add(self, key: str, line: dict[str, Any]) -> None:
        self._lines[key] = {"key": key, **line}
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with self.path.open("a", encoding="utf-8") as log:
            log.write(json.dumps(self._lines[key], ensure_ascii=False) + "\n")
