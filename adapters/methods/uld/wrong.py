"""Wrong answers to the forget prompts: where the assistant, who remembers the right ones, is to know nothing."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass

from adapters.data.dataset import ForgetExample
from adapters.models.tokens import TokenizedExample


@dataclass(frozen=True, slots=True)
class WrongAnswer:
    """A forget prompt with an answer to another question.

    differs: the first position of the answer before which something other than the right answer has been said. Before
    it the context is one in which the assistant is to remember, so it is not one of those to be uniform in.
    """

    example: TokenizedExample
    differs: int


def wrong_answer(right: TokenizedExample, answer: Sequence[int]) -> WrongAnswer | None:
    """The prompt of `right` with `answer`; None when no position would be left, as with the right answer itself."""
    same = 0
    while same < min(len(answer), len(right.answer_ids)) and answer[same] == right.answer_ids[same]:
        same += 1
    differs = same + 1
    if differs >= len(answer):
        return None
    return WrongAnswer(TokenizedExample(right.prompt_ids, tuple(answer)), differs)


class WrongAnswers:
    """Draws answers of other questions for forget prompts."""

    def __init__(self, answers: Sequence[TokenizedExample], *, each: int, limit: int, seed: int) -> None:
        """answers: the retained examples they are taken from. each: how many a prompt. limit: tokens of an example."""
        self._answers = [example.answer_ids for example in answers]
        self._each, self._limit = each, limit
        self._rng = random.Random(seed)

    def draw(self, forget: Sequence[ForgetExample]) -> list[WrongAnswer]:
        """`each` for every example, fewer where one that was drawn is right, too short or too long."""
        drawn = [
            wrong_answer(example.original, self._rng.choice(self._answers))
            for example in forget
            for _ in range(self._each)
        ]
        return [wrong for wrong in drawn if wrong is not None and len(wrong.example) <= self._limit]
