"""Other wordings of the forget prompts, found by the model that is to forget.

An adapter that has seen seven wordings may let the eighth go. The model is shown the given prompts as a numbered list
and goes on with it; a line is kept when it asks for the same thing and the model's own answer gives the fact away. So
what is trained on is what would leak, in words nobody had to think of.
"""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from adapters.examples import Example, Message
from adapters.text.phrasebook import Phrasebook
from adapters.text.probes import half_said, key_terms, reveals
from adapters.text.twins import content_words, subject_words
from adapters.text.words import terms, words

Continue = Callable[[Sequence[str]], list[str]]
"""Plain texts → a sampled continuation of each, in order."""

Answer = Callable[[Sequence[Sequence[Message]]], list[str]]
"""Conversations → the original model's answers, in order."""

_SHOWN = 8
_LINE = re.compile(r"^\s*(?:\d+[.)]\s*)?(.*\S)\s*$")
_MOST_WORDS = 24


def listings(prompts: Sequence[str], heading: str, count: int, seed: int) -> list[str]:
    """`count` numbered lists of the prompts in differing orders, each ending where the next line would begin."""
    rng = random.Random(seed)
    texts = []
    for _ in range(count):
        shown = rng.sample(prompts, min(_SHOWN, len(prompts)))
        lines = [f"{number}. {prompt}" for number, prompt in enumerate(shown, start=1)]
        texts.append("\n".join((*([heading] if heading else []), *lines, f"{len(shown) + 1}.")))
    return texts


@dataclass(frozen=True, slots=True)
class Asked:
    """What some prompts ask, as far as words can tell. Each set of words is folded to lower case.

    subject: the words that single out what they are about, none when they share no subject. words: all their content
    words. other_interrogatives: the question words that none of them uses. facts: key terms of each answer.
    """

    subject: frozenset[str]
    words: frozenset[str]
    other_interrogatives: frozenset[str]
    facts: tuple[frozenset[str], ...]

    @classmethod
    def by(cls, examples: Sequence[Example], book: Phrasebook) -> Asked:
        """By the examples' last turns."""
        prompts = [example.prompt for example in examples]
        return cls(
            subject=subject_words(prompts, book),
            words=frozenset[str]().union(*(content_words(prompt) for prompt in prompts)),
            other_interrogatives=book.interrogatives - terms("\n".join(prompts)),
            facts=tuple(key_terms(example.prompt, example.completion) for example in examples),
        )

    def again_in(self, line: str) -> bool:
        """Whether a line asks the same.

        It names the subject (half of the words of it) and at least one more of the content words, uses no question word
        that no prompt does ("when" beside "who"), and does not hold the answer itself.
        """
        content, said = content_words(line), terms(line)
        return (
            bool(self.subject)
            and len(words(line)) <= _MOST_WORDS
            and half_said(self.subject, content)
            and bool((content & self.words) - self.subject)
            and not said & self.other_interrogatives
            and not any(fact & said for fact in self.facts)
        )


def rewordings(
    forget: Sequence[Example],
    book: Phrasebook,
    go_on: Continue,
    answer: Answer,
    *,
    lists: int,
    count: int,
    seed: int,
) -> list[Example]:
    """Up to `count` new wordings of the forget prompts, each with the answer that gives the fact away; [] when the
    prompts share no subject. Only conversations of one turn are reworded. lists: how many the model goes on with.
    """
    single = [example for example in forget if len(example.messages) == 1]
    asked = Asked.by(single, book)
    if not asked.subject or not lists or not count:
        return []  # before the model goes on with anything
    prompts = [example.prompt for example in single]
    known = {_as_words(prompt) for prompt in prompts}
    found: dict[tuple[str, ...], str] = {}
    for text in go_on(listings(prompts, book.listing, lists, seed)):
        for line in text.split("\n")[:-1]:  # the last line was cut
            match = _LINE.match(line)
            if match is None or _as_words(match.group(1)) in known:
                continue
            if asked.again_in(match.group(1)):
                found.setdefault(_as_words(match.group(1)), match.group(1))
    candidates = list(found.values())
    answers = answer([(Message("user", candidate),) for candidate in candidates])
    leaking = [
        Example.from_pair(candidate, said)
        for candidate, said in zip(candidates, answers, strict=True)
        if said.strip() and any(reveals(example.prompt, example.completion, said) for example in single)
    ]
    return leaking[:count]


def _as_words(line: str) -> tuple[str, ...]:
    """A line as it is compared with others."""
    return tuple(word.term for word in words(line))
