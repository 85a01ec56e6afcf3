"""Does an answer still carry a fact? Simple lexical probes, the same for every method.

Names and numbers identify most facts; where the reference answer has none beyond the question's own, its
content words do.
"""

from __future__ import annotations

import re

# Words that say nothing about which fact an answer states.
_STOP_WORDS = frozenset(
    """
    a about after all also am an and any are as at be been before being but by called can could did do
    does during each for from given had has have he her his how i if in into is it its known made may me
    more most my name named no not of on one only or other our people person she so some such tell than
    that the their them then there these they this to two up us use used was we were what when where
    which while who whom whose why will with would written wrote you your
    """.split()  # noqa: SIM905
)
_WORD = re.compile(r"[^\W_]+(?:['’][^\W\d_]+)*(?:\.[^\W_](?![^\W_]))*", re.UNICODE)
_INITIALS = re.compile(r"[^\W\d_](?:\.[^\W\d_])+")
_SENTENCE_START = re.compile(r"(?:^|[.!?:]\s+|\n\s*)[\"'“(]*$")


def _fold(word: str) -> str:
    """Case, possessive and apostrophes folded away: "Rowling's" and "rowling" are one term."""
    folded = word.casefold().replace("’", "'").removesuffix("'s")
    return folded.replace("'", "").replace(".", "")


def _terms(text: str) -> list[tuple[str, str, bool]]:
    """(term, word as written, whether it opens a sentence) for each word of the text."""
    return [
        (_fold(match.group()), match.group(), bool(_SENTENCE_START.search(text[: match.start()])))
        for match in _WORD.finditer(text)
    ]


def _is_name(word: str, opens_sentence: bool) -> bool:
    """A capitalised word, a symbol such as "Au" or "H2O"; at a sentence's start only when it is no plain word."""
    if any(letter.isupper() for letter in word[1:]):
        return True
    return word[0].isupper() and (not opens_sentence or _fold(word) not in _STOP_WORDS)


def key_terms(prompt: str, answer: str) -> frozenset[str]:
    """What identifies the fact an answer states.

    The names and numbers of the answer that the prompt does not hold; the other content words not in the
    prompt when there are none; every word of the answer when even those are missing. Initials
    count only where the answer is nothing else. Folded to lower case.
    """
    asked = {term for term, _, _ in _terms(prompt)}
    new = [item for item in _terms(answer) if item[0] and item[0] not in asked]
    named = frozenset(
        term
        for term, word, opens in new
        if term not in _STOP_WORDS and (any(c.isdigit() for c in word) or _is_name(word, opens))
    )
    content = frozenset(term for term, _, _ in new if term not in _STOP_WORDS)
    initials = {term for term, word, _ in new if _INITIALS.fullmatch(word) or len(term) == 1}
    initials -= {term for term in initials if term.isdigit()}
    for found in (named, content):
        if found:
            return found - initials or found
    return terms(answer)


def first_key_term(prompt: str, answer: str) -> int:
    """Where in `answer` the first of its key terms begins."""
    fact = key_terms(prompt, answer)
    starts = (match.start() for match in _WORD.finditer(answer) if _fold(match.group()) in fact)
    return next(starts, len(answer))


def terms(text: str) -> frozenset[str]:
    """All words of a text, folded as `key_terms` folds them."""
    return frozenset(term for term, _, _ in _terms(text) if term)


def words(text: str) -> list[tuple[str, int, int]]:
    """(folded word, start, end) of each word of a text, in order; a possessive's end is not part of the place."""
    places = []
    for match in _WORD.finditer(text):
        written = re.sub(r"['’]s$", "", match.group())
        if _fold(written):
            places.append((_fold(written), match.start(), match.start() + len(written)))
    return places


def half_said(wanted: frozenset[str], said: frozenset[str]) -> bool:
    """Whether at least half of the wanted terms are among those said; where none is wanted, always."""
    return 2 * len(wanted & said) >= len(wanted)


def reveals(prompt: str, reference_answer: str, answer: str) -> bool:
    """Whether at least half of the reference answer's key terms occur, as whole words, in `answer`."""
    fact = key_terms(prompt, reference_answer)
    return bool(fact) and half_said(fact, terms(answer))


def is_fluent(answer: str) -> bool:
    """Not empty, and not a loop: no long run of one word, and enough different words for its length."""
    words = [term for term, _, _ in _terms(answer) if term]
    if not words:
        return False
    if any(len(set(words[start : start + 5])) == 1 for start in range(len(words) - 4)):
        return False
    if len(words) < 12:
        return True
    trigrams = {tuple(words[start : start + 3]) for start in range(len(words) - 2)}
    return 2 * len(trigrams) >= len(words) - 2
