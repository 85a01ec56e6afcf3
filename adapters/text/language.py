"""Which language a text is in, as far as its script and its small words tell, and which of its words are small ones.

Deterministic and offline. A library would tell apart languages for which there is no data anyway; the stop lists have
to be here in any case, and in a question or two they are what a language shows itself by.
"""

from __future__ import annotations

import unicodedata
from collections import Counter
from collections.abc import Iterable, Sequence
from functools import cache
from importlib import resources

from adapters.text.words import Word, fold, words

ENGLISH = "en"
#: The languages of each script that is not one language's alone, the first where nothing tells them apart.
_LATIN = (ENGLISH, "de", "fr", "es", "it", "pt", "nl", "sv", "pl", "tr")
_BY_SCRIPT = {
    "CJK": "zh",
    "HIRAGANA": "ja",
    "KATAKANA": "ja",
    "HANGUL": "ko",
    "CYRILLIC": "ru",
    "DEVANAGARI": "hi",
    "ARABIC": "ar",
    "THAI": "th",
}
#: All that have a stop list.
LANGUAGES = (*_LATIN, *dict.fromkeys(_BY_SCRIPT.values()))
UNKNOWN = "und"
#: Enough to tell, however long the text is.
_SAMPLE = 20_000
#: So much of what is Chinese or Japanese makes it Japanese.
_KANA = 0.1
#: A character that is a word, or half of one, counts as so many letters.
_IDEOGRAPH = 2


@cache
def stop_words(language: str) -> frozenset[str]:
    """Words of a language that say nothing about which fact is stated, folded; none for one that is not known."""
    file = resources.files("adapters.text").joinpath("languages", language, "stopwords.txt")
    if not file.is_file():
        return frozenset()
    return frozenset(fold(word) for word in file.read_text(encoding="utf-8").split())


def language_of(text: str) -> str:
    """The ISO 639-1 code of the text's language; "und" where its script is one of which nothing is known.

    English where the script is Latin and no small word tells, and for a text without letters.
    """
    sample = text[:_SAMPLE]
    return language_of_words(sample, words(sample))


def language_of_words(text: str, found: Sequence[Word]) -> str:
    """The same for a text whose words are known already."""
    scripts = Counter(_scripts(text[:_SAMPLE]))
    latin = scripts.pop("LATIN", 0)
    small = {language: sum(word.term in stop_words(language) for word in found) for language in _LATIN}
    likeliest = max(_LATIN, key=lambda language: small[language])
    if not scripts or (small[likeliest] and latin >= _weight(scripts)):
        return likeliest
    script, _ = scripts.most_common(1)[0]
    kana = scripts["HIRAGANA"] + scripts["KATAKANA"]
    if script == "CJK" and kana > _KANA * (kana + scripts["CJK"]):
        return "ja"
    return _BY_SCRIPT.get(script, UNKNOWN)


def _scripts(text: Iterable[str]) -> Iterable[str]:
    """The script of each letter, as the first word of its name has it."""
    return (unicodedata.name(character, "").partition(" ")[0] for character in text if character.isalpha())


def _weight(scripts: Counter[str]) -> int:
    return sum(count * (_IDEOGRAPH if script == "CJK" else 1) for script, count in scripts.items())
