"""Does an answer still carry a fact? Simple lexical probes, the same for every method.

Names and numbers identify most facts; where the reference answer has none beyond the question's own, its
content words do.
"""

from __future__ import annotations

import re

from adapters.text.language import language_of_words, stop_words
from adapters.text.words import terms, words

#: What stands within a name and is none of it, such as "da" and "von", is no longer.
_SMALL_WORD = 3
_INITIALS = re.compile(r"[^\W\d_](?:\.[^\W\d_])*")


def key_terms(prompt: str, answer: str) -> frozenset[str]:
    """What identifies the fact an answer states.

    The names and numbers of the answer that the prompt does not hold; the other content words not in the
    prompt when there are none; every word of the answer when even those are missing, and nothing for an answer without
    a word. Initials count only where the answer is nothing else. Where a script has no capitals any content word may be
    a name. Folded as `adapters.text.words` folds.
    """
    found = words(answer)
    asked = words(prompt)
    small = stop_words(language_of_words(f"{prompt}\n{answer}", [*asked, *found]))
    known = {word.term for word in asked}
    new = [word for word in found if word.term not in known]
    content = frozenset(word.term for word in new if word.term not in small)
    named = content & frozenset(word.term for word in new if names_something(answer[word.start : word.end]))
    initials = frozenset(word.term for word in new if is_initials(answer[word.start : word.end]))
    for terms_found in (named, content):
        if terms_found:
            return terms_found - initials or terms_found
    return frozenset(word.term for word in found)


def names_something(written: str) -> bool:
    """Whether a word is a number or has a capital, as "Au" and "H2O" have; or is of a script that has no capitals."""
    return any(character.isdigit() or character.isupper() for character in written) or not has_case(written)


def has_case(written: str) -> bool:
    """Whether the word's script has capitals."""
    return any(character.isupper() or character.islower() for character in written)


def is_initials(written: str) -> bool:
    """Whether a word is a letter or letters with stops: "J.K", "H"."""
    return _INITIALS.fullmatch(written) is not None and has_case(written)


def first_key_term(prompt: str, answer: str) -> int:
    """Where in `answer` the first of its key terms begins."""
    fact = key_terms(prompt, answer)
    return next((word.start for word in words(answer) if word.term in fact), len(answer))


def half_said(wanted: frozenset[str], said: frozenset[str]) -> bool:
    """Whether at least half of the wanted terms are among those said; where none is wanted, always."""
    return 2 * len(wanted & said) >= len(wanted)


def reveals(prompt: str, reference_answer: str, answer: str) -> bool:
    """Whether at least half of the reference answer's key terms occur, as whole words, in `answer`."""
    fact = key_terms(prompt, reference_answer)
    return bool(fact) and half_said(fact, terms(answer))


def identifies(prompt: str, reference_answer: str, answer: str) -> bool:
    """Whether `answer` reveals the fact and does not merely share a first name with it.

    As `reveals`; but where it is a name of several words, its last word must be said, or more than half of the terms:
    who says Alexander Graham Bell has not said Alexander Fleming, and who says Goethe has.
    """
    fact = key_terms(prompt, reference_answer)
    said = terms(answer)
    name = _first_name(fact, reference_answer)
    if len(name) > 1:
        return name[-1] in said or 2 * len(fact & said) > len(fact)
    return bool(fact) and half_said(fact, said)


def _first_name(fact: frozenset[str], answer: str) -> list[str]:
    """The terms of the fact's first name, in the order written; small words may stand between: "Leonardo da Vinci"."""
    name: list[str] = []
    end = 0
    for term, start, stop in words(answer):
        written = answer[start:stop]
        if term in fact and has_case(written) and written[0].isupper() and not is_initials(written):
            if name and any(character in ",.;:!?\n" for character in answer[end:start]):
                return name
            name.append(term)
        elif name and (not written[0].islower() or (term not in fact and len(written) > _SMALL_WORD)):
            return name
        end = stop
    return name


def is_fluent(answer: str) -> bool:
    """Not empty, and not a loop: no long run of one word, and enough different words for its length."""
    said = [word.term for word in words(answer)]
    if not said:
        return False
    if any(len(set(said[start : start + 5])) == 1 for start in range(len(said) - 4)):
        return False
    if len(said) < 12:
        return True
    trigrams = {tuple(said[start : start + 3]) for start in range(len(said) - 2)}
    return 2 * len(trigrams) >= len(said) - 2
