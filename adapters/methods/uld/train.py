"""Training of ULD's assistant (Ji et al., Reversing the Forget-Retain Objectives, NeurIPS 2024, arXiv 2406.08607).

A small model learns what is to be forgotten, and to know nothing else: descent on the forget answers, a uniform
distribution on all others. Served, its logits are subtracted from the target's. The paper widens both sets with a
language model's paraphrases and perturbed answers. Here the paraphrases are the phrasings of `adapters.data`; the
perturbed answers are answers of other questions after the forget prompts, and the forget questions asked about other
subjects are in the retain set anyway.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import torch

from adapters.artifact.artifact import OFFSET_HALF, Artifact
from adapters.artifact.spec import ULD, OffsetSpec, PairSpec
from adapters.data.dataset import Dataset, build_dataset
from adapters.errors import InvalidConfig, InvalidExample
from adapters.methods.uld.config import UldConfig
from adapters.methods.uld.wrong import WrongAnswer, WrongAnswers
from adapters.models.combining import filtered
from adapters.models.frozen import PromptedModel, shared_prefix
from adapters.models.lora import parameters
from adapters.models.tokens import TokenizedExample
from adapters.models.workbench import Workbench
from adapters.objectives.base import FORGET, RETAIN, ObjectiveLoss
from adapters.objectives.uld import Uld
from adapters.objectives.view import View
from adapters.progress import Progress
from adapters.task import TrainingTask
from adapters.training.artifact import Trained, trained_artifact
from adapters.training.auxiliary import Auxiliary
from adapters.training.descent import KeepBest, descend
from adapters.training.held_out import Score, split
from adapters.training.sampler import BatchSampler
from adapters.training.sweep import Effects, choose


def train(task: TrainingTask) -> Artifact:
    """Learns the assistant of one request.

    Raises `InvalidExample`, `InvalidConfig` (also when the engine has no pair), `TrainingDiverged` or
    `TrainingCancelled`.
    """
    config: UldConfig = task.config
    if task.pair is None:
        raise InvalidConfig("the engine has no pair; ULD needs one")
    task.report(Progress("loading", 0, 1))
    bench = Workbench.of(task)
    target = bench.target
    dataset = build_dataset(task, config, bench, target)
    with target.hardware.seeded(config.seed):
        trained = _optimise(task, config, target, task.pair, dataset, bench)
    # It has no half on the reference, so a pair with either kind of reference serves it.
    pair = replace(task.pair, own_reference=False)
    spec = OffsetSpec(ULD, trained.strength, config.rank, pair, config.filter)
    return trained_artifact("uld", task, target, trained.tensors, offset=spec)


def _optimise(
    task: TrainingTask,
    config: UldConfig,
    target: PromptedModel,
    source: PairSpec,
    dataset: Dataset,
    bench: Workbench,
) -> Trained:
    retained = (*dataset.hard, *dataset.general)
    if not retained:
        raise InvalidExample("the retain set is empty; ULD needs one")
    objective = Uld(config.beta)
    assistant = Auxiliary(target, source, config.rank)
    parts = split(dataset)
    shared = shared_prefix([e.prompt_ids for e in (*(item.original for item in dataset.forget), *retained)])
    task.check_cancelled()
    task.report(Progress("caching", 0, 1))
    effects = Effects(target, parts, shared)
    bench.done_reading(assistant.model)
    sampler = BatchSampler.of(parts.training, config)
    wrong = WrongAnswers(
        parts.training.hard or parts.training.general,
        each=config.wrong_answers,
        limit=min(config.max_length, target.context),
        seed=config.seed,
    )
    held = {FORGET: [item.original for item in parts.held_forget], RETAIN: list(parts.held_retain)}

    def draw() -> Callable[[], ObjectiveLoss]:
        drawn, retain = sampler.draw()
        forget, unlike = [item.original for item in drawn], wrong.draw(drawn)
        weight = config.first_token_weight
        return lambda: objective.loss(training_views(assistant, forget, retain, unlike, shared, weight))

    def measure(weights: Sequence[float]) -> dict[float, Score]:
        def combine(states: torch.Tensor, small: torch.Tensor, weight: float) -> torch.Tensor:
            return filtered(target.logits(states), assistant.model.logits(-weight * small), config.filter)

        return effects.measure(assistant.states, combine, weights)

    def score() -> Score:
        with torch.no_grad():
            total = objective.loss(assistant.views(held, shared, config.first_token_weight)).total.item()
        (least,) = measure([min(config.weights)]).values()
        return Score(total, least.kl)

    # The KL is said, not bounded: until the assistant is uniform on what is retained, subtracting it does harm.
    best = KeepBest(
        assistant.lora,
        OFFSET_HALF,
        score,
        every=config.evaluate_every,
        steps=config.max_steps,
        patience=config.patience,
    )
    descend(task, config, [parameters(assistant.lora)], draw, best.after, model=assistant.model)
    tensors = best.restore()
    weight = choose(measure(config.weights), forget_limit=config.forget_limit, kl_limit=config.kl_limit)
    return Trained(tensors, weight)


def training_views(
    assistant: Auxiliary,
    forget: Sequence[TokenizedExample],
    retain: Sequence[TokenizedExample],
    wrong: Sequence[WrongAnswer],
    shared: int,
    first_token_weight: float,
) -> dict[str, View]:
    """The assistant's views of a batch. Wrong answers are in the retain view, from where they differ on."""
    groups = {FORGET: list(forget), RETAIN: [*retain, *(each.example for each in wrong)]}
    views = assistant.views(groups, shared, first_token_weight)
    view = views[RETAIN]
    assert view.weights is not None
    counted = [1.0] * (len(view.owner) - sum(len(each.example.answer_ids) for each in wrong))
    for each in wrong:
        counted += [0.0] * each.differs + [1.0] * (len(each.example.answer_ids) - each.differs)
    return {**views, RETAIN: replace(view, weights=view.weights * torch.tensor(counted, device=view.weights.device))}
