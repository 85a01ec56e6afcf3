"""Where the sentences of a text end, in any script.

ICU's rules (UAX #29) know the stops of every script, among them 。 and । and ؟. They do not know abbreviations, and
they take every line's end for a sentence's. Thai and Lao have no stop: a space ends a sentence there.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Sequence

from icu4py.breakers import SentenceBreaker

# What ends with a stop and ends no sentence: titles and common abbreviations, of all languages together, as large or
# small as they are written: "No. 5", but "he said no."
_ABBREVIATIONS = frozenset(
    """
    Mr Mrs Ms Dr Prof St Jr Sr Gen Col Sgt Rev Hon No Vol Fig Capt Lt vs etc cf e.g i.e approx
    Nr Hr Fr Hl Ing Bd Str Ca ca bzw evtl geb usw u.a z.B d.h Mme Mlle MM av
    Sra Srta Dra Ud Uds pág núm ej Dott Sig г ул им стр гр т.е т.д т.п др проф डॉ श्री
    """.split()  # noqa: SIM905
)
_LONGEST_ABBREVIATION = 8
_GERMAN_MONTHS = tuple(
    """
    Januar Jänner Februar März April Mai Juni Juli August September Oktober November Dezember
    """.split()  # noqa: SIM905
)
_LAST_WORD = re.compile(r"(?<!\w)((?:[^\W_]|[.\u0300-\u036f\u0900-\u0dff])*)\.$")
_OPENING = ("Ps", "Pi")
_CLOSING = "\"'”’»)]"
# Thai and Lao letters on both sides of a space.
_THAI_SPACE = re.compile(r"(?<=[\u0e00-\u0eff]) (?=[\u0e00-\u0eff])")
#: A clause of fewer characters than this is no sentence of its own in Thai.
_SHORTEST_THAI = 10


def sentences(text: str) -> list[str]:
    """The sentences of a text in order, white space folded. A stop after an initial or an abbreviation ends none.

    A blank line ends a paragraph and so a sentence, whatever stands before it.
    """
    found: list[list[str]] = []
    for paragraph in _paragraphs(text):
        start = 0
        for end in _ends(paragraph):
            sentence = paragraph[start:end].strip()
            start = end
            if not found or any(character.isalnum() for character in sentence):
                found.append([])
            if sentence:
                found[-1].append(sentence)  # signs alone are no sentence
    return [" ".join(parts) for parts in found if parts]


def first_sentence(text: str) -> str:
    """The first sentence of a text; empty where it has none."""
    return next(iter(sentences(text)), "")


def joined(parts: Sequence[str]) -> str:
    """Sentences as one text, with a space between two where the script has spaces."""
    return "".join(
        part if number == len(parts) - 1 or _is_wide(part.rstrip(_CLOSING)[-1:]) else f"{part} "
        for number, part in enumerate(parts)
    )


def _is_wide(character: str) -> bool:
    return bool(character) and unicodedata.east_asian_width(character) in "WF"


def _paragraphs(text: str) -> Iterator[str]:
    lines: list[str] = []
    for line in (*text.splitlines(), ""):
        if line.strip():
            lines.append(line)
        elif lines:
            yield " ".join(" ".join(lines).split())
            lines = []


def _ends(paragraph: str) -> Iterator[int]:
    """Where the sentences of a paragraph end, its own end last."""
    begun, says_something = 0, False
    for start, cut in SentenceBreaker(paragraph, "root").segments():
        end = _before_opening(paragraph, cut)
        says_something = says_something or any(c.isalnum() for c in paragraph[start:end])
        if says_something and end < len(paragraph) and _ends_sentence(paragraph, begun, end):
            yield from _thai_ends(paragraph, begun, end)
            yield end
            begun, says_something = end, False
    yield from _thai_ends(paragraph, begun, len(paragraph))
    yield len(paragraph)


def _before_opening(paragraph: str, end: int) -> int:
    """The end without a quotation mark or bracket that opens right there, as none has a space before it in Chinese."""
    while end and end < len(paragraph) and unicodedata.category(paragraph[end - 1]) in _OPENING:
        end -= 1
    return end


def _ends_sentence(paragraph: str, begun: int, end: int) -> bool:
    """Whether what stands before `end` is a whole sentence and what comes after it can begin one."""
    following = next((c for c in paragraph[end : end + 8] if c.isalnum()), "")
    if following.islower():
        return False
    last = paragraph[max(begun, end - _LONGEST_ABBREVIATION - 2) : end].rstrip()
    abbreviated = _LAST_WORD.search(last)
    if abbreviated is None or not abbreviated.group(1):
        return True
    word = abbreviated.group(1)
    if word.isdecimal() and len(word) <= 2:  # a German ordinal: "am 3. Mai"
        return not paragraph.startswith(_GERMAN_MONTHS, end)
    initial = len(word.rpartition(".")[2]) == 1 and not word.islower() and word[-1].isalpha()
    return not initial and word not in _ABBREVIATIONS


def _thai_ends(paragraph: str, start: int, end: int) -> Iterator[int]:
    for space in _THAI_SPACE.finditer(paragraph, start, end):
        if space.start() - start >= _SHORTEST_THAI and end - space.end() >= _SHORTEST_THAI:
            yield space.end()
            start = space.end()
