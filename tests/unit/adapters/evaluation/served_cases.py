"""Artifacts of every kind, and what a model with each says, computed the long way."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from adapters.artifact.artifact import FORMAT, OFFSET_HALF, REFERENCE_HALF, SOFT_PROMPT, TARGET, Artifact, Manifest
from adapters.artifact.spec import DD_LINEAR, DD_RANK, DELTA, ULD, OffsetSpec, PairSpec
from adapters.models.frozen import PromptedModel
from adapters.models.lora import attach, state
from adapters.models.pair import first_layers
from tests.unit.adapters.conftest import HIDDEN, randomise

LAYERS = 3
PROMPTS = ("Who wrote Zorba?", "2+2", "Name the capital of Peru.", "Who wrote Emma?")
Ids = tuple[int, ...]


@dataclass(frozen=True)
class Case:
    """An artifact with its pair, and logits [vocabulary] after a sequence of ids, computed the long way."""

    artifact: Artifact | None
    source: PairSpec | None
    logits: Callable[[Ids], torch.Tensor]


def manifest(spec: OffsetSpec | None, rows: int = 0) -> Manifest:
    return Manifest(FORMAT, "test", HIDDEN, rows, "float32", "0" * 64, {}, 0, "tests", spec)


def bare(target: PromptedModel) -> Case:
    return Case(None, None, lambda ids: target.model(torch.tensor([ids])).logits[0, -1])


def soft(target: PromptedModel) -> Case:
    rows = torch.randn(3, HIDDEN, generator=torch.Generator().manual_seed(5))

    def logits(ids: Ids) -> torch.Tensor:
        embedded = torch.cat((rows, target.embed(torch.tensor(ids))))
        return target.model(inputs_embeds=embedded[None]).logits[0, -1]  # type: ignore[no-any-return]

    return Case(Artifact(manifest(None, rows=3), {SOFT_PROMPT: rows}), None, logits)


def on_target(target: PromptedModel) -> Case:
    changed = copy.deepcopy(target.model)
    attached = attach(changed, 4)
    randomise(attached, seed=3)
    artifact = Artifact(replace(manifest(None), target_rank=4), state(attached, TARGET))
    return Case(artifact, None, lambda ids: changed(torch.tensor([ids])).logits[0, -1])


def offset(target: PromptedModel, kind: str, *, layers: int, parameter: float = 0.0, small: Path | None = None) -> Case:
    """A pair of the target's first layers or, with 0 of them, the model at `small`."""
    own = kind in (DD_LINEAR, DD_RANK)
    pair = PairSpec(layers, "" if layers else "small", own_reference=own)
    spec = OffsetSpec(kind, 1.5, 4, pair, parameter)

    def stack() -> Any:
        if layers:
            return first_layers(target.model, layers)
        assert small is not None
        return PromptedModel.load(small).model

    trained, reference = stack(), stack()
    attached = attach(trained, 4)
    randomise(attached, seed=1)
    tensors = state(attached, OFFSET_HALF)
    if own:
        attached = attach(reference, 4)
        randomise(attached, seed=2)
        tensors |= state(attached, REFERENCE_HALF)

    def logits(ids: Ids) -> torch.Tensor:
        ours, changed, unchanged = (
            model(torch.tensor([ids])).logits[0, -1] for model in (target.model, trained, reference)
        )
        if kind in (DELTA, DD_LINEAR):
            return ours + 1.5 * (changed - unchanged)  # type: ignore[no-any-return]
        if kind == ULD:
            logprobs = ours.log_softmax(-1)
            ordered = logprobs.sort(descending=True).values
            least = min(ordered[0] + math.log(parameter), ordered[math.floor(parameter * len(ours)) - 1])
            return torch.where(logprobs >= least, ours - 1.5 * changed, ours)
        difference = (changed - unchanged).tolist()
        for index in sorted(range(len(difference)), key=lambda index: difference[index])[: int(parameter)]:
            ours[index] = -math.inf
        return ours  # type: ignore[no-any-return]

    return Case(Artifact(manifest(spec), tensors), replace(pair, model="" if small is None else str(small)), logits)


def recomputed(case: Case, prompt: Ids, tokens: int) -> Ids:
    answer: Ids = ()
    with torch.no_grad():
        while len(answer) < tokens:
            answer = (*answer, int(case.logits((*prompt, *answer)).argmax()))
    return answer
