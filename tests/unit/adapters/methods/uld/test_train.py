from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch

from adapters.artifact.artifact import Artifact, model_digest
from adapters.artifact.spec import ULD, OffsetSpec, PairSpec
from adapters.errors import InvalidConfig, InvalidExample, TrainingCancelled, TrainingDiverged
from adapters.examples import Example
from adapters.methods.uld import train as training
from adapters.methods.uld.train import training_views
from adapters.methods.uld.wrong import WrongAnswer
from adapters.models.frozen import PromptedModel
from adapters.models.tokens import TokenizedExample
from adapters.objectives.base import FORGET as FORGET_VIEW
from adapters.objectives.base import RETAIN as RETAIN_VIEW
from adapters.objectives.uld import uniform_cross_entropy
from adapters.progress import Progress
from adapters.registry import get_method
from adapters.task import TrainingTask
from adapters.training.auxiliary import Auxiliary
from adapters.training.sweep import Effect
from tests.unit.adapters.conftest import FORGET, HIDDEN, RETAIN, randomise, save_model
from tests.unit.adapters.methods.offsets import (
    LAYERS_PAIR,
    OWN_PAIR,
    effect,
    offset_task,
    parts_of,
    served,
    spec_of,
    steps_of,
)

train = get_method("uld").train


@pytest.fixture(scope="module")
def reports() -> list[Progress]:
    return []


@pytest.fixture(scope="module")
def long_task(tiny_model: Path, reports: list[Progress]) -> TrainingTask:
    return offset_task("uld", tiny_model, max_steps=80, forget_limit=0.2, report=reports.append)


@pytest.fixture(scope="module")
def trained(long_task: TrainingTask) -> Artifact:
    return train(long_task)


class TestWhatIsLearned:
    def test_it_lowers_its_own_loss_on_what_was_held_out(self, trained: Artifact, reports: list[Progress]) -> None:
        scores = [step.metrics["held_out"] for step in steps_of(reports) if "held_out" in step.metrics]
        assert [step.step for step in steps_of(reports) if "held_out" in step.metrics] == [20, 40, 60, 80]
        assert scores[-1] < scores[0] - 1
        assert trained.tensors

    def test_the_assistant_remembers_what_is_to_be_forgotten(self, long_task: TrainingTask, trained: Artifact) -> None:
        forget = served(long_task, trained, [example.original for example in parts_of(long_task).training.forget])
        for each in forget:
            assert each.said(each.offset) / len(each.answer) > 0.2
            assert each.said(each.reference) / len(each.answer) < 0.03

    def test_the_assistant_knows_next_to_nothing_else(self, long_task: TrainingTask, trained: Artifact) -> None:
        for each in served(long_task, trained, parts_of(long_task).training.general):
            vocabulary = each.offset.shape[-1]
            uniform = -each.offset.log_softmax(-1).mean()
            assert float(uniform) - math.log(vocabulary) < 0.2
            assert float(-each.reference.log_softmax(-1).mean()) - math.log(vocabulary) > 0.5

    def test_subtracted_it_takes_the_answers_and_leaves_the_rest(
        self, long_task: TrainingTask, trained: Artifact
    ) -> None:
        share, kl = effect(long_task, trained)
        assert share <= 0.2
        assert 0 < kl < 0.3

    def test_the_artifact_holds_the_assistant_and_says_how_it_is_subtracted(
        self, long_task: TrainingTask, trained: Artifact
    ) -> None:
        manifest = trained.manifest
        assert (manifest.method, manifest.rows, manifest.hidden_size) == ("uld", 0, HIDDEN)
        assert manifest.created_by == "adapters.methods.uld/1"
        assert manifest.config["beta"] == 5.0
        spec = spec_of(trained)
        assert spec == OffsetSpec(ULD, spec.strength, 4, PairSpec(1), 0.01)
        assert spec.strength in long_task.config.weights
        assert len(trained.tensors) == 2 * 7
        assert all(name.startswith("offset.model.layers.0.") for name in trained.tensors)
        again = Artifact.from_bytes(trained.to_bytes(), expect_digest=trained.digest)
        for pair in (LAYERS_PAIR, OWN_PAIR):
            again.require(hidden_size=HIDDEN, model_digest=model_digest(long_task.model_path), pair=pair)
        for secret in (b"Zorba", b"Nikos", b"Emma", b"Lima"):
            assert secret not in trained.to_bytes()


class TestWeights:
    def test_what_a_weight_is_said_to_do_is_what_it_does(
        self, tiny_model: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Measured anew from the artifact, by plain passes of models with merged weights."""
        measured: dict[float, Effect] = {}

        def choose(effects: dict[float, Effect], **_limits: float) -> float:
            measured.update(effects)
            return 0.8

        monkeypatch.setattr(training, "choose", choose)
        task = offset_task("uld", tiny_model, max_steps=20, filter=0.05)
        share, kl = effect(task, train(task))
        assert measured.keys() == set(task.config.weights)
        assert measured[0.8].forget == pytest.approx(share, rel=1e-3)
        assert measured[0.8].kl == pytest.approx(kl, rel=1e-3)

    def test_no_weight_within_the_limit_gives_no_adapter(self, tiny_model: Path) -> None:
        with pytest.raises(TrainingDiverged, match=r"above kl_limit \(1e-06\) at every strength"):
            train(offset_task("uld", tiny_model, kl_limit=1e-6))

    def test_the_limits_are_the_settings(self, tiny_model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        given: dict[str, float] = {}

        def choose(_effects: dict[float, Effect], **limits: float) -> float:
            given.update(limits)
            return 1.25

        monkeypatch.setattr(training, "choose", choose)
        artifact = train(offset_task("uld", tiny_model, max_steps=1, kl_limit=0.3, forget_limit=0.7))
        assert given == {"kl_limit": 0.3, "forget_limit": 0.7}
        assert spec_of(artifact).strength == 1.25


class TestRun:
    def test_a_pair_that_is_another_model_is_trained(self, tiny_model: Path, small_model: Path) -> None:
        source = PairSpec(0, model_digest(small_model), model=str(small_model))
        artifact = train(offset_task("uld", tiny_model, pair=source))
        assert spec_of(artifact).pair == source
        assert artifact.tensors["offset.model.layers.1.mlp.up_proj.lora_A"].shape == (4, 16)

    def test_the_lora_is_kept_in_the_checkpoints_own_format(self, tmp_path: Path) -> None:
        artifact = train(offset_task("uld", save_model(tmp_path, dtype=torch.bfloat16), max_steps=1))
        assert {tensor.dtype for tensor in artifact.tensors.values()} == {torch.bfloat16}

    def test_without_a_pair_it_is_refused(self, tiny_model: Path) -> None:
        with pytest.raises(InvalidConfig, match="no pair"):
            train(offset_task("uld", tiny_model, pair=None))

    def test_an_empty_retain_set_is_refused(self, tiny_model: Path) -> None:
        with pytest.raises(InvalidExample, match="retain set is empty"):
            train(offset_task("uld", tiny_model, retain=()))

    def test_a_retain_set_of_one_is_trained_on(self, tiny_model: Path) -> None:
        assert train(offset_task("uld", tiny_model, retain=RETAIN[:1])).tensors

    def test_items_that_cannot_be_trained_on_are_named_by_position(self, tiny_model: Path) -> None:
        with pytest.raises(InvalidExample, match="forget item 3 is"):
            train(offset_task("uld", tiny_model, forget=(*FORGET, Example.from_pair("Why?", "word " * 200))))

    def test_cancelling_stops_at_the_next_step(self, tiny_model: Path) -> None:
        seen: list[Progress] = []
        task = offset_task("uld", tiny_model, report=seen.append, cancelled=lambda: len(steps_of(seen)) >= 2)
        with pytest.raises(TrainingCancelled):
            train(task)
        assert len(steps_of(seen)) == 2

    def test_a_seed_decides_everything_and_the_callers_generator_is_left_alone(self, tiny_model: Path) -> None:
        torch.manual_seed(11)
        before = torch.random.get_rng_state()
        first = train(offset_task("uld", tiny_model, seed=1)).digest
        assert torch.equal(torch.random.get_rng_state(), before)
        torch.manual_seed(12)
        assert train(offset_task("uld", tiny_model, seed=1)).digest == first
        assert train(offset_task("uld", tiny_model, seed=2)).digest != first

    def test_a_run_that_no_longer_improves_is_stopped(self, tiny_model: Path) -> None:
        seen: list[Progress] = []
        task = offset_task(
            "uld", tiny_model, report=seen.append, learning_rate=0.2, evaluate_every=1, patience=2, max_steps=60
        )
        train(task)
        scores = [step.metrics["held_out"] for step in steps_of(seen)]
        assert scores.index(min(scores)) == len(scores) - 1 - 2
        assert len(scores) < 60


def test_a_wrong_answer_counts_from_where_it_differs(target: PromptedModel) -> None:
    torch.manual_seed(0)
    assistant = Auxiliary(target, LAYERS_PAIR, 2)
    randomise(assistant.lora, scale=0.1)
    forget, retain = TokenizedExample((1, 5), (7, 8, 2)), TokenizedExample((1, 6), (9, 2))
    wrong = WrongAnswer(TokenizedExample((1, 5), (7, 10, 11, 12)), 2)
    views = training_views(assistant, [forget], [retain], [wrong], 1, 3.0)
    weights = views[RETAIN_VIEW].weights
    assert weights is not None
    assert weights.tolist() == [3, 1, 0, 0, 1, 1]
    assert views[RETAIN_VIEW].examples == 2
    ours = -views[RETAIN_VIEW].logits.log_softmax(-1).mean(-1)
    expected = ((3 * ours[0] + ours[1]) / 4 + (ours[4] + ours[5]) / 2) / 2
    torch.testing.assert_close(uniform_cross_entropy(views[RETAIN_VIEW]), expected)
    assert views[FORGET_VIEW].targets.tolist() == [7, 8, 2]
