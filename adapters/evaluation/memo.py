"""MEMO: how much of an answer a model knows by heart (MEOW, Gu et al., arXiv 2409.11844, section 3).

The answer is cut at many places. From each beginning the model goes on greedily, and what it writes is compared, by
ROUGE-1, with what truly follows. An answer known by heart comes back whole from any of its beginnings.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any, Protocol

from adapters.errors import InvalidConfig
from adapters.evaluation.rouge import rouge_1, tokens
from adapters.examples import Example, PartialAnswer

TOKEN, CHARACTER = "token", "character"
#: Of the released code in characters; ours in tokens, which is about as fine.
_STEPS = {TOKEN: 1, CHARACTER: 5}
#: Of the released code.
MAX_TOKENS = 200
#: How answers are chosen by their MEMO.
LARGEST, SMALLEST, RANDOM = METRICS = ("largest", "smallest", "random")


class Continue(Protocol):
    """A model's greedy continuations, one for each beginning of an answer, in order."""

    def __call__(self, partial: Sequence[PartialAnswer], *, max_tokens: int) -> list[str]: ...


@dataclass(frozen=True, slots=True)
class Slide:
    """Where answers are cut: after 1, 1 + step, 1 + 2 step, … units, short of the whole.

    unit: "token" (of the tokenizer at hand; white space at a cut goes to what follows, where a tokenizer has it, and a
    cut that leaves no word behind is left out, for nothing could be scored) or "character" (as released). step: in
    units; None: 1 token, or 5 characters as released. An answer without any such place is asked for whole, from the
    prompt alone.

    Raises `InvalidConfig` for another unit or a step below 1.
    """

    unit: str = TOKEN
    step: int | None = None

    def __post_init__(self) -> None:
        if self.unit not in _STEPS:
            raise InvalidConfig(f"unit must be one of {', '.join(_STEPS)}, not {self.unit!r}")
        if self.step is not None and (isinstance(self.step, bool) or not self.step >= 1):
            raise InvalidConfig(f"step must be at least 1, not {self.step}")

    def cuts(self, tokenizer: Any, answer: str) -> list[int]:
        """Positions in the answer, in characters; at least one. tokenizer: a fast one, which knows where tokens are."""
        step = self.step or _STEPS[self.unit]
        if self.unit == CHARACTER:
            return list(range(1, len(answer), step)) or [0]
        spans = tokenizer(answer, add_special_tokens=False, return_offsets_mapping=True)["offset_mapping"]
        places = [len(answer[:start].rstrip()) for start, _ in spans[1::step]]
        # Several tokens may make up one character.
        return [place for place in dict.fromkeys(places) if place and tokens(answer[place:])] or [0]


@dataclass(frozen=True, slots=True)
class Memo:
    """Means over an answer's cuts of ROUGE-1 of the continuation against the rest, each in [0, 1].

    precision: of the continuation's words, those of the rest; the released code has this one. A model that goes on
    after the answer's end loses by it. recall: of the rest's words, those of the continuation.
    """

    precision: float
    recall: float

    @property
    def score(self) -> float:
        """Mean of precision and recall."""
        return (self.precision + self.recall) / 2


def memo(
    examples: Sequence[Example],
    continue_answers: Continue,
    tokenizer: Any,
    *,
    slide: Slide | None = None,
    max_tokens: int = MAX_TOKENS,
) -> list[Memo]:
    """Each example's MEMO, in order.

    All beginnings of all answers are given to `continue_answers` at once, which knows what fits into a batch and asks
    through the chat template. tokenizer: for cuts by token. max_tokens: of a continuation; 200 as released.
    """
    slide = slide or Slide()
    answers = [example.completion.rstrip() for example in examples]
    cuts = [slide.cuts(tokenizer, answer) for answer in answers]
    partial = [
        PartialAnswer(example.messages, answer[:cut])
        for example, answer, places in zip(examples, answers, cuts, strict=True)
        for cut in places
    ]
    written = iter(continue_answers(partial, max_tokens=max_tokens))
    memos = []
    for answer, places in zip(answers, cuts, strict=True):
        scores = [rouge_1(answer[cut:], next(written)) for cut in places]
        memos.append(Memo(fmean(score.precision for score in scores), fmean(score.recall for score in scores)))
    return memos
