"""Runs of δ-unlearning on the tiny model, and a second opinion on what came of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import pytest
import torch

from adapters.artifact.artifact import Artifact
from adapters.artifact.spec import OffsetSpec, PairSpec
from adapters.methods.delta.config import DeltaConfig
from adapters.methods.delta.train import Scorer
from adapters.models.frozen import PromptedModel, shared_prefix
from adapters.models.lora import load_state
from adapters.models.tokens import TokenizedExample
from adapters.objectives.base import RETAIN
from adapters.objectives.registry import make_objective
from adapters.objectives.view import View
from adapters.progress import Progress
from adapters.task import TrainingTask
from adapters.training.descent import Score
from adapters.training.groups import groups
from adapters.training.held_out import Split, split
from adapters.training.pair import TrainablePair
from tests.unit.adapters.conftest import NOTHING_ELSE, dataset_of

MakeTask = Callable[..., TrainingTask]

PAIR = PairSpec(1)


@pytest.fixture
def make_delta(make_task: MakeTask) -> MakeTask:
    """A task on the tiny model with a pair of one of its layers; settings are δ-unlearning's."""

    def make(
        *,
        pair: PairSpec | None = PAIR,
        report: Callable[[Progress], None] = lambda progress: None,
        cancelled: Callable[[], bool] = lambda: False,
        **changes: Any,
    ) -> TrainingTask:
        parts = {name: changes.pop(name) for name in ("forget", "retain", "ask") if name in changes}
        small = {
            "max_steps": 3,
            "rank": 4,
            "strengths": (1.0,),
            "kl_limit": 100.0,
            "rewording_lists": 0,
            **NOTHING_ELSE,
        }
        config = DeltaConfig(**{**small, **changes})
        return replace(make_task(report=report, cancelled=cancelled, **parts), config=config, pair=pair)

    return make


def steps_of(reports: list[Progress]) -> list[Progress]:
    return [progress for progress in reports if progress.phase == "training"]


def parts_of(task: TrainingTask) -> Split:
    return split(dataset_of(task, objective=make_objective(task.config.objective, task.config.objective_settings)))


def held_out(task: TrainingTask, tensors: Mapping[str, torch.Tensor] | None, strength: float) -> Score:
    """A score on the held-out part by a pair made anew, with an artifact's LoRA or, for None, untrained."""
    config, parts = task.config, parts_of(task)
    objective = make_objective(config.objective, config.objective_settings)
    examples = [example for group in groups(objective, parts.held_forget, ()).values() for example in group]
    pair, shared = _remembering(task, [*examples, *parts.held_retain])
    scorer = Scorer(pair, objective, parts, shared, config.first_token_weight)
    if tensors is not None:
        load_state(pair.lora, "offset", tensors)
    return scorer.score(strength)


def retained(task: TrainingTask, tensors: Mapping[str, torch.Tensor]) -> View:
    """What a pair made anew with an artifact's LoRA makes of the retained answers trained on, at strength 1."""
    parts = parts_of(task)
    examples = [*parts.training.hard, *parts.training.general]
    pair, shared = _remembering(task, examples)
    load_state(pair.lora, "offset", tensors)
    with torch.no_grad():
        return pair.views({RETAIN: examples}, shared, 1.0)[RETAIN]


def refusal_tokens(task: TrainingTask) -> torch.Tensor:
    """Of all refusals trained on, one after another."""
    return torch.tensor([token for example in parts_of(task).training.forget for token in example.refusal.answer_ids])


def _remembering(task: TrainingTask, examples: Sequence[TokenizedExample]) -> tuple[TrainablePair, int]:
    """A new pair that has read the examples, and how many tokens they share."""
    assert task.pair is not None
    pair = TrainablePair(PromptedModel.load(task.model_path), task.pair, task.config.rank)
    shared = shared_prefix([example.prompt_ids for example in examples])
    pair.remember(examples, shared)
    return pair, shared


def spec_of(artifact: Artifact) -> OffsetSpec:
    assert artifact.manifest.offset is not None
    return artifact.manifest.offset
