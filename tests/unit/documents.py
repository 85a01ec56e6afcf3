"""What the documentation shows: its pages, its fenced blocks, and the commands in them."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

from docs.site import PATTERNS

ROOT = Path(__file__).parents[2]
PAGES = {
    path.relative_to(ROOT).as_posix(): path.read_text(encoding="utf-8")
    for pattern in PATTERNS
    for path in sorted(ROOT.glob(pattern))
    if path.suffix == ".md"
}
_ASSIGNMENT = re.compile(r"[A-Z_]+=")


def blocks(language: str) -> Iterator[tuple[str, str]]:
    """Page and text of each fenced block in this language."""
    for name, text in PAGES.items():
        for block in re.findall(rf"^```{language}\n(.*?)^```$", text, flags=re.MULTILINE | re.DOTALL):
            yield name, block


def commands() -> Iterator[tuple[str, list[str]]]:
    """Page and words of each command in a shell block, without assignments before it and redirections after it."""
    for name, block in blocks("sh"):
        for words in _split(block):
            while words and _ASSIGNMENT.match(words[0]):
                words = words[1:]
            if words:
                yield name, words[: words.index(">")] if ">" in words else words


def mentioned(program: str) -> Iterator[tuple[str, list[str]]]:
    """Page and words of each command of this program that stands in running text."""
    for name, text in PAGES.items():
        running = re.sub(r"^```.*?^```$", "", text, flags=re.MULTILINE | re.DOTALL)
        for span in re.findall(r"(?<!`)`([^`]+)`(?!`)", running):
            if span.startswith(f"{program} "):
                yield name, shlex.split(span)


def arguments(words: list[str], *programs: str) -> list[str] | None:
    """What follows the first of these programs in a command, also where another one runs it; None without any."""
    places = [place for place, word in enumerate(words) if Path(word).name in programs]
    return words[places[0] + 1 :] if places else None


def _split(block: str) -> Iterator[list[str]]:
    """The block's commands; one goes on after a backslash and within quotes."""
    pending = ""
    for line in block.splitlines(keepends=True):
        pending += line
        try:
            words = shlex.split(re.sub(r"\$\([^()]*\)", "OUTPUT", pending).replace("\\\n", " "), comments=True)
        except ValueError:
            continue
        if not pending.endswith("\\\n"):
            pending = ""
            yield words
    assert not pending, f"a command that does not end: {pending}"
