"""A router: what lies near the forgotten by the model's own states is refused."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from adapters.evaluation.attacks.probe import Prompt
from adapters.evaluation.rivals.rival import Forgotten, Guard, Respondent, Rival, Weights, weights_of
from adapters.evaluation.rivals.states import PromptStates, general_questions, twin_questions

#: The part of the twins that may lie beyond the bound.
_TWINS_BEYOND = 0.05
#: A prompt's states are rounded by the batch that it is in: the bound lies so far beyond what it is taken from.
_ROUNDING = 0.01


class Router(Rival):
    """Refuses a prompt whose embedding is nearer to an item's prompt than a bound, and passes on any other.

    After CURaTE, Bae et al., arXiv 2604.14644 (`bsu1313/CURaTE`), which trains a sentence encoder for the purpose and
    keeps an embedding of every forget request. Changed: the embedding is the model's own mean hidden state after its
    first quarter of layers, less the mean of general questions, so that nothing is trained and no other model runs. The
    bound is set so that no general question and at most one twin in twenty lies beyond it.
    """

    name = "router"
    needs_weights = True

    def around(self, model: Respondent, forgotten: Forgotten) -> Guard:
        return _Routed(model, forgotten, weights_of(model, self))


class _Routed(Guard):
    def __init__(self, model: Respondent, forgotten: Forgotten, weights: Weights) -> None:
        super().__init__(model, forgotten)
        self._states = PromptStates(weights)
        general = self._states.of(general_questions(forgotten))
        self._centre = general.mean(0)
        self._prompts = self._unit(self._states.of(forgotten.prompts))
        self._bound = float(self._nearness(general).max())
        if asked := twin_questions(forgotten, self._states):
            near = self._nearness(self._states.of(asked))
            self._bound = max(self._bound, float(near.quantile(1 - _TWINS_BEYOND, interpolation="higher")))
        self._bound += _ROUNDING

    def admit(self, prompts: Sequence[Prompt]) -> list[Prompt | None]:
        near = self._states.highest(prompts, self._nearness)
        return [None if each > self._bound else prompt for prompt, each in zip(prompts, near, strict=True)]

    def _nearness(self, states: torch.Tensor) -> torch.Tensor:
        """Cosine to the nearest item's prompt, [texts]. states [texts, hidden]."""
        return (self._unit(states) @ self._prompts.T).amax(-1)

    def _unit(self, states: torch.Tensor) -> torch.Tensor:
        return torch.nn.functional.normalize(states - self._centre, dim=-1)
