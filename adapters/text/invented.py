"""Names of nobody and nothing: made of the letters that names in the language are made of, and put where a name stands.

What a model says of a name that exists nowhere is what it says without knowing.
"""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Collection, Sequence

from adapters.text.probes import has_case
from adapters.text.words import fold, words

_START, _END = "^", "$"
_ORDER = 2
_TRIES = 200


class Inventor:
    """Makes names by a chain of letters (a Markov chain of order 2) over names that exist."""

    def __init__(self, models: Sequence[str], seed: int) -> None:
        """models: names that exist, none of which it gives, nor any word of."""
        self._random = random.Random(seed)
        self._next: dict[str, list[str]] = defaultdict(list)
        self._taken = {word.term for name in models for word in words(name)}
        # Sorted: a set's order is another in every run.
        for word in sorted(term for term in self._taken if term.isalpha()):
            text = _START * _ORDER + word + _END
            for place in range(_ORDER, len(text)):
                self._next[text[place - _ORDER : place]].append(text[place])

    def like(self, name: str) -> str:
        """A name with as many words as `name`, of about their lengths, with capitals and digits where it has them."""
        made, last = [], 0
        for _, start, end in words(name):
            made += [name[last:start], self._word(name[start:end])]
            last = end
        return "".join([*made, name[last:]])

    def _word(self, written: str) -> str:
        if any(character.isdigit() for character in written):
            return "".join(str(self._random.randrange(1, 10)) if c.isdigit() else c for c in written)
        if not has_case(written):
            return self._drawn(written)
        word = self._chained(len(written))
        if written.isupper() and len(written) > 1:
            return word.upper()
        return word.title() if written[0].isupper() else word

    def _drawn(self, written: str) -> str:
        """As many characters, of those that names have: where a script has no capitals a chain gives real words."""
        letters = sorted({c for term in self._taken for c in term if not has_case(c)} - set(written))
        return "".join(self._random.choice(letters) for _ in written) if letters else written

    def _chained(self, length: int) -> str:
        best = "vashtel"
        for _ in range(_TRIES):
            state, made = _START * _ORDER, ""
            while len(made) < 2 * length + 4 and (letter := self._random.choice(self._next[state])) != _END:
                made += letter
                state = (state + letter)[-_ORDER:]
            if made not in self._taken and abs(len(made) - max(length, 4)) <= 2:
                return made
        return best


def invented_names(subject: str, models: Sequence[str], count: int, seed: int) -> list[str]:
    """Up to `count` different names of nobody, written as the subject is.

    models: names that exist, in the subject's script.
    """
    inventor = Inventor([subject, *models], seed)
    return list(dict.fromkeys(inventor.like(subject) for _ in range(2 * count)))[:count]


def mentions(text: str, subject: Collection[str]) -> list[tuple[int, int]]:
    """Where the text names the subject: from the first to the last of neighbouring subject words, each a span.

    subject: folded words, as `adapters.text.twins.subject_words` finds them.
    """
    spans: list[tuple[int, int]] = []
    for term, start, end in words(text):
        if term not in subject and fold(text[start:end]) not in subject:
            continue
        if spans and not text[spans[-1][1] : start].strip():
            spans[-1] = (spans[-1][0], end)
        else:
            spans.append((start, end))
    return spans


def with_name(text: str, spans: Sequence[tuple[int, int]], name: str) -> str:
    """The text with the name in each of the spans."""
    parts, last = [], 0
    for start, end in spans:
        parts += [text[last:start], name]
        last = end
    return "".join([*parts, text[last:]])
