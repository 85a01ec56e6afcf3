"""Training of Divergence Decoding's two auxiliaries (arXiv 2605.31293, ICML 2026).

Both start equal and take the same steps on the same retained answers; one of them, full-aux, learns the forget answers
besides. So what they differ in is the forget set, and target + α (retain-aux − full-aux) is the target without it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch

from adapters.artifact.artifact import OFFSET_HALF, REFERENCE_HALF, Artifact
from adapters.artifact.spec import DD_LINEAR, DD_RANK, OffsetSpec, PairSpec
from adapters.data.dataset import Dataset, build_dataset
from adapters.errors import InvalidConfig, InvalidExample
from adapters.methods.divergence.config import RANK, DivergenceConfig
from adapters.models.combining import ranked
from adapters.models.frozen import PromptedModel, shared_prefix
from adapters.models.lora import load_state, parameters, state
from adapters.models.tokens import TokenizedExample
from adapters.models.workbench import Workbench
from adapters.objectives.base import FORGET, RETAIN, ObjectiveLoss
from adapters.progress import Progress
from adapters.task import TrainingTask
from adapters.training.artifact import Trained, trained_artifact
from adapters.training.auxiliary import Auxiliary
from adapters.training.descent import descend
from adapters.training.held_out import split
from adapters.training.sampler import BatchSampler
from adapters.training.sweep import Effects, choose


def train(task: TrainingTask) -> Artifact:
    """Learns the two auxiliaries of one request.

    Raises `InvalidExample`, `InvalidConfig` (also when the engine has no pair whose reference takes an adapter),
    `TrainingDiverged` or `TrainingCancelled`.
    """
    config: DivergenceConfig = task.config
    if task.pair is None:
        raise InvalidConfig("the engine has no pair; Divergence Decoding needs one")
    if not task.pair.own_reference:
        raise InvalidConfig(
            "Divergence Decoding trains both halves of the pair, and the engine's reference takes no adapter; "
            "start the service with --offset-reference own"
        )
    task.report(Progress("loading", 0, 1))
    bench = Workbench.of(task)
    target = bench.target
    dataset = build_dataset(task, config, bench, target)
    with target.hardware.seeded(config.seed):
        trained = _optimise(task, config, target, task.pair, dataset, bench)
    if config.form == RANK:
        spec = OffsetSpec(DD_RANK, 1.0, config.rank, task.pair, trained.strength)
    else:
        spec = OffsetSpec(DD_LINEAR, trained.strength, config.rank, task.pair)
    return trained_artifact("divergence", task, target, trained.tensors, offset=spec)


class Auxiliaries:
    """retain-aux, the pair's offset, and full-aux, its reference: equal until trained."""

    def __init__(self, target: PromptedModel, source: PairSpec, rank: int) -> None:
        """Raises `InvalidConfig` for a pair that does not fit the target."""
        self._target = target
        self._shares_head = bool(source.layers)
        self.retain, self.full = (Auxiliary(target, source, rank) for _ in range(2))
        load_state(self.full.lora, OFFSET_HALF, state(self.retain.lora, OFFSET_HALF))

    def tensors(self) -> dict[str, torch.Tensor]:
        """Of both LoRAs, each under its half's name."""
        return state(self.retain.lora, OFFSET_HALF) | state(self.full.lora, REFERENCE_HALF)

    def difference(self, examples: Sequence[TokenizedExample], shared: int) -> torch.Tensor:
        """retain-aux − full-aux: final states where the answers are predicted, [positions, hidden]."""
        return self.retain.states(examples, shared) - self.full.states(examples, shared)

    def linear(self, states: torch.Tensor, difference: torch.Tensor, strength: float) -> torch.Tensor:
        """Combined logits [positions, vocabulary] of the target's states, as the engine computes them."""
        added = strength * difference
        if self._shares_head:
            return self._target.logits(states + added.to(states.dtype))
        return self._target.logits(states) + self.retain.model.logits(added)

    def ranked(self, states: torch.Tensor, difference: torch.Tensor, count: float) -> torch.Tensor:
        """The target's logits [positions, vocabulary] without the `count` tokens that are disfavoured most."""
        return ranked(self._target.logits(states), self.retain.model.logits(difference), round(count))


def _optimise(
    task: TrainingTask,
    config: DivergenceConfig,
    target: PromptedModel,
    source: PairSpec,
    dataset: Dataset,
    bench: Workbench,
) -> Trained:
    retained = (*dataset.hard, *dataset.general)
    if not retained:
        raise InvalidExample("the retain set is empty; Divergence Decoding needs one")
    pair = Auxiliaries(target, source, config.rank)
    parts = split(dataset)
    shared = shared_prefix([e.prompt_ids for e in (*(item.original for item in dataset.forget), *retained)])
    task.check_cancelled()
    task.report(Progress("caching", 0, 1))
    effects = Effects(target, parts, shared)
    bench.done_reading(pair.retain.model, pair.full.model)
    sampler = BatchSampler.of(parts.training, config)

    def draw() -> Callable[[], ObjectiveLoss]:
        drawn, retain = sampler.draw()
        forget = [item.original for item in drawn]

        def loss() -> ObjectiveLoss:
            full = pair.full.views({FORGET: forget, RETAIN: retain}, shared, config.first_token_weight)
            clean = pair.retain.views({RETAIN: retain}, shared, config.first_token_weight)
            kept = full[RETAIN].cross_entropy() + clean[RETAIN].cross_entropy()
            return ObjectiveLoss(full[FORGET].cross_entropy(), kept)

        return loss

    halves = [parameters(pair.retain.lora), parameters(pair.full.lora)]
    descend(task, config, halves, draw, model=pair.full.model)
    if config.form == RANK:
        measured = effects.measure(pair.difference, pair.ranked, config.counts)
    else:
        measured = effects.measure(pair.difference, pair.linear, config.strengths)
    value = choose(measured, forget_limit=config.forget_limit, kl_limit=config.kl_limit)
    return Trained(pair.tensors(), float(value))
