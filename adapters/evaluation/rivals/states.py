"""How near a prompt is to what is forgotten, by the model's own states, and the questions to set a bound by."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

import torch

from adapters.evaluation.attacks.probe import Prompt
from adapters.evaluation.rivals.rival import Forgotten, Weights
from adapters.examples import one_turn
from adapters.models.frozen import shared_prefix
from adapters.models.similarity import first_quarter, mean_states, similarity
from adapters.models.tokens import encode_prompt
from adapters.text.twins import by_subject, rank_subjects, twins
from adapters.text.words import terms

#: Twins, in all, and the subjects of the forgotten one's kind that they are about.
_TWINS, _KIN = 64, 16


class PromptStates:
    """Mean hidden states of texts, each read as a user's turn, after the model's first quarter of layers."""

    def __init__(self, weights: Weights) -> None:
        self._model = first_quarter(weights.model)
        self._tokenizer = weights.tokenizer
        self._context = weights.model.context
        self._begins = shared_prefix([self._encode("a"), self._encode("Z")])

    def of(self, texts: Sequence[str]) -> torch.Tensor:
        """[texts, hidden], float32, on the CPU. Of a text longer than the model's context the end is read."""
        room = self._context - self._begins
        whole = [self._encode(text) for text in texts]
        cut = [(*ids[: self._begins], *ids[self._begins :][-room:]) for ids in whole]
        return mean_states(self._model, cut, self._begins).float().cpu()

    def highest(self, prompts: Sequence[Prompt], rate: Callable[[torch.Tensor], torch.Tensor]) -> list[float]:
        """Of each prompt the higher rate of two readings: its last turn, and all that whoever asks has said.

        rate: states [texts, hidden] → [texts].
        """
        if not prompts:
            return []
        readings = [(each.messages[-1].content if each.messages else each.text, each.shown) for each in prompts]
        texts = list(dict.fromkeys(text for reading in readings for text in reading))
        rates = dict(zip(texts, rate(self.of(texts)).tolist(), strict=True))
        return [max(rates[text] for text in reading) for reading in readings]

    def similarity(self, questions: Sequence[str], prompts: Sequence[str]) -> list[float]:
        """As `adapters.text.twins.Similarity`."""
        return similarity(self._model, *([self._encode(text) for text in part] for part in (questions, prompts)))

    def _encode(self, text: str) -> tuple[int, ...]:
        return encode_prompt(self._tokenizer, one_turn(text))


def wordings(forgotten: Forgotten) -> list[str]:
    """The items' prompts, as they are and in each of the package's frames."""
    frames = ("{question}", *forgotten.book.frames)
    return [frame.replace("{question}", prompt) for frame in frames for prompt in forgotten.prompts]


def general_questions(forgotten: Forgotten) -> list[str]:
    """Bundled questions that name none of the subjects and are no item's own."""
    asked = {prompt.casefold().strip() for prompt in forgotten.prompts}
    return [
        question
        for question in forgotten.book.retain_questions
        if question.casefold() not in asked and not terms(question) & forgotten.subject_terms
    ]


def twin_questions(forgotten: Forgotten, states: PromptStates) -> list[str]:
    """The items' questions about others of the kind; none where their prompts name nothing."""
    groups = by_subject(forgotten.prompts, forgotten.book)
    rank = partial(rank_subjects, book=forgotten.book, similarity=states.similarity)
    found = [twins(group, forgotten.book, rank(group)[:_KIN], _TWINS // len(groups)) for group in groups]
    return [twin for group in found for twin in group]
