"""Reads forget and retain sets: `.json`, `.jsonl`, and tables as `.csv` or `.tsv`.

A line of `.jsonl` is a pair, a passage (`{"text": …}`) or a line of an OpenAI fine-tuning file (`{"messages": […]}`).
Data sets often call a pair question and answer, and their lines `.json`: both are read as what they are.
Only the file's own form is checked here; what an item must look like is the service's to say.
"""

from __future__ import annotations

import csv
import io
import json
from codecs import BOM_UTF16_BE, BOM_UTF16_LE
from collections.abc import Callable, Mapping
from itertools import islice
from pathlib import Path
from typing import Any

from gateway.cli.failures import UsageFailed
from gateway.cli.json_text import parse_json

Item = dict[str, Any]
_COLUMNS = (["completion", "prompt"], ["answer", "question"], ["text"])
#: Other names of a pair's two keys.
_QUESTION = {"question": "prompt", "answer": "completion"}
#: By comma, or by what Excel puts there where the comma is the decimal sign.
_SEPARATORS = (",", ";", "\t")
#: A table of one column has no separator, and a text with commas needs no quotes there.
_NONE = "\x1f"


def read_body(path: Path) -> dict[str, Any]:
    """The body of `POST /forget` that `path` stands for: a `.json` object as it is, else its items as forget set."""
    if path.suffix.lower() == ".json" and not _holds_lines(text := _text(path)):
        document = parse_json(text, str(path))
        if isinstance(document, dict):
            return document
    return {"forget": read_items(path)}


def read_items(path: Path) -> list[Item]:
    """The items of a file. Raises `UsageFailed` naming file, line and what is wrong, never the text."""
    readers: Mapping[str, Callable[[Path], list[Item]]] = {
        ".json": _items,
        ".jsonl": _lines,
        ".csv": _rows,
        ".tsv": _rows,
    }
    reader = readers.get(path.suffix.lower())
    if reader is None:
        raise UsageFailed(f"{path}: unknown kind of file; use {', '.join(readers)}")
    items = reader(path)
    if not items:
        raise UsageFailed(f"{path}: holds no item")
    return items


def _text(path: Path) -> str:
    try:
        # Not read_text(): it would make line feeds of the carriage returns in a quoted field.
        data = path.read_bytes()
        return data.decode("utf-16" if data.startswith((BOM_UTF16_LE, BOM_UTF16_BE)) else "utf-8-sig")
    except UnicodeDecodeError:
        raise UsageFailed(f"{path}: is not UTF-8 text") from None
    except OSError as error:
        raise UsageFailed(f"{path}: {error.strerror}") from None


def _items(path: Path) -> list[Item]:
    text = _text(path)
    if _holds_lines(text):
        return _lines(path)
    document = parse_json(text, str(path))
    if not isinstance(document, list):
        raise UsageFailed(f"{path}: a set of items must be a JSON list")
    return [_checked(item, f"{path}: item {number}") for number, item in enumerate(document, start=1)]


def _holds_lines(text: str) -> bool:
    """Whether the first line is an object by itself that others follow, or that is an item and no body."""
    first, _, rest = text.strip("\ufeff \t\r\n").partition("\n")
    try:
        row = json.loads(first)
    except (ValueError, RecursionError):
        return False
    return isinstance(row, dict) and (bool(rest) or _QUESTION.keys() <= row.keys())


def _lines(path: Path) -> list[Item]:
    items: list[Item] = []
    # Not splitlines(): it also splits at characters that JSON strings may hold as they are.
    for number, line in enumerate(_text(path).split("\n"), start=1):
        if line.strip():
            where = f"{path}:{number}"
            items.append(_checked(parse_json(line, where), where))
    return items


def _rows(path: Path) -> list[Item]:
    text = _text(path)
    first, _, rest = text.partition("\n")
    noted = first.strip().lower() in {f"sep={separator}" for separator in _SEPARATORS}  # by Excel, above the names
    header, separator = _header(path, rest if noted else text)
    # Not splitlines(): a quoted field may hold what that splits at.
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator, strict=True)
    items: list[Item] = []
    try:
        for row in islice(reader, 2 if noted else 1, None):
            cells = _without_empty_end(row, len(header))
            if not any(cell.strip() for cell in cells):
                continue
            if len(cells) != len(header):
                raise UsageFailed(f"{path}:{reader.line_num}: {len(cells)} columns, not {len(header)}")
            items.append(_named(dict(zip(header, cells, strict=True))))
    except csv.Error as error:
        raise UsageFailed(f"{path}:{reader.line_num}: not CSV ({error})") from None
    return items


def _header(path: Path, text: str) -> tuple[list[str], str]:
    """The names of the columns, and what separates them. Raises `UsageFailed`."""
    for separator in (_NONE, *_SEPARATORS):
        try:
            names = next(csv.reader(io.StringIO(text, newline=""), delimiter=separator, strict=True), [])
        except csv.Error:
            continue
        header = [name.strip().lower() for name in _without_empty_end(names, 1)]
        if sorted(header) in _COLUMNS:
            return header, separator
    raise UsageFailed(
        f"{path}: the first line must name the columns prompt,completion, or question,answer, or the column text, "
        "separated by comma, semicolon or tab"
    )


def _without_empty_end(row: list[str], most: int) -> list[str]:
    """The row without the empty cells behind its `most` first ones, which a spreadsheet leaves there."""
    while len(row) > most and not row[-1].strip():
        row = row[:-1]
    return row


def _checked(item: Any, where: str) -> Item:
    if not isinstance(item, dict):
        raise UsageFailed(f"{where}: must be an object")
    return _named(item)


def _named(item: Item) -> Item:
    """A question with its answer as a pair; any other item as it is."""
    if not _QUESTION.keys() <= item.keys() or item.keys() & {*_QUESTION.values()}:
        return item
    return {_QUESTION.get(key, key): value for key, value in item.items()}
