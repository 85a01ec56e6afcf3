"""Runs of δ-unlearning on the tiny model, and a second opinion on what came of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import pytest
import torch

from adapters.artifact import Artifact
from adapters.chat import load_tokenizer
from adapters.dataset import build_dataset
from adapters.descent import Score
from adapters.held_out import Split, split
from adapters.lora import load_state
from adapters.methods.delta.config import DeltaConfig
from adapters.methods.delta.train import Scorer
from adapters.objectives.registry import make_objective
from adapters.offset import OffsetSpec, PairSpec
from adapters.pair import TrainablePair
from adapters.pair_source import PairSource
from adapters.progress import Progress
from adapters.prompted import PromptedModel, shared_prefix
from adapters.task import TrainingTask

MakeTask = Callable[..., TrainingTask]

PAIR = PairSource(PairSpec(1))


@pytest.fixture
def make_delta(make_task: MakeTask) -> MakeTask:
    """A task on the tiny model with a pair of one of its layers; settings are δ-unlearning's."""

    def make(
        *,
        pair: PairSource | None = PAIR,
        report: Callable[[Progress], None] = lambda progress: None,
        cancelled: Callable[[], bool] = lambda: False,
        **changes: Any,
    ) -> TrainingTask:
        parts = {name: changes.pop(name) for name in ("forget", "retain", "ask") if name in changes}
        config = DeltaConfig(
            **{"max_steps": 3, "rank": 4, "strengths": (1.0,), "kl_limit": 100.0, "rewording_lists": 0, **changes}
        )
        return replace(make_task(report=report, cancelled=cancelled, **parts), config=config, pair=pair)

    return make


def steps_of(reports: list[Progress]) -> list[Progress]:
    return [progress for progress in reports if progress.phase == "training"]


def parts_of(task: TrainingTask) -> Split:
    tokenizer = load_tokenizer(str(task.model_path))
    return split(build_dataset(task, task.config, PromptedModel.load(task.model_path), tokenizer))


def held_out(task: TrainingTask, tensors: Mapping[str, torch.Tensor] | None, strength: float) -> Score:
    """A score on the held-out part by a pair made anew, with an artifact's LoRA or, for None, untrained."""
    assert task.pair is not None
    config, parts = task.config, parts_of(task)
    objective = make_objective(config.objective, config.objective_settings)
    pair = TrainablePair(PromptedModel.load(task.model_path), task.pair, config.rank)
    examples = [*parts.held_retain, *(e for each in parts.held_forget for e in (each.original, each.refusal))]
    shared = shared_prefix([example.prompt_ids for example in examples])
    pair.remember(examples, shared)
    scorer = Scorer(pair, objective, parts, shared, config.first_token_weight)
    if tensors is not None:
        load_state(pair.lora, "offset", tensors)
    return scorer.score(strength)


def spec_of(artifact: Artifact) -> OffsetSpec:
    assert artifact.manifest.offset is not None
    return artifact.manifest.offset
