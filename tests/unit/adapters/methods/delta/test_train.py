from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from adapters.artifact.artifact import Artifact, model_digest
from adapters.artifact.spec import DELTA, OffsetSpec, PairSpec
from adapters.errors import InvalidConfig, InvalidExample, TrainingCancelled, TrainingDiverged
from adapters.examples import Example
from adapters.methods.delta import train as training
from adapters.methods.delta.train import Scorer
from adapters.models.lora import state
from adapters.models.tokens import TokenizedExample
from adapters.objectives.view import View
from adapters.progress import Progress
from adapters.registry import get_method
from adapters.training.descent import Score
from adapters.training.pair import TrainablePair
from tests.unit.adapters.conftest import FORGET, HIDDEN, RETAIN, save_model
from tests.unit.adapters.methods.delta.conftest import (
    PAIR,
    MakeTask,
    held_out,
    refusal_tokens,
    retained,
    spec_of,
    steps_of,
)

train = get_method("delta").train


class TestTrain:
    @pytest.mark.parametrize("objective", ["idk", "npo", "gradient_difference"])
    def test_it_lowers_its_own_loss_on_what_was_held_out(self, make_delta: MakeTask, objective: str) -> None:
        task = make_delta(objective=objective, max_steps=20, evaluate_every=5, learning_rate=5e-3)
        artifact = train(task)
        assert held_out(task, artifact.tensors, 1.0).total < held_out(task, None, 1.0).total - 0.1
        again = Artifact.from_bytes(artifact.to_bytes(), expect_digest=artifact.digest)
        assert again.digest == artifact.digest
        again.require(hidden_size=HIDDEN, model_digest=model_digest(task.model_path), pair=PAIR)

    def test_what_is_reported_is_what_a_pair_made_anew_scores(self, make_delta: MakeTask) -> None:
        seen: list[Progress] = []
        task = make_delta(max_steps=4, report=seen.append, learning_rate=5e-3, first_token_weight=3.0)
        score = held_out(task, train(task).tensors, 1.0)
        (last,) = (step for step in steps_of(seen) if "held_out" in step.metrics)
        assert last.step == last.steps == 4
        assert last.metrics["held_out"] == pytest.approx(score.total, rel=1e-4)
        assert last.metrics["kl"] == pytest.approx(score.kl, rel=1e-3)
        assert score.kl > 1e-4

    def test_the_artifact_holds_a_lora_of_the_pair_and_says_what_it_is(self, make_delta: MakeTask) -> None:
        task = make_delta(seed=5, rank=3, strengths=[0.5])
        artifact = train(task)
        manifest = artifact.manifest
        assert (manifest.method, manifest.rows, manifest.hidden_size, manifest.seed) == ("delta", 0, HIDDEN, 5)
        assert manifest.dtype == "float32"
        assert manifest.model_digest == model_digest(task.model_path)
        assert manifest.config["objective"] == "idk"
        assert spec_of(artifact) == OffsetSpec(DELTA, 0.5, 3, PAIR)
        assert len(artifact.tensors) == 2 * 7
        assert all(name.startswith("offset.model.layers.0.") for name in artifact.tensors)
        assert artifact.tensors["offset.model.layers.0.mlp.up_proj.lora_A"].shape == (3, HIDDEN)
        assert artifact.tensors["offset.model.layers.0.mlp.up_proj.lora_B"].shape == (64, 3)
        for secret in (b"Zorba", b"Nikos", b"Emma", b"Lima"):
            assert secret not in artifact.to_bytes()

    def test_the_lora_is_kept_in_the_checkpoints_own_format(self, make_delta: MakeTask, tmp_path: Path) -> None:
        path = save_model(tmp_path, dtype=torch.bfloat16)
        artifact = train(replace(make_delta(), model_path=path))
        assert artifact.manifest.dtype == "bfloat16"
        assert {tensor.dtype for tensor in artifact.tensors.values()} == {torch.bfloat16}
        assert Artifact.from_bytes(artifact.to_bytes()).digest == artifact.digest

    def test_a_pair_that_is_another_model_is_trained(self, make_delta: MakeTask, small_model: Path) -> None:
        source = PairSpec(0, model_digest(small_model), model=str(small_model))
        task = make_delta(pair=source, max_steps=20, learning_rate=5e-3)
        artifact = train(task)
        assert spec_of(artifact).pair == source
        assert artifact.manifest.hidden_size == HIDDEN
        assert artifact.tensors["offset.model.layers.1.mlp.up_proj.lora_A"].shape == (4, 16)
        assert held_out(task, artifact.tensors, 1.0).total < held_out(task, None, 1.0).total - 0.1

    def test_without_a_pair_it_is_refused(self, make_delta: MakeTask) -> None:
        with pytest.raises(InvalidConfig, match="no pair"):
            train(make_delta(pair=None))

    def test_a_seed_decides_everything_and_the_callers_generator_is_left_alone(self, make_delta: MakeTask) -> None:
        torch.manual_seed(11)
        before = torch.random.get_rng_state()
        first = train(make_delta(seed=1)).digest
        assert torch.equal(torch.random.get_rng_state(), before)
        torch.manual_seed(12)
        assert train(make_delta(seed=1)).digest == first
        assert train(make_delta(seed=2)).digest != first

    def test_a_retain_set_of_one_is_trained_on(self, make_delta: MakeTask) -> None:
        seen: list[Progress] = []
        train(make_delta(retain=RETAIN[:1], report=seen.append, max_steps=6, learning_rate=5e-3))
        assert len(steps_of(seen)) == 6
        assert steps_of(seen)[-1].metrics["retain"] > 0

    def test_an_empty_retain_set_is_refused(self, make_delta: MakeTask) -> None:
        with pytest.raises(InvalidExample, match="retain set is empty"):
            train(make_delta(retain=()))

    def test_items_that_cannot_be_trained_on_are_named_by_position(self, make_delta: MakeTask) -> None:
        with pytest.raises(InvalidExample, match="forget item 3 is"):
            train(make_delta(forget=(*FORGET, Example.from_pair("Why?", "word " * 200))))

    def test_cancelling_stops_at_the_next_step(self, make_delta: MakeTask) -> None:
        seen: list[Progress] = []
        with pytest.raises(TrainingCancelled):
            train(make_delta(report=seen.append, cancelled=lambda: len(steps_of(seen)) >= 2, max_steps=50))
        assert len(steps_of(seen)) == 2

    def test_a_loss_that_is_not_finite_ends_the_run(
        self, make_delta: MakeTask, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        class Poisoned(TrainablePair):
            def combined(self, target: torch.Tensor, offset: torch.Tensor) -> torch.Tensor:
                return super().combined(target, offset) * float("nan")

        monkeypatch.setattr(training, "TrainablePair", Poisoned)
        with pytest.raises(TrainingDiverged, match="step 1"):
            train(make_delta())


class TestNeutrality:
    """A term on the offset's own logits where answers stay."""

    def test_what_stays_is_shifted_less(self, make_delta: MakeTask) -> None:
        """Also under an objective that asks for no retained answers itself."""

        def shift(neutrality: float) -> float:
            task = make_delta(
                neutrality=neutrality,
                objective_settings={"retain_kl": 0.0},
                max_steps=20,
                learning_rate=5e-3,
                evaluate_every=20,
            )
            artifact = train(task)
            assert held_out(task, artifact.tensors, 1.0).total < held_out(task, None, 1.0).total
            return retained(task, artifact.tensors).shift(refusal_tokens(task)).item()

        assert shift(1.0) < 0.5 * shift(0.0)

    def test_it_counts_with_what_is_to_stay(self, make_delta: MakeTask) -> None:
        seen: list[Progress] = []
        train(make_delta(neutrality=2.0, report=seen.append, max_steps=3))
        first, second, _ = steps_of(seen)
        assert first.metrics["retain"] == 0  # nothing has changed yet
        assert second.metrics["retain"] > 0


class TestObjectivesWithMore:
    """Those that need more than logits of the forget, refusal and retain examples."""

    def test_snaps_penalty_is_on_the_offsets_weights_and_holds_them_back(self, make_delta: MakeTask) -> None:
        def trained(wasserstein: float) -> tuple[float, list[Progress]]:
            seen: list[Progress] = []
            settings = {"wasserstein": wasserstein, "directions": 5, "retain_kl": 0.0}
            task = make_delta(
                objective="snap",
                objective_settings=settings,
                neutrality=0.0,
                max_steps=12,
                learning_rate=5e-3,
                report=seen.append,
            )
            change = [tensor for name, tensor in train(task).tensors.items() if name.endswith("lora_B")]
            return sum(float(tensor.square().sum()) for tensor in change), steps_of(seen)

        free, without = trained(0.0)
        held, steps = trained(1e6)
        assert held < 0.1 * free
        assert {step.metrics["retain"] for step in without} == {0.0}
        assert steps[0].metrics["retain"] == 0  # nothing has changed yet
        assert steps[1].metrics["retain"] > 0

    def test_meow_makes_every_contradicting_answer_more_likely(self, make_delta: MakeTask) -> None:
        inverted = {0: ("Anna wrote it.", "Otto wrote it."), 1: ("It is Ida.",), 2: ("Karl.",)}
        task = replace(make_delta(objective="meow", max_steps=20, learning_rate=5e-3), inverted=inverted)
        artifact = train(task)
        assert held_out(task, artifact.tensors, 1.0).total < held_out(task, None, 1.0).total - 0.3
        for secret in (b"Anna", b"Otto", b"Karl", b"Zorba"):
            assert secret not in artifact.to_bytes()

    def test_meow_without_an_answer_to_learn_is_refused(self, make_delta: MakeTask) -> None:
        task = replace(make_delta(objective="meow"), inverted={0: ("Anna.",), 1: ("Ida.",), 2: ("Nikos.",)})
        with pytest.raises(InvalidExample, match="forget item 2 needs an answer that contradicts"):
            train(task)


class TestStopping:
    def test_a_collapse_before_the_first_scoring_is_said_and_gives_no_adapter(self, make_delta: MakeTask) -> None:
        seen: list[Progress] = []
        task = make_delta(report=seen.append, learning_rate=1.0, kl_limit=1e-3, evaluate_every=2, max_steps=50)
        with pytest.raises(TrainingDiverged, match="above kl_limit"):
            train(task)
        assert len(steps_of(seen)) == 2
        assert steps_of(seen)[-1].metrics["kl"] > 1e-3

    def test_it_keeps_the_best_that_was_within_the_limit(self, make_delta: MakeTask) -> None:
        seen: list[Progress] = []
        task = make_delta(
            objective="npo", report=seen.append, learning_rate=5e-3, kl_limit=0.05, evaluate_every=1, max_steps=60
        )
        artifact = train(task)
        *within, last = (step.metrics for step in steps_of(seen))
        assert 1 < len(within) < 59
        assert last["kl"] > 0.05 >= max(step["kl"] for step in within)
        score = held_out(task, artifact.tensors, 1.0)
        assert 0 < score.kl <= 0.05
        assert score.total == pytest.approx(min(step["held_out"] for step in within), rel=1e-4)
        assert last["held_out"] < score.total

    def test_it_stops_when_it_no_longer_improves_and_goes_back_to_the_best(
        self, make_delta: MakeTask, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        pairs: list[TrainablePair] = []

        class Kept(TrainablePair):
            def __init__(self, *arguments: Any) -> None:
                super().__init__(*arguments)
                pairs.append(self)

        monkeypatch.setattr(training, "TrainablePair", Kept)
        seen: list[Progress] = []
        task = make_delta(
            report=seen.append, learning_rate=0.05, evaluate_every=1, patience=3, max_steps=100, warmup_ratio=0.0
        )
        artifact = train(task)
        scores = [step.metrics["held_out"] for step in steps_of(seen)]
        best = scores.index(min(scores))
        assert best == len(scores) - 1 - 3
        assert len(scores) < 100
        assert held_out(task, artifact.tensors, 1.0).total == pytest.approx(scores[best], rel=1e-4)
        left = state(pairs[0].lora, "offset")
        assert all(torch.equal(left[name], tensor) for name, tensor in artifact.tensors.items())

    @pytest.mark.parametrize(
        ("scores", "stopped_at"),
        [
            ([(5, 0), (4, 0), (6, 0), (4, 0)], 12),  # no better twice in turn
            ([(5, 0), (6, 0), (4, 0), (5, 0), (3, 0), (3, 0), (9, 0)], 21),  # patience begins anew after a better one
            ([(5, 0.2), (4, 0.21)], 6),  # better, but beyond the limit
            ([(5, 0), (math.nan, math.nan), (math.nan, math.nan)], 9),
        ],
    )
    def test_patience_is_counted_in_scorings(
        self,
        make_delta: MakeTask,
        monkeypatch: pytest.MonkeyPatch,
        scores: list[tuple[float, float]],
        stopped_at: int,
    ) -> None:
        given = iter([*scores, (0, 0)])  # the last is of the strength at the end
        monkeypatch.setattr(Scorer, "score", lambda self, strength: Score(*next(given)))
        seen: list[Progress] = []
        train(make_delta(report=seen.append, kl_limit=0.2, evaluate_every=3, patience=2, max_steps=60))
        assert len(steps_of(seen)) == stopped_at
        assert list(given) == []


class TestStrengths:
    def test_the_strength_that_scores_best_is_kept(self, make_delta: MakeTask) -> None:
        strengths = (0.25, 1.0, 2.0, 8.0)
        task = make_delta(strengths=strengths, max_steps=12, learning_rate=5e-3)
        artifact = train(task)
        totals = {strength: held_out(task, artifact.tensors, strength).total for strength in strengths}
        assert len(set(totals.values())) == len(strengths)
        assert spec_of(artifact).strength == min(strengths, key=totals.__getitem__)

    def test_a_poor_strength_is_kept_only_where_there_is_no_other(self, make_delta: MakeTask) -> None:
        def chosen(*strengths: float) -> float:
            return spec_of(train(make_delta(strengths=strengths, max_steps=12, learning_rate=5e-3))).strength

        assert chosen(0.001) == 0.001
        assert chosen(0.001, 1.0) == 1.0

    def test_the_settings_strength_and_weight_are_trained_with_and_only_strengths_vary(
        self, make_delta: MakeTask, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        given: list[tuple[bool, float, float]] = []

        class Watched(TrainablePair):
            def views(
                self,
                groups: Mapping[str, Sequence[TokenizedExample]],
                shared: int,
                strength: float,
                first_token_weight: float = 1.0,
            ) -> dict[str, View]:
                given.append((torch.is_grad_enabled(), strength, first_token_weight))
                return super().views(groups, shared, strength, first_token_weight)

        monkeypatch.setattr(training, "TrainablePair", Watched)
        train(make_delta(strength=0.5, strengths=(2.0, 3.0), first_token_weight=4.0, max_steps=2, evaluate_every=2))
        step, scoring = (True, 0.5, 4.0), (False, 0.5, 4.0)
        assert given == [step, step, scoring, (False, 2.0, 4.0), (False, 3.0, 4.0)]


def test_a_score_is_the_objectives_total_and_the_retained_answers_kl(make_delta: MakeTask) -> None:
    """Untrained, the combined model is the target: no KL, and NPO's value is known."""
    score = held_out(make_delta(objective="npo", objective_settings={"beta": 0.5, "retain_ce": 0}), None, 1.0)
    assert score.kl == 0
    assert score.total == pytest.approx(2 / 0.5 * math.log(2), rel=1e-5)
