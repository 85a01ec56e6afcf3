"""A model that reads some tokens of a prompt through noise."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from typing import Any

import torch

from adapters.errors import InvalidConfig
from adapters.evaluation.attacks.probe import Prompt
from adapters.evaluation.responder import Responder
from adapters.evaluation.rivals.rival import Weights
from adapters.evaluation.served import ServedModel
from adapters.models.frozen import PromptedModel
from adapters.text.words import words

Chosen = Callable[[str], frozenset[str]]
"""All that a prompt shows → the words, folded, that are to be corrupted wherever somebody says them in it."""


class CorruptedResponder(Responder):
    """Answers and scores of the model where the embeddings of some words of each prompt carry Gaussian noise.

    A corrupted token has an id of its own, beyond the vocabulary, so that only these places are corrupted and never
    what the model says.
    """

    def __init__(self, weights: Weights, chosen: Chosen, strength: float) -> None:
        """strength: the noise's standard deviation, in those of the embeddings. Raises `InvalidConfig` for a tokenizer
        that cannot say which characters a token stands for."""
        if not weights.tokenizer.is_fast:
            raise InvalidConfig("this model's tokenizer cannot say where in a text its tokens are")
        model = copy.copy(weights.model)
        model.embed = NoisyEmbedding(weights.model, strength)
        super().__init__(ServedModel(model), weights.tokenizer)
        self._to_corrupt, self._vocabulary = chosen, len(weights.model.embed.weight)

    def encode(self, prompt: Prompt) -> tuple[int, ...]:
        chosen = self._to_corrupt(prompt.shown)
        if not prompt.messages:
            text = prompt.text + prompt.prefix
            return self._marked(text, _spans(text, chosen), add_special_tokens=True)
        rendered: str = self._tokenizer.apply_chat_template(
            [message.to_dict() for message in prompt.messages], add_generation_prompt=True, tokenize=False
        )
        spans: list[tuple[int, int]] = []
        end = 0
        for content in (message.content.strip() for message in prompt.messages):
            start = rendered.find(content, end)  # what a template leaves out is nowhere
            if start >= 0:
                end = start + len(content)
                spans += [(start + first, start + last) for first, last in _spans(content, chosen)]
        begins = self._marked(rendered, spans, add_special_tokens=False)
        return begins + self._marked(prompt.prefix, _spans(prompt.prefix, chosen), add_special_tokens=False)

    def _marked(self, text: str, spans: Sequence[tuple[int, int]], *, add_special_tokens: bool) -> tuple[int, ...]:
        encoded = self._tokenizer(text, add_special_tokens=add_special_tokens, return_offsets_mapping=True)
        return tuple(
            token + self._vocabulary if any(first < end and last > start for start, end in spans) else token
            for token, (first, last) in zip(encoded["input_ids"], encoded["offset_mapping"], strict=True)
        )


def _spans(text: str, chosen: frozenset[str]) -> list[tuple[int, int]]:
    return [(word.start, word.end) for word in words(text) if word.term in chosen]


class NoisyEmbedding:
    """The model's embedding for ids of its vocabulary; for an id beyond it the token's own with noise, the same each
    time that the token comes."""

    def __init__(self, model: PromptedModel, strength: float) -> None:
        self.weight: torch.Tensor = model.embed.weight
        self._embed: Any = model.embed
        self._scale = strength * float(self.weight.float().std())

    def __call__(self, ids: torch.Tensor) -> torch.Tensor:
        rows = len(self.weight)
        embedded: torch.Tensor = self._embed(ids % rows)
        for token in set(ids[ids >= rows].tolist()):
            noise = self._scale * self._noise(token, embedded.shape[-1])
            embedded[ids == token] += noise.to(embedded)
        return embedded

    @staticmethod
    def _noise(token: int, width: int) -> torch.Tensor:
        return torch.randn(width, generator=torch.Generator().manual_seed(token))
