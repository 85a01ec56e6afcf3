"""The steps themselves; what they are for is tested with the methods."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import replace

import pytest
import torch
from torch import nn

from adapters.errors import TrainingDiverged
from adapters.models.frozen import PromptedModel
from adapters.models.lora import LoraLinear
from adapters.objectives.base import ObjectiveLoss
from adapters.progress import Progress
from adapters.task import TrainingTask
from adapters.training.descent import KeepBest, Verdict, descend
from adapters.training.held_out import Score
from adapters.training.settings import OptimisationSettings

SETTINGS = OptimisationSettings(learning_rate=0.1, max_steps=4, warmup_ratio=0.0)


def test_each_half_has_its_own_bound_on_the_gradient(
    make_task: Callable[..., TrainingTask], prompted: PromptedModel
) -> None:
    steep, gentle = nn.Parameter(torch.tensor([3.0, 4.0])), nn.Parameter(torch.tensor([1.0]))

    def loss() -> ObjectiveLoss:
        return ObjectiveLoss(100 * steep.sum(), 0.25 * gentle.sum())

    descend(make_task(), replace(SETTINGS, max_steps=1), [[steep], [gentle]], lambda: loss, model=prompted)
    assert steep.grad is not None
    assert gentle.grad is not None
    assert float(steep.grad.norm()) == pytest.approx(1.0, rel=1e-4)
    assert float(gentle.grad) == pytest.approx(0.25)


def test_a_verdict_is_reported_and_ends_the_run(
    make_task: Callable[..., TrainingTask], prompted: PromptedModel
) -> None:
    weight, seen = nn.Parameter(torch.tensor([2.0])), list[Progress]()

    def after(step: int) -> Verdict:
        return Verdict({"held_out": 10.0 * step}, stop=step == 3)

    def loss() -> ObjectiveLoss:
        return ObjectiveLoss((weight**2).sum(), torch.zeros(()))

    descend(make_task(report=seen.append), SETTINGS, [[weight]], lambda: loss, after, model=prompted)
    assert (seen[0].phase, seen[0].step) == ("starting", 0), "said before the first step, which may take long"
    seen = seen[1:]
    assert [progress.metrics["held_out"] for progress in seen] == [10, 20, 30]
    losses = [progress.metrics["forget"] for progress in seen]
    assert losses == sorted(losses, reverse=True)
    assert seen[0].metrics["forget"] == seen[0].loss == pytest.approx(4.0)
    assert (seen[-1].step, seen[-1].steps) == (3, 4)


def test_a_loss_that_is_not_finite_ends_the_run(
    make_task: Callable[..., TrainingTask], prompted: PromptedModel
) -> None:
    weight = nn.Parameter(torch.tensor([2.0]))
    with pytest.raises(TrainingDiverged, match="step 1"):
        descend(
            make_task(),
            SETTINGS,
            [[weight]],
            lambda: lambda: ObjectiveLoss((weight * float("inf")).sum(), torch.zeros(())),
            model=prompted,
        )


class TestKeepBest:
    """Which weights are kept, and when training stops; every third step of sixty is scored."""

    def run(self, scores: list[tuple[float, float]], steps: int = 60) -> tuple[KeepBest, Mapping[str, LoraLinear], int]:
        """After so many steps as it takes: each step moves the weights to its own number."""
        given = iter(scores)
        lora = {"layer": LoraLinear(nn.Linear(2, 2), 1)}
        best = KeepBest(lora, "half", lambda: Score(*next(given)), every=3, steps=steps, patience=2, kl_limit=0.2)
        for step in range(1, steps + 1):
            with torch.no_grad():
                lora["layer"].lora_b.fill_(step)
            if best.after(step).stop:
                break
        assert list(given) == []
        return best, lora, step

    @pytest.mark.parametrize(
        ("scores", "stopped_at", "kept"),
        [
            ([(5, 0), (4, 0), (6, 0), (4, 0)], 12, 6),  # no better twice in turn
            ([(5, 0), (6, 0), (4, 0), (5, 0), (3, 0), (3, 0), (9, 0)], 21, 15),  # patience begins anew
            ([(5, 0.2), (4, 0.21)], 6, 3),  # better, but beyond the limit
            ([(5, 0), (math.nan, math.nan), (math.nan, math.nan)], 9, 3),
        ],
    )
    def test_it_stops_and_puts_the_best_back(
        self, scores: list[tuple[float, float]], stopped_at: int, kept: int
    ) -> None:
        best, lora, step = self.run(scores)
        assert step == stopped_at
        assert set(best.restore()["half.layer.lora_B"].flatten().tolist()) == {kept}
        assert set(lora["layer"].lora_b.flatten().tolist()) == {kept}

    def test_the_last_step_is_scored_too(self) -> None:
        best, _, step = self.run([(5, 0), (4, 0)], steps=5)
        assert step == 5
        assert set(best.restore()["half.layer.lora_B"].flatten().tolist()) == {5}

    def test_a_collapse_before_the_first_scoring_leaves_nothing(self) -> None:
        best, _, step = self.run([(1, 0.3)])
        assert step == 3
        with pytest.raises(TrainingDiverged, match=r"above kl_limit \(0.2\), or not a number, at every scoring"):
            best.restore()
