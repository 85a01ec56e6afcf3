"""A text with look-alike characters made plain and invisible ones gone.

Which letters look alike is the data of UTS #39, through `confusable-homoglyphs` (MIT, 1 MB, no dependency, read once in
some milliseconds): its table goes in both directions. Judged beside it: ICU has the data, but `icu4py` no binding for
it; `confusables` is of Unicode 8 and three times the size; `homoglyphs` has the same table without scripts.
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Iterator, Mapping
from functools import cache

from confusable_homoglyphs.confusables import confusables_data

# Tag characters repeat ASCII, and no one sees them.
_TAGS = {0xE0000 + code: chr(code) for code in range(0x20, 0x7F)}
#: Signs that belong to the letter before them, of all scripts in use, as characters of a class in a pattern.
MARKS = "".join(chr(code) for code in range(0x300, 0x1E00) if unicodedata.category(chr(code)).startswith("M"))
# Only between letters and spaces, where they part words: what makes an emoji stays. Joiners are part of how Persian
# and the languages of India are written.
_INVISIBLE = re.compile(
    rf"(?<=[\w\s{MARKS}])(?!(?<=[\u0600-\u0dff])[\u200c\u200d][\u0600-\u0dff])"
    r"[\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u202a-\u202e\u2060-\u206f\u2800\u3164"
    r"\ufe00-\ufe0f\ufeff\uffa0\U000e0000-\U000e0fff]++(?=[\w\s])"
)
# Punctuation keeps its form, so that a Chinese text is not another one for its commas; so do Thai and Lao sara am,
# which ICU's dictionaries know composed.
_COMPATIBLE = re.compile(r"[^\x00-\x7f\u0e00-\u0eff\u2000-\u206f\u3000-\u303f\uff01-\uff0f\uff1a-\uff20]+")
# Marks that composition left over: what is written has none, or it is a stress that may be left out.
_STACKED_MARKS = re.compile(r"[\u0300-\u036f\u1ab0-\u1aff\u1dc0-\u1dff\u20d0-\u20ff]+")
_DRESSED_LETTER = re.compile(
    r"(?:LATIN LETTER SMALL CAPITAL|(?:NEGATIVE CIRCLED|NEGATIVE SQUARED) LATIN CAPITAL LETTER) ([A-Z])"
)
_DRESSED = (*range(0x0250, 0x0300), *range(0x1D00, 0x1D80), *range(0xA720, 0xA800), *range(0x1F150, 0x1F18A))
# A run of one alphabet or of several; scripts without spaces between words are not part of it.
_RUN = re.compile(r"[^\W\d_\u0e00-\u0eff\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af]+")
#: The alphabets that are mistaken for one another, each with its letters that a look-alike may stand for.
_ALPHABETS = {"LATIN": ("A", "z"), "CYRILLIC": ("\u0401", "\u045f"), "GREEK": ("\u0386", "\u03ce")}
#: Letters of Latin up to here are those of languages; most beyond are of phonetics.
_LAST_OF_LANGUAGES = "\u024f"
#: A shorter word of look-alikes only, as "а" or "со" in Russian, is taken for what it is.
_SHORTEST_WHOLE = 3
#: One Arabic ligature is eighteen letters; a text of such stays as it is.
_MOST_EXPANSION = 4


def plain(text: str) -> tuple[str, ...]:
    """The text in plain letters: one string, or two where its words could be of Latin or of another alphabet.

    Compatibility forms are folded (NFKC), invisible characters and stacked marks go, and a word written in several
    alphabets becomes one of the alphabet in which most of its letters have a place: of two, that of the text. So does
    a word that is written in letters of another alphabet only, where all of them look like letters of the text's.
    """
    if text.isascii():
        return (text,)
    visible = _INVISIBLE.sub("", text.translate(_TAGS)).translate(_dressed_letters())
    composed = _COMPATIBLE.sub(lambda run: _composed(run.group()), visible)
    letters = _STACKED_MARKS.sub("", composed)
    alphabet = _alphabet_of(letters)
    readings = [_in_one_alphabet(letters, alphabet, whole_words=True)]
    if alphabet != "LATIN":
        readings.append(_in_one_alphabet(letters, "LATIN", whole_words=False))
    return tuple(dict.fromkeys(readings))


def _composed(run: str) -> str:
    folded = unicodedata.normalize("NFKC", run)
    return folded if len(folded) <= _MOST_EXPANSION * len(run) else run


def _in_one_alphabet(text: str, of_text: str, *, whole_words: bool) -> str:
    seen: dict[str, str] = {}

    def word(run: re.Match[str]) -> str:
        written = run.group()
        if written not in seen:
            seen[written] = _word(written, of_text, whole_words)
        return seen[written]

    return _RUN.sub(word, text)


def _word(written: str, of_text: str, whole_words: bool) -> str:
    """A word in one alphabet; as it is written where no other has a place for its letters."""
    scripts = Counter(map(_script, written))
    if scripts.keys() == {of_text}:
        return _replaced(written, _strange_letters()) if of_text == "LATIN" else written
    if len(scripts) == 1:
        table = _lookalikes(of_text)
        whole = whole_words and len(written) >= _SHORTEST_WHOLE and all(letter in table for letter in written)
        return _replaced(written, table) if whole else written

    def places(alphabet: str) -> tuple[int, bool, int]:
        in_it = sum(letter in _lookalikes_and_capitals(alphabet) for letter in written)
        return in_it + scripts[alphabet], alphabet == of_text, scripts[alphabet]

    return _replaced(written, _lookalikes_and_capitals(max(_ALPHABETS, key=places)))


def _replaced(written: str, table: Mapping[str, str]) -> str:
    return "".join(table.get(letter, letter) for letter in written)


def _alphabet_of(text: str) -> str:
    """The alphabet of most letters that can be of no other; Latin where there are none."""
    counts = Counter({"LATIN": 0})
    for letter, count in Counter(text).items():
        script = _script(letter)
        others = (alphabet for alphabet in _ALPHABETS if alphabet != script)
        if script in _ALPHABETS and not any(letter in _lookalikes(other) for other in others):
            counts[script] += count
    return counts.most_common(1)[0][0]


@cache
def _lookalikes(alphabet: str) -> Mapping[str, str]:
    """The letters that look like one of an alphabet, each with that one: of two, the one that is as large or small."""
    first, last = _ALPHABETS[alphabet]
    table = {}
    for letter in filter(_is_letter, confusables_data):
        if _script(letter) == alphabet and (alphabet != "LATIN" or letter <= _LAST_OF_LANGUAGES):
            continue
        alike = [
            other
            for other in _neighbours(letter)
            if _script(other) == alphabet and first <= other <= last and unicodedata.normalize("NFKC", other) == other
        ]
        if alike:
            table[letter] = min(alike, key=lambda other: (other.isupper() != letter.isupper(), other))
    return table


@cache
def _lookalikes_and_capitals(alphabet: str) -> Mapping[str, str]:
    """The same, and those letters that look alike only as capitals do: small "к" and "т" for "k" and "t"."""
    table = _lookalikes(alphabet)
    capitals = {
        capital.lower(): other.lower() for capital, other in table.items() if capital.isupper() and other.isupper()
    }
    return {**capitals, **table}


@cache
def _strange_letters() -> Mapping[str, str]:
    """Letters of Latin that are of no language but look like one of ASCII."""
    return {letter: other for letter, other in _lookalikes("LATIN").items() if _script(letter) == "LATIN"}


@cache
def _dressed_letters() -> Mapping[int, str]:
    """Letters that compatibility forms do not make plain: small capitals, those on black, Greek's lunate sigma."""
    dressed = {ord(letter): plain for letter, plain in _lookalikes("LATIN").items() if _is_folded_elsewhere(letter)}
    for code in _DRESSED:
        match = _DRESSED_LETTER.fullmatch(unicodedata.name(chr(code), ""))
        if match is not None:
            dressed[code] = match.group(1).lower() if match.group().startswith("LATIN") else match.group(1)
    return dressed


def _is_folded_elsewhere(letter: str) -> bool:
    """Whether the compatibility form of a letter that looks like Latin is something else."""
    folded = unicodedata.normalize("NFKC", letter)
    return folded not in (letter, _lookalikes("LATIN")[letter])


def _neighbours(letter: str) -> Iterator[str]:
    """What looks like a letter, or like something that looks like it. The table joins all to one of them."""
    for near in _listed(letter):
        yield near
        yield from _listed(near)


def _listed(letter: str) -> Iterator[str]:
    return (entry["c"] for entry in confusables_data.get(letter, ()) if _is_letter(entry["c"]))


def _is_letter(written: str) -> bool:
    return len(written) == 1 and written.isalpha()


@cache
def _script(letter: str) -> str:
    """The script of a letter, as the first word of its name has it."""
    return unicodedata.name(letter, "").partition(" ")[0]
