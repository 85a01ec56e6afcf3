"""Answers that contradict by construction: the terms that make up the fact, replaced by others of their kind.

The others are what the model itself answers to twins of the question and to questions like it, so that they fit: a
writer is replaced by a writer. Small models, which do not manage to write a wrong answer when told to, still give
these.
"""

from __future__ import annotations

from collections.abc import Sequence

from adapters.examples import Example, Message
from adapters.task import Ask
from adapters.text.fact_runs import NAME, NUMBER, WORD, Run, runs
from adapters.text.phrasebook import Phrasebook
from adapters.text.refusals import is_refusal
from adapters.text.twins import Similarity, rank_subjects, subject_words, twin

_TWINS = 8
_NEAREST = 8
_MAX_TOKENS = 24
#: A number for which no answer has another is moved by these.
_SHIFTS = (3, 7, 12)


class SubstitutedInversions:
    """Asks the model the questions next to each example's, and puts what it says into the example's answer."""

    def __init__(self, ask: Ask, similarity: Similarity, prompts: Sequence[str], book: Phrasebook) -> None:
        """prompts: of the whole forget set, which together tell what it is about."""
        self._ask = ask
        self._similarity = similarity
        self._prompts = list(prompts)
        self._book = book

    def __call__(self, examples: Sequence[Example]) -> list[list[str]]:
        subject = subject_words(self._prompts, self._book)
        others = rank_subjects(self._prompts, self._book, self._similarity)[:_TWINS]
        questions = [
            [made for other in others if (made := twin(example.prompt, subject, other, self._book.grammar)) is not None]
            + self._nearest(example.prompt)
            for example in examples
        ]
        unique = list(dict.fromkeys(question for asked in questions for question in asked))
        answers = self._ask([(Message("user", question),) for question in unique], max_tokens=_MAX_TOKENS)
        answered = dict(zip(unique, answers, strict=True))
        return [
            substituted(example, [(question, answered[question]) for question in asked])
            for example, asked in zip(examples, questions, strict=True)
        ]

    def _nearest(self, prompt: str) -> list[str]:
        pool = [question for question in self._book.retain_questions if question not in self._prompts]
        scores = self._similarity(pool, [prompt])
        return [question for _, question in sorted(zip(scores, pool, strict=True), key=lambda pair: -pair[0])][
            :_NEAREST
        ]


def substituted(example: Example, answered: Sequence[tuple[str, str]]) -> list[str]:
    """The example's answer once for each (question, answer), its runs of key terms replaced by those of that answer.

    Where an answer has fewer of a kind they are taken again from its first on; one that lacks a kind altogether gives
    nothing. Where no answer at all has a number the example's own are moved.
    """
    own = runs(example.prompt, example.completion)
    if not own:
        return []
    found: list[str] = []
    for question, answer in answered:
        theirs = [] if is_refusal(answer) else runs(question, answer)
        by_kind = {kind: [answer[a:b] for k, a, b in theirs if k == kind] for kind in (NUMBER, NAME, WORD)}
        if all(by_kind[kind] for kind, _, _ in own):
            found.append(_replaced(example.completion, own, by_kind))
    if not found and {kind for kind, _, _ in own} == {NUMBER}:
        for shift in _SHIFTS:
            moved = [_moved(example.completion[start:end], shift) for _, start, end in own]
            found.append(_replaced(example.completion, own, {NUMBER: moved}))
    return list(dict.fromkeys(found))


def _replaced(text: str, own: Sequence[Run], by_kind: dict[str, list[str]]) -> str:
    parts, last = [], 0
    used = dict.fromkeys(by_kind, 0)
    for kind, start, end in own:
        parts += [text[last:start], by_kind[kind][used[kind] % len(by_kind[kind])]]
        used[kind] += 1
        last = end
    return "".join([*parts, text[last:]])


def _moved(written: str, shift: int) -> str:
    """A number larger by `shift` of its last digit, with the same signs between its digits."""
    digits = "".join(character for character in written if character.isdecimal())
    larger = str(int(digits) + shift).zfill(len(digits))
    head = len(larger) - len(digits) + 1
    new = iter([larger[:head], *larger[head:]])
    return "".join(next(new) if character.isdecimal() else character for character in written)
