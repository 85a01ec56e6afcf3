"""Training of an offset (Huang et al., Offset Unlearning for Large Language Models, TMLR 2025).

The loss is taken on the combined logits and trains nothing but the offset's LoRA.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

import torch

from adapters.artifact.artifact import OFFSET_HALF, Artifact
from adapters.artifact.spec import DELTA, OffsetSpec
from adapters.data.dataset import Dataset, build_dataset
from adapters.errors import InvalidConfig, InvalidExample
from adapters.methods.delta.config import DeltaConfig
from adapters.models.frozen import shared_by_most
from adapters.models.lora import changes, load_state, parameters
from adapters.models.workbench import Workbench
from adapters.objectives.base import RETAIN, Objective, ObjectiveLoss, drawn_penalty
from adapters.objectives.registry import make_objective
from adapters.progress import Progress
from adapters.task import TrainingTask
from adapters.training.artifact import Trained, trained_artifact
from adapters.training.descent import KeepBest, descend
from adapters.training.groups import groups
from adapters.training.held_out import Score, Split, split
from adapters.training.pair import TrainablePair
from adapters.training.sampler import BatchSampler

#: What counts as next to the lowest loss: this part of it above, and this much more, in nats.
_NEXT_TO, _NEXT_TO_NATS = 0.1, 0.005


def train(task: TrainingTask) -> Artifact:
    """Learns the offset of one request.

    Raises `InvalidExample`, `InvalidConfig` (also when the engine has no pair), `TrainingDiverged` or
    `TrainingCancelled`.
    """
    config: DeltaConfig = task.config
    if task.pair is None:
        raise InvalidConfig("the engine has no pair; δ-unlearning needs one")
    task.report(Progress("loading", 0, 1))
    bench = Workbench.of(task)
    target = bench.target
    pair = TrainablePair(target, task.pair, config.rank)
    objective = make_objective(config.objective, config.objective_settings)
    dataset = build_dataset(task, config, bench, target, objective.examples, refusal_kinds=config.refusal_kinds)
    with target.hardware.seeded(config.seed):
        trained = _optimise(task, config, objective, pair, dataset, bench)
    # It has no half on the reference, so a pair with either kind of reference serves it.
    spec = OffsetSpec(DELTA, trained.strength, config.rank, replace(task.pair, own_reference=False))
    return trained_artifact("delta", task, target, trained.tensors, offset=spec)


def _optimise(
    task: TrainingTask,
    config: DeltaConfig,
    objective: Objective,
    pair: TrainablePair,
    dataset: Dataset,
    bench: Workbench,
) -> Trained:
    if not (dataset.hard or dataset.general):
        raise InvalidExample("the retain set is empty; δ-unlearning needs one")
    parts = split(dataset)
    everything = [e for group in groups(objective, dataset.forget, ()).values() for e in group]
    everything += [*dataset.hard, *dataset.general]
    shared = shared_by_most([example.prompt_ids for example in everything])
    task.check_cancelled()
    task.report(Progress("caching", 0, 1))
    pair.remember(everything, shared)
    bench.done_reading(pair.offset)
    if task.start is not None:
        load_state(pair.lora, OFFSET_HALF, task.start.tensors)
    held = Scorer(pair, objective, parts, shared, config.first_token_weight)
    sampler = BatchSampler.of(parts.training, config)
    generator = pair.offset.hardware.generator(config.seed)
    best = KeepBest(
        pair.lora,
        OFFSET_HALF,
        lambda: held.score(config.strength),
        every=config.evaluate_every,
        steps=config.max_steps,
        patience=config.patience,
        kl_limit=config.kl_limit,
    )

    def draw() -> Callable[[], ObjectiveLoss]:
        forget, retain = sampler.draw()
        examples = groups(objective, forget, retain)
        if config.neutrality:
            examples[RETAIN] = retain
        # On the offset's weights, which are what moves the target's logits.
        penalty = drawn_penalty(objective, changes(pair.lora), generator)

        def loss() -> ObjectiveLoss:
            views = pair.views(examples, shared, config.strength, config.first_token_weight)
            losses = objective.loss(views)
            if config.neutrality:
                taught = torch.cat([view.targets for name, view in views.items() if name != RETAIN])
                losses = replace(losses, retain=losses.retain + config.neutrality * views[RETAIN].shift(taught))
            return penalty(losses)

        return loss

    descend(task, config, [parameters(pair.lora)], draw, best.after, model=pair.offset)
    tensors = best.restore()
    task.report(Progress("choosing", 0, len(config.strengths)))
    with pair.settled():
        scores = {strength: held.score(strength) for strength in config.strengths}
    return Trained(tensors, best_strength(scores, config.kl_limit) or config.strength)


def best_strength(scores: Mapping[float, Score], kl_limit: float) -> float | None:
    """The largest strength whose held-out loss is next to the lowest of those within the KL limit; None where none is.

    Held-out prompts are worded much like the trained ones, and wordings further off need more strength than they do: so
    among strengths that hardly differ the largest.
    """
    within = {strength: score.loss for strength, score in scores.items() if score.kl <= kl_limit}
    if not within:
        return None
    lowest = min(within.values())
    enough = lowest + _NEXT_TO * abs(lowest) + _NEXT_TO_NATS
    return max(strength for strength, loss in within.items() if loss <= enough)


class Scorer:
    """Scores the pair as it is on the held-out part."""

    def __init__(
        self, pair: TrainablePair, objective: Objective, parts: Split, shared: int, first_token_weight: float
    ) -> None:
        self._pair = pair
        self._objective = objective
        self._groups = groups(objective, parts.held_forget, ())
        self._groups[RETAIN] = list(parts.held_retain)
        self._shared = shared
        self._weight = first_token_weight

    def score(self, strength: float) -> Score:
        """One pass over the held-out part, without gradients."""
        with torch.no_grad():
            views = self._pair.views(self._groups, self._shared, strength, self._weight)
            return Score(self._objective.loss(views).total.item(), views[RETAIN].kl().item())
