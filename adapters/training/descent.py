"""The steps of a training run of LoRAs: the schedule, the reports, and which weights are kept."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial

import torch
from torch import nn

from adapters.errors import TrainingDiverged
from adapters.models.frozen import PromptedModel
from adapters.models.lora import LoraLinear, load_state, state
from adapters.objectives.base import ObjectiveLoss
from adapters.progress import Progress
from adapters.task import TrainingTask
from adapters.training.held_out import Score
from adapters.training.schedule import warm_up_then_cosine
from adapters.training.settings import OptimisationSettings


@dataclass(frozen=True, slots=True)
class Verdict:
    """What is said after a step: more metrics for its report, and whether it is the last."""

    metrics: Mapping[str, float] = field(default_factory=dict)
    stop: bool = False


def descend(
    task: TrainingTask,
    settings: OptimisationSettings,
    halves: Sequence[Sequence[nn.Parameter]],
    draw: Callable[[], Callable[[], ObjectiveLoss]],
    after: Callable[[int], Verdict] = lambda _step: Verdict(),
    *,
    model: PromptedModel,
) -> None:
    """Train the halves, each with its own bound on the gradient.

    draw: draws a step's batch and gives what computes its loss, as often as it takes: a step that runs out of memory is
    taken again in smaller parts. after: called with the number of the step, from 1. model: whose device and
    `batches` it is. Raises `TrainingDiverged`, `TrainingCancelled`, `OutOfMemory`.
    """
    optimizer = torch.optim.AdamW(
        [parameter for half in halves for parameter in half],
        lr=settings.learning_rate,
        weight_decay=settings.weight_decay,
    )
    task.report(Progress("starting", 0, settings.max_steps))
    started = time.monotonic()
    for step in range(settings.max_steps):
        task.check_cancelled()
        for group in optimizer.param_groups:
            group["lr"] = settings.learning_rate * warm_up_then_cosine(step, settings.max_steps, settings.warmup_ratio)
        losses = model.batches.fit(partial(_backward, optimizer, draw(), step), model.hardware.device)
        for half in halves:
            torch.nn.utils.clip_grad_norm_(half, settings.max_grad_norm)
        optimizer.step()
        verdict = after(step + 1)
        task.report(
            Progress(
                "training",
                step + 1,
                settings.max_steps,
                loss=losses.total.item(),
                eta_s=(time.monotonic() - started) / (step + 1) * (settings.max_steps - step - 1),
                metrics={"forget": losses.forget.item(), "retain": losses.retain.item(), **verdict.metrics},
            )
        )
        if verdict.stop:
            break


def _backward(optimizer: torch.optim.Optimizer, loss: Callable[[], ObjectiveLoss], step: int) -> ObjectiveLoss:
    optimizer.zero_grad()
    losses = loss()
    if not bool(losses.total.isfinite()):
        raise TrainingDiverged(f"the loss was not finite at step {step + 1}")
    losses.total.backward()  # type: ignore[no-untyped-call]
    return ObjectiveLoss(losses.forget.detach(), losses.retain.detach())


class KeepBest:
    """Scores now and then, keeps the weights of the lowest loss within the KL limit, and says when to stop.

    Training stops after `patience` scorings without a better one, or once the KL exceeds `kl_limit`.
    """

    def __init__(
        self,
        lora: Mapping[str, LoraLinear],
        half: str,
        score: Callable[[], Score],
        *,
        every: int,
        steps: int,
        patience: int,
        kl_limit: float = math.inf,
    ) -> None:
        """half: the name the kept tensors get. every, steps: scored every so many of all steps, and at the last."""
        self._lora, self._half, self._score = lora, half, score
        self._every, self._steps, self._patience, self._kl_limit = every, steps, patience, kl_limit
        self._best, self._lowest, self._worse = state(lora, half), math.inf, 0

    def after(self, step: int) -> Verdict:
        """To be called after every step, whose numbers are from 1."""
        if step % self._every and step != self._steps:
            return Verdict()
        score = self._score()
        if score.kl <= self._kl_limit and score.loss < self._lowest:
            self._best, self._lowest, self._worse = state(self._lora, self._half), score.loss, 0
        else:
            self._worse += 1
        stop = self._worse >= self._patience or score.kl > self._kl_limit
        return Verdict({"held_out": score.loss, "kl": score.kl}, stop)

    def restore(self) -> Mapping[str, torch.Tensor]:
        """Put the best weights back; returns them. Raises `TrainingDiverged` when no score was within the limit."""
        if self._lowest == math.inf:
            raise TrainingDiverged(
                f"the held-out KL was above kl_limit ({self._kl_limit:g}), or not a number, at every scoring"
            )
        load_state(self._lora, self._half, self._best)
        return self._best
