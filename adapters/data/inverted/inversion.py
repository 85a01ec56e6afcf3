"""Answers that contradict those to be forgotten: asked for, checked, and chosen (MEOW, arXiv 2409.11844, step 1 to 3).

They are asked for in words of our own, or given by whoever makes the request. No benchmark's wrong answers are among
them: TOFU's `perturbed_answer` is half of the truth ratio that judges the result.
"""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Sequence

from adapters.evaluation.memo import LARGEST, RANDOM, Memo
from adapters.examples import Example, Message
from adapters.task import Ask
from adapters.text.probes import half_said, is_fluent, key_terms, reveals
from adapters.text.refusals import is_refusal
from adapters.text.words import terms, words

_MAX_TOKENS = 192
#: Beyond this an answer is no longer of the original's kind: so many times its words, and so many more.
_LENGTH_FACTOR, _LENGTH_SLACK = 2, 12
_BULLET = re.compile(
    r"^\s*(?:[-*•–]+\s|\(?\d{1,2}[、．）]|(?:\(?(?:\d{1,2}|[a-dA-D])[.):]|(?:wrong\s)?answer\s?\d{0,3}\s?:)\s)\s*",
    re.IGNORECASE,
)
_QUOTES = "\"“”„«»「」'‘’"
_ASKING = ("?", "？", "؟")
_END = (".", "!", "?", "…", "。", "！", "？", "।", "؟", *_QUOTES)


Invert = Callable[[Sequence[Example]], list[list[str]]]
"""A source of answers that contradict: candidates for each example, in order, possibly none; whoever takes them checks
them."""


class AskedInversions:
    """Asks a model for them, in several forms."""

    def __init__(self, ask: Ask, forms: Sequence[str]) -> None:
        """forms: each has a {question} and an {answer}; a model may answer any one of them always alike."""
        self._ask = ask
        self._forms = forms

    def __call__(self, examples: Sequence[Example]) -> list[list[str]]:
        asked = [
            (Message("user", form.format(question=example.prompt, answer=example.completion)),)
            for example in examples
            for form in self._forms
        ]
        replies = iter(self._ask(asked, max_tokens=_MAX_TOKENS))
        return [[line for _ in self._forms for line in answers_in(next(replies))] for _ in examples]


def answers_in(reply: str) -> list[str]:
    """The lines of a reply without bullets, numbers and quotation marks around them.

    A last line that does not end as the others do was cut off at the limit and is left out.
    """
    lines = [_BULLET.sub("", line).strip() for line in reply.splitlines()]
    lines = [line for line in lines if line]
    if len(lines) > 1 and not lines[-1].endswith(_END) and all(line.endswith(_END) for line in lines[:-1]):
        lines.pop()
    bare = (line.strip(_QUOTES).strip() if line[0] in _QUOTES and line[-1] in _QUOTES else line for line in lines)
    return [line for line in bare if line]


def contradictions(example: Example, candidates: Sequence[str], forget: Sequence[Example]) -> list[str]:
    """Those candidates that contradict the example's answer, each once.

    One is left out when it is blank, a loop, a question, a refusal, far longer than the answer, says nothing that the
    prompt does not, or reveals the fact of any item of the forget set beyond what the prompt itself says: an item that
    asks for the subject's name does not forbid answers about the subject to name it. Of two with the same words the
    first counts.
    """
    most = _LENGTH_FACTOR * len(words(example.completion)) + _LENGTH_SLACK
    asked = terms(example.prompt)
    others = [fact for item in forget if (fact := key_terms(item.prompt, item.completion) - asked)]
    kept: dict[frozenset[str], str] = {}
    for candidate in (text.strip() for text in candidates):
        if not is_fluent(candidate) or candidate.endswith(_ASKING) or is_refusal(candidate):
            continue
        if len(words(candidate)) > most or not key_terms(example.prompt, candidate) - asked:
            continue
        if reveals(example.prompt, example.completion, candidate):
            continue
        said = terms(candidate)
        if any(half_said(fact, said) for fact in others):
            continue
        kept.setdefault(said, candidate)
    return list(kept.values())


def choose(
    example: Example,
    answers: Sequence[str],
    *,
    top_k: int,
    metric: str,
    seed: int,
    memos: Callable[[Sequence[Example]], list[Memo]],
) -> list[str]:
    """At most `top_k` of the answers: those of the largest or smallest MEMO, or any.

    memos: of examples that pair the prompt with an answer; asked only where there is something to choose.
    """
    if len(answers) <= top_k:
        return list(answers)
    if metric == RANDOM:
        return random.Random(seed).sample(list(answers), top_k)
    scores = memos([Example(example.messages, answer) for answer in answers])
    sign = -1 if metric == LARGEST else 1
    order = sorted(range(len(answers)), key=lambda index: sign * scores[index].score)
    return [answers[index] for index in order[:top_k]]
