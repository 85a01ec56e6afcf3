"""A keyword filter on what goes in and on what comes out, which allows for slips."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from rapidfuzz.distance import OSA

from adapters.evaluation.attacks.probe import Prompt
from adapters.evaluation.rivals.rival import Forgotten, Guard, Respondent, Rival
from adapters.text.language import language_of, stop_words
from adapters.text.probes import half_said
from adapters.text.words import words

#: So many letters of a keyword allow for one slip: a letter too many or too few, another one, two exchanged.
_LETTERS_A_SLIP = 5
#: A name of two words or so many, each with a capital, is a person's or like one: its last word stands for it.
_PERSONS_WORDS = 3


class Filter(Rival):
    """Replaces an answer by a refusal where the prompt or the answer names a subject, or states a fact.

    After the input and output filters of Thaker et al., arXiv 2403.03329. Changed: no model decides, words do. A name
    is found with a slip in it (optimal string alignment, one slip for every five letters, none in the first one),
    written as one word, or by a person's last name. A fact is stated by half of its key terms, as attacks read answers.
    Likelihoods are blocked by the prompt alone: an option that was blocked by itself would be told by that.
    """

    name = "filter"

    def around(self, model: Respondent, forgotten: Forgotten) -> Guard:
        return _Filtered(model, forgotten)


class _Filtered(Guard):
    def __init__(self, model: Respondent, forgotten: Forgotten) -> None:
        super().__init__(model, forgotten)
        self._keywords = Keywords(forgotten.subjects, forgotten.facts)

    def admit(self, prompts: Sequence[Prompt]) -> list[Prompt | None]:
        return [None if self._keywords.are_in(prompt.shown) else prompt for prompt in prompts]

    def releases(self, answered: Sequence[tuple[Prompt, str]]) -> list[bool]:
        """With its beginning: a name may begin there and end in the answer."""
        return [not self._keywords.are_in(f"{prompt.text}{prompt.prefix}{text}") for prompt, text in answered]


class Keywords:
    """Names, and facts by their key terms, to be found in texts."""

    def __init__(self, names: Sequence[str], facts: Sequence[frozenset[str]] = ()) -> None:
        self._names = frozenset(written for name in names for written in _written(name))
        self._longest = max((len(words(name)) for name in names), default=0) + 1
        self._facts = facts

    def are_in(self, text: str) -> bool:
        """Whether a text holds a name, or states a fact."""
        said = [word.term for word in words(text)]
        return self._named(said) or any(half_said(fact, _found(fact, frozenset(said))) for fact in self._facts)

    def _named(self, said: Sequence[str]) -> bool:
        runs = {
            "".join(said[start:end])
            for start in range(len(said))
            for end in range(start + 1, min(start + self._longest, len(said)) + 1)
        }
        return any(is_slip(name, run) for name in self._names for run in runs)


def is_slip(keyword: str, written: str) -> bool:
    """Whether a word, folded, is the keyword, or the keyword with as many slips as its length allows."""
    slips = len(keyword) // _LETTERS_A_SLIP
    return keyword[:1] == written[:1] and OSA.distance(keyword, written, score_cutoff=slips) <= slips


def _found(fact: Iterable[str], said: frozenset[str]) -> frozenset[str]:
    """The fact's terms that are said, with slips or without."""
    return frozenset(term for term in fact if term in said or any(is_slip(term, word) for word in said))


def _written(subject: str) -> list[str]:
    """A subject as it may be written, folded, without spaces: whole without small words in front, and its last word
    where that stands for it."""
    found = words(subject)
    small = stop_words(language_of(subject))
    is_persons = 1 < len(found) <= _PERSONS_WORDS and all(subject[word.start].isupper() for word in found)
    last = words(subject.split()[-1]) if is_persons else []
    while len(found) > 1 and found[0].term in small:
        del found[0]
    return [name for name in ("".join(word.term for word in part) for part in (found, last)) if name]
