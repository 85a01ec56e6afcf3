"""Reads forget and retain sets: `.json`, `.jsonl` and `.csv`.

A line of `.jsonl` is a pair, a passage (`{"text": …}`) or a line of an OpenAI fine-tuning file (`{"messages": […]}`).
Only the file's own form is checked here; what an item must look like is the service's to say.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from gateway.cli.failures import UsageFailed

Item = dict[str, Any]
_COLUMNS = (["completion", "prompt"], ["text"])


def read_body(path: Path) -> dict[str, Any]:
    """The body of `POST /forget` that `path` stands for: a `.json` object as it is, else its items as forget set."""
    if path.suffix.lower() == ".json":
        document = _json(path)
        if isinstance(document, dict):
            return document
    return {"forget": read_items(path)}


def read_items(path: Path) -> list[Item]:
    """The items of a file. Raises `UsageFailed` naming file, line and what is wrong, never the text."""
    readers: Mapping[str, Callable[[Path], list[Item]]] = {".json": _items, ".jsonl": _lines, ".csv": _rows}
    reader = readers.get(path.suffix.lower())
    if reader is None:
        raise UsageFailed(f"{path}: unknown kind of file; use .json, .jsonl or .csv")
    items = reader(path)
    if not items:
        raise UsageFailed(f"{path}: holds no item")
    return items


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError:
        raise UsageFailed(f"{path}: is not UTF-8 text") from None
    except OSError as error:
        raise UsageFailed(f"{path}: {error.strerror}") from None


def _json(path: Path) -> Any:
    return _parse(_text(path), str(path))


def _parse(text: str, where: str) -> Any:
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        raise UsageFailed(f"{where}: not JSON (line {error.lineno}, column {error.colno}: {error.msg})") from None


def _items(path: Path) -> list[Item]:
    document = _json(path)
    if not isinstance(document, list):
        raise UsageFailed(f"{path}: a set of items must be a JSON list")
    for number, item in enumerate(document, start=1):
        _check(item, f"{path}: item {number}")
    return document


def _lines(path: Path) -> list[Item]:
    items: list[Item] = []
    # Not splitlines(): it also splits at characters that JSON strings may hold as they are.
    for number, line in enumerate(_text(path).split("\n"), start=1):
        if line.strip():
            where = f"{path}:{number}"
            items.append(_check(_parse(line, where), where))
    return items


def _rows(path: Path) -> list[Item]:
    reader = csv.reader(_text(path).splitlines(keepends=True), strict=True)
    items: list[Item] = []
    try:
        header = [name.strip().lower() for name in next(reader, [])]
        if sorted(header) not in _COLUMNS:
            raise UsageFailed(f"{path}: the first line must name the columns prompt,completion or the column text")
        for row in reader:
            if not row:
                continue
            if len(row) != len(header):
                raise UsageFailed(f"{path}:{reader.line_num}: {len(row)} columns, not {len(header)}")
            items.append(dict(zip(header, row, strict=True)))
    except csv.Error as error:
        raise UsageFailed(f"{path}:{reader.line_num}: not CSV ({error})") from None
    return items


def _check(item: Any, where: str) -> Item:
    if not isinstance(item, dict):
        raise UsageFailed(f"{where}: must be an object")
    return item
