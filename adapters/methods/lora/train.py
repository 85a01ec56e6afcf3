"""Training of a LoRA on the target (Hu et al., LoRA, 2021), with any objective that is a loss on its own logits.

What the published objectives were published for: they change the model that is served. Here the change stays apart from
its weights, so that it can be taken back.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch

from adapters.artifact.artifact import TARGET, Artifact
from adapters.data.dataset import Dataset, build_dataset
from adapters.errors import InvalidExample
from adapters.methods.lora.config import LoraConfig
from adapters.models.frozen import PromptedModel, crossed_by_gradients, shared_by_most
from adapters.models.lora import changes, load_state, parameters
from adapters.models.workbench import Workbench
from adapters.objectives.base import RETAIN, Objective, ObjectiveLoss, drawn_penalty
from adapters.objectives.registry import make_objective
from adapters.progress import Progress
from adapters.task import TrainingTask
from adapters.training.artifact import trained_artifact
from adapters.training.descent import KeepBest, descend
from adapters.training.groups import groups
from adapters.training.held_out import Score, split
from adapters.training.sampler import BatchSampler
from adapters.training.target import TrainableTarget


def train(task: TrainingTask) -> Artifact:
    """Learns the LoRA of one request.

    Raises `InvalidExample`, `InvalidConfig`, `TrainingDiverged` or `TrainingCancelled`.
    """
    config: LoraConfig = task.config
    task.report(Progress("loading", 0, 1))
    bench = Workbench.of(task)
    target = bench.whole_target
    objective = make_objective(config.objective, config.objective_settings)
    dataset = build_dataset(task, config, bench, target, objective.examples, refusal_kinds=config.refusal_kinds)
    with target.hardware.seeded(config.seed), crossed_by_gradients(target):
        trained = _optimise(task, config, objective, target, dataset)
    return trained_artifact("lora", task, target, trained, target_rank=config.rank)


def _optimise(
    task: TrainingTask, config: LoraConfig, objective: Objective, model: PromptedModel, dataset: Dataset
) -> Mapping[str, torch.Tensor]:
    """The best LoRA found."""
    if not (dataset.hard or dataset.general):
        raise InvalidExample("the retain set is empty; a LoRA on the target needs one")
    parts = split(dataset)
    everything = [example for group in groups(objective, dataset.forget, ()).values() for example in group]
    everything += [*dataset.hard, *dataset.general]
    task.check_cancelled()
    task.report(Progress("caching", 0, 1))
    shared = shared_by_most([example.prompt_ids for example in everything])
    with TrainableTarget(model, config.rank, everything, shared) as target:
        if task.start is not None:
            load_state(target.lora, TARGET, task.start.tensors)
        held = groups(objective, parts.held_forget, ()) | {RETAIN: list(parts.held_retain)}
        sampler = BatchSampler.of(parts.training, config)
        generator = model.hardware.generator(config.seed)

        def draw() -> Callable[[], ObjectiveLoss]:
            examples = groups(objective, *sampler.draw())
            penalty = drawn_penalty(objective, changes(target.lora), generator)
            return lambda: penalty(objective.loss(target.views(examples, config.first_token_weight)))

        def score() -> Score:
            with torch.no_grad():
                views = target.views(held, config.first_token_weight)
                return Score(objective.loss(views).total.item(), views[RETAIN].kl().item())

        best = KeepBest(
            target.lora,
            TARGET,
            score,
            every=config.evaluate_every,
            steps=config.max_steps,
            patience=config.patience,
            kl_limit=config.kl_limit,
        )
        descend(task, config, [parameters(target.lora)], draw, best.after, model=model)
        return best.restore()
