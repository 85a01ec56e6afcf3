"""Which questions a model takes to be near one another: by its own hidden states."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from adapters.artifact.spec import default_layers
from adapters.errors import InvalidConfig
from adapters.models.frozen import PromptedModel, shared_prefix
from adapters.models.pair import first_layers
from adapters.models.tokens import TokenizedExample


def first_quarter(model: PromptedModel) -> PromptedModel:
    """The model's first layers, which tell topics apart as well as all do, at a quarter of the cost; all where the
    first cannot be had alone."""
    depth = model.model.config.get_text_config().num_hidden_layers
    try:
        short = first_layers(model.model, default_layers(depth))
    except InvalidConfig:
        return model
    return PromptedModel(short, model.stored_dtype, model.hardware, model.batches)


def similarity(
    model: PromptedModel, questions: Sequence[tuple[int, ...]], prompts: Sequence[tuple[int, ...]]
) -> list[float]:
    """Cosine of each question's mean final hidden state to the nearest prompt's, after removing the mean of
    all: without that step the states of a causal model all point one way. 1 is the nearest."""
    if not questions:
        return []
    sequences = [*questions, *prompts]
    shared = shared_prefix(sequences)
    means = mean_states(model, sequences, shared)
    centred = means - means.mean(0)
    unit = torch.nn.functional.normalize(centred, dim=-1)
    near = unit[: len(questions)] @ unit[len(questions) :].T
    return [float(score) for score in near.amax(-1)]


def mean_states(model: PromptedModel, sequences: Sequence[tuple[int, ...]], shared: int) -> torch.Tensor:
    """Mean final state, [sequences, hidden], of what follows the first `shared` tokens, which all have alike."""
    with torch.no_grad():
        return torch.stack(model.batches.fit(lambda: _means(model, sequences, shared), model.hardware.device))


def _means(model: PromptedModel, sequences: Sequence[tuple[int, ...]], shared: int) -> list[torch.Tensor]:
    """Mean final state of what follows the common prefix of each, [hidden]."""
    means: dict[int, torch.Tensor] = {}
    for part in model.batches.cut([len(ids) - shared for ids in sequences], reading=True):
        chosen = [sequences[position] for position in part]
        # The token after each prompt is never run; it only marks where the prompt ends.
        batch = model.collate([TokenizedExample(ids, (0,)) for ids in chosen], shared)
        states = model.run(batch, None).float()
        for row, (position, ids) in enumerate(zip(part, chosen, strict=True)):
            means[position] = states[row, : len(ids) - shared].mean(0)
    return [means[position] for position in range(len(sequences))]
