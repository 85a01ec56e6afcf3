from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar

import pytest
import torch

from adapters.artifact.artifact import TARGET, Artifact, model_digest
from adapters.errors import InvalidExample, TrainingCancelled, TrainingDiverged
from adapters.methods.lora import train as training
from adapters.methods.lora.config import LoraConfig
from adapters.models.frozen import PromptedModel, shared_prefix
from adapters.models.lora import load_state
from adapters.objectives.base import ObjectiveLoss, WeightChange
from adapters.objectives.idk import Idk
from adapters.objectives.registry import make_objective
from adapters.objectives.view import View
from adapters.progress import Progress
from adapters.registry import get_method
from adapters.task import TrainingTask
from adapters.training.descent import Score
from adapters.training.held_out import split
from adapters.training.target import TrainableTarget
from tests.unit.adapters.conftest import HIDDEN, LAYERS, NOTHING_ELSE, RETAIN, dataset_of, save_model

MakeTask = Callable[..., TrainingTask]

train = get_method("lora").train


@pytest.fixture
def make_lora(make_task: MakeTask) -> MakeTask:
    """A task on the tiny model; settings are those of a LoRA on the target."""

    def make(
        *,
        report: Callable[[Progress], None] = lambda progress: None,
        cancelled: Callable[[], bool] = lambda: False,
        **changes: Any,
    ) -> TrainingTask:
        parts = {name: changes.pop(name) for name in ("forget", "retain", "ask") if name in changes}
        small = {"max_steps": 3, "rank": 4, "kl_limit": 100.0, "rewording_lists": 0, **NOTHING_ELSE}
        config = LoraConfig(**{**small, **changes})
        return replace(make_task(report=report, cancelled=cancelled, **parts), config=config)

    return make


def steps_of(reports: list[Progress]) -> list[Progress]:
    return [progress for progress in reports if progress.phase == "training"]


def held_out(task: TrainingTask, tensors: Mapping[str, torch.Tensor] | None) -> Score:
    """A score on the held-out part by a model loaded anew, with an artifact's LoRA or, for None, untrained."""
    config = task.config
    model = PromptedModel.load(task.model_path)
    parts = split(dataset_of(task, model))
    groups = {
        "forget": [each.original for each in parts.held_forget],
        "refusal": [each.refusal for each in parts.held_forget],
        "retain": list(parts.held_retain),
    }
    everything = [example for group in groups.values() for example in group]
    target = TrainableTarget(model, config.rank, everything, shared_prefix([e.prompt_ids for e in everything]))
    if tensors is not None:
        load_state(target.lora, TARGET, tensors)
    objective = make_objective(config.objective, config.objective_settings)
    with torch.no_grad():
        views = target.views(groups, config.first_token_weight)
        return Score(objective.loss(views).total.item(), views["retain"].kl().item())


class TestTrain:
    @pytest.mark.parametrize("objective", ["idk", "npo", "gradient_difference"])
    def test_it_lowers_its_own_loss_on_what_was_held_out(self, make_lora: MakeTask, objective: str) -> None:
        task = make_lora(objective=objective, max_steps=20, evaluate_every=5, learning_rate=5e-3)
        artifact = train(task)
        assert held_out(task, artifact.tensors).total < held_out(task, None).total - 0.1
        again = Artifact.from_bytes(artifact.to_bytes(), expect_digest=artifact.digest)
        again.require(hidden_size=HIDDEN, model_digest=model_digest(task.model_path), target_lora=True)

    def test_what_is_reported_is_what_a_model_loaded_anew_scores(self, make_lora: MakeTask) -> None:
        seen: list[Progress] = []
        task = make_lora(max_steps=4, report=seen.append, learning_rate=5e-3)
        score = held_out(task, train(task).tensors)
        last = steps_of(seen)[-1]
        assert last.step == last.steps == 4
        assert last.metrics["held_out"] == pytest.approx(score.total, rel=1e-4)
        assert last.metrics["kl"] == pytest.approx(score.kl, rel=1e-3)
        assert score.kl > 1e-4

    def test_the_artifact_holds_a_lora_of_every_decoder_layer_and_says_what_it_is(self, make_lora: MakeTask) -> None:
        task = make_lora(seed=5, rank=3)
        artifact = train(task)
        manifest = artifact.manifest
        assert (manifest.method, manifest.rows, manifest.offset, manifest.target_rank) == ("lora", 0, None, 3)
        assert (manifest.hidden_size, manifest.seed, manifest.dtype) == (HIDDEN, 5, "float32")
        assert manifest.config["objective"] == "idk"
        assert len(artifact.tensors) == LAYERS * 2 * 7
        assert all(name.startswith("target.model.layers.") for name in artifact.tensors)
        assert artifact.tensors["target.model.layers.1.mlp.up_proj.lora_A"].shape == (3, HIDDEN)
        assert artifact.tensors["target.model.layers.1.mlp.up_proj.lora_B"].shape == (64, 3)
        for secret in (b"Zorba", b"Nikos", b"Emma", b"Lima"):
            assert secret not in artifact.to_bytes()

    def test_the_lora_is_kept_in_the_checkpoints_own_format(self, make_lora: MakeTask, tmp_path: Path) -> None:
        artifact = train(replace(make_lora(), model_path=save_model(tmp_path, dtype=torch.bfloat16)))
        assert artifact.manifest.dtype == "bfloat16"
        assert {tensor.dtype for tensor in artifact.tensors.values()} == {torch.bfloat16}

    def test_a_seed_decides_everything_and_the_callers_generator_is_left_alone(self, make_lora: MakeTask) -> None:
        torch.manual_seed(11)
        before = torch.random.get_rng_state()
        first = train(make_lora(seed=1)).digest
        assert torch.equal(torch.random.get_rng_state(), before)
        torch.manual_seed(12)
        assert train(make_lora(seed=1)).digest == first
        assert train(make_lora(seed=2)).digest != first

    def test_an_empty_retain_set_is_refused(self, make_lora: MakeTask) -> None:
        with pytest.raises(InvalidExample, match="retain set is empty"):
            train(make_lora(retain=()))

    def test_a_retain_set_of_one_is_trained_on(self, make_lora: MakeTask) -> None:
        seen: list[Progress] = []
        train(make_lora(retain=RETAIN[:1], report=seen.append))
        assert len(steps_of(seen)) == 3

    def test_cancelling_stops_at_the_next_step(self, make_lora: MakeTask) -> None:
        seen: list[Progress] = []
        with pytest.raises(TrainingCancelled):
            train(make_lora(report=seen.append, cancelled=lambda: len(steps_of(seen)) >= 2, max_steps=50))
        assert len(steps_of(seen)) == 2


class TestStopping:
    def test_a_collapse_before_the_first_scoring_is_said_and_gives_no_adapter(self, make_lora: MakeTask) -> None:
        seen: list[Progress] = []
        task = make_lora(report=seen.append, learning_rate=0.5, kl_limit=1e-3, evaluate_every=2, max_steps=50)
        with pytest.raises(TrainingDiverged, match="above kl_limit"):
            train(task)
        assert len(steps_of(seen)) == 2

    def test_it_keeps_the_best_that_was_within_the_limit(self, make_lora: MakeTask) -> None:
        seen: list[Progress] = []
        task = make_lora(
            objective="npo", report=seen.append, learning_rate=5e-3, kl_limit=0.05, evaluate_every=1, max_steps=60
        )
        artifact = train(task)
        *within, last = (step.metrics for step in steps_of(seen))
        assert 1 < len(within) < 59
        assert last["kl"] > 0.05 >= max(step["kl"] for step in within)
        score = held_out(task, artifact.tensors)
        assert 0 < score.kl <= 0.05
        assert score.total == pytest.approx(min(step["held_out"] for step in within), rel=1e-4)


@dataclass(frozen=True)
class Tied(Idk):
    """Idk, and a penalty on the size of the change itself."""

    name: ClassVar[str] = "idk"
    seen: ClassVar[list[tuple[Mapping[str, WeightChange], int]]] = []

    def penalty(self, changes: Mapping[str, WeightChange], generator: torch.Generator) -> torch.Tensor:
        self.seen.append((changes, int(torch.randint(1 << 30, (), generator=generator))))
        return 1e4 * torch.stack([(b @ a).square().sum() for _, a, b in changes.values()]).sum()


class TestPenalty:
    @pytest.fixture(autouse=True)
    def tied(self, monkeypatch: pytest.MonkeyPatch) -> None:
        Tied.seen.clear()
        monkeypatch.setattr(training, "make_objective", lambda _name, _settings: Tied())

    def test_it_is_part_of_the_loss(self, make_lora: MakeTask, monkeypatch: pytest.MonkeyPatch) -> None:
        tied = train(make_lora(max_steps=10, learning_rate=5e-3))
        monkeypatch.setattr(training, "make_objective", make_objective)
        free = train(make_lora(max_steps=10, learning_rate=5e-3))

        def size(artifact: Artifact) -> float:
            names = {name.rpartition(".")[0] for name in artifact.tensors}
            products = (artifact.tensors[f"{n}.lora_B"] @ artifact.tensors[f"{n}.lora_A"] for n in names)
            return math.sqrt(sum(float(product.square().sum()) for product in products))

        assert size(tied) < 0.5 * size(free)

    def test_it_sees_the_weights_and_their_change_and_draws_from_the_seed(self, make_lora: MakeTask) -> None:
        task = make_lora(max_steps=2, seed=7)
        train(task)
        weights = dict(PromptedModel.load(task.model_path).model.named_parameters())
        assert len(Tied.seen) == 2
        changes, _ = Tied.seen[0]
        assert len(changes) == LAYERS * 7
        for name, (weight, a, b) in changes.items():
            assert torch.equal(weight, weights[f"{name}.weight"])
            assert (a.shape, b.shape) == ((4, weight.shape[1]), (weight.shape[0], 4))
            assert a.requires_grad
            assert b.requires_grad
            assert not weight.requires_grad
        drawn = [number for _, number in Tied.seen]
        train(task)
        assert [number for _, number in Tied.seen[2:]] == drawn
        assert drawn[0] != drawn[1]


def test_a_loss_that_is_not_finite_ends_the_run(make_lora: MakeTask, monkeypatch: pytest.MonkeyPatch) -> None:
    @dataclass(frozen=True)
    class Poisoned(Idk):
        def loss(self, views: Mapping[str, View]) -> ObjectiveLoss:
            losses = super().loss(views)
            return ObjectiveLoss(losses.forget * float("nan"), losses.retain)

    monkeypatch.setattr(training, "make_objective", lambda _name, _settings: Poisoned())
    with pytest.raises(TrainingDiverged, match="step 1"):
        train(make_lora())
