from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest
import torch

from adapters.artifact.artifact import Artifact, model_digest
from adapters.artifact.spec import DD_LINEAR, DD_RANK, OffsetSpec, PairSpec
from adapters.errors import InvalidArtifact, InvalidConfig, InvalidExample, TrainingCancelled, TrainingDiverged
from adapters.examples import Example
from adapters.methods.divergence import train as training
from adapters.methods.divergence.train import Auxiliaries
from adapters.models.frozen import PromptedModel
from adapters.models.tokens import TokenizedExample
from adapters.objectives.base import FORGET as FORGET_VIEW
from adapters.objectives.base import RETAIN as RETAIN_VIEW
from adapters.objectives.view import View
from adapters.progress import Progress
from adapters.registry import get_method
from adapters.task import TrainingTask
from adapters.training.auxiliary import Auxiliary
from adapters.training.sweep import Effect
from tests.unit.adapters.conftest import FORGET, HIDDEN, RETAIN, save_model
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

train = get_method("divergence").train


@pytest.fixture(scope="module")
def reports() -> list[Progress]:
    return []


@pytest.fixture(scope="module")
def long_task(tiny_model: Path, reports: list[Progress]) -> TrainingTask:
    return offset_task("divergence", tiny_model, form="linear", max_steps=60, forget_limit=0.3, report=reports.append)


@pytest.fixture(scope="module")
def trained(long_task: TrainingTask) -> Artifact:
    return train(long_task)


class TestWhatIsLearned:
    def test_both_terms_come_down(self, trained: Artifact, reports: list[Progress]) -> None:
        first, last = steps_of(reports)[0].metrics, steps_of(reports)[-1].metrics
        assert len(steps_of(reports)) == 60
        assert last["forget"] < first["forget"] - 1
        assert last["retain"] < first["retain"] - 2
        assert trained.tensors

    def test_full_aux_knows_the_forget_answers_and_retain_aux_does_not(
        self, long_task: TrainingTask, trained: Artifact
    ) -> None:
        for each in served(long_task, trained, [example.original for example in parts_of(long_task).training.forget]):
            assert each.said(each.reference) > 2 * each.said(each.offset)

    def test_both_know_what_is_retained(self, long_task: TrainingTask, trained: Artifact) -> None:
        training_part = parts_of(long_task).training
        for each in served(long_task, trained, [*training_part.hard, *training_part.general]):
            full, clean = each.said(each.reference), each.said(each.offset)
            assert min(full, clean) > 4 * each.said(each.target)
            assert max(full, clean) < 1.5 * min(full, clean)

    def test_the_difference_takes_the_answers_and_leaves_the_rest(
        self, long_task: TrainingTask, trained: Artifact
    ) -> None:
        share, kl = effect(long_task, trained)
        assert share <= 0.3
        assert 0 < kl < 0.4

    def test_the_artifact_holds_both_halves_and_says_how_they_are_applied(
        self, long_task: TrainingTask, trained: Artifact
    ) -> None:
        manifest = trained.manifest
        assert (manifest.method, manifest.rows, manifest.hidden_size) == ("divergence", 0, HIDDEN)
        spec = spec_of(trained)
        assert spec == OffsetSpec(DD_LINEAR, spec.strength, 4, OWN_PAIR)
        assert spec.strength in long_task.config.strengths
        names = {name.partition(".")[2] for name in trained.tensors if name.startswith("offset.")}
        assert len(names) == 2 * 7
        assert set(trained.tensors) == {f"{half}.{name}" for half in ("offset", "reference") for name in names}
        again = Artifact.from_bytes(trained.to_bytes(), expect_digest=trained.digest)
        again.require(hidden_size=HIDDEN, model_digest=model_digest(long_task.model_path), pair=OWN_PAIR)
        with pytest.raises(InvalidArtifact):
            again.require(hidden_size=HIDDEN, pair=LAYERS_PAIR)
        for secret in (b"Zorba", b"Nikos", b"Emma", b"Lima"):
            assert secret not in trained.to_bytes()


class TestTheHalves:
    def test_they_start_equal_and_apart_from_the_target(self, target: PromptedModel) -> None:
        weights = {name: tensor.clone() for name, tensor in target.model.state_dict().items()}
        pair = Auxiliaries(target, OWN_PAIR, 3)
        tensors = pair.tensors()
        offsets = {name: tensor for name, tensor in tensors.items() if name.startswith("offset.")}
        assert len(tensors) == 2 * len(offsets) == 2 * 14
        for name, tensor in offsets.items():
            assert torch.equal(tensors[name.replace("offset", "reference", 1)], tensor)
        assert target.model.state_dict().keys() == weights.keys()

    def test_they_are_given_the_same_retained_answers_and_full_aux_the_forget_answers_besides(
        self, tiny_model: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        seen: list[dict[str, Sequence[TokenizedExample]]] = []

        class Watched(Auxiliary):
            def views(
                self, groups: Mapping[str, Sequence[TokenizedExample]], shared: int, first_token_weight: float = 1.0
            ) -> dict[str, View]:
                assert first_token_weight == 2.0
                seen.append(dict(groups))
                return super().views(groups, shared, first_token_weight)

        monkeypatch.setattr(training, "Auxiliary", Watched)
        task = offset_task("divergence", tiny_model, max_steps=2, first_token_weight=2.0)
        train(task)
        parts = parts_of(task)
        assert len(seen) == 2 * 2
        for full, clean in zip(seen[::2], seen[1::2], strict=True):
            assert set(full[FORGET_VIEW]) <= {example.original for example in parts.training.forget}
            assert full[RETAIN_VIEW] == clean[RETAIN_VIEW]
            assert set(clean) == {RETAIN_VIEW}
            assert not set(clean[RETAIN_VIEW]) & set(parts.held_retain)


class TestStrengths:
    @pytest.mark.parametrize(("form", "value"), [("linear", 1.5), ("rank", 20)])
    def test_what_is_said_to_happen_is_what_happens(
        self, tiny_model: Path, monkeypatch: pytest.MonkeyPatch, form: str, value: float
    ) -> None:
        """Measured anew from the artifact, by plain passes of models with merged weights."""
        measured: dict[float, Effect] = {}

        def choose(effects: dict[float, Effect], **_limits: float) -> float:
            measured.update(effects)
            return value

        monkeypatch.setattr(training, "choose", choose)
        task = offset_task("divergence", tiny_model, max_steps=20, form=form)
        share, kl = effect(task, train(task))
        assert measured.keys() == set(task.config.strengths if form == "linear" else task.config.counts)
        assert measured[value].forget == pytest.approx(share, rel=1e-3)
        assert measured[value].kl == pytest.approx(kl, rel=1e-3)

    def test_a_rank_artifact_says_how_many_tokens_it_masks(self, tiny_model: Path) -> None:
        task = offset_task("divergence", tiny_model, max_steps=20, form="rank", counts=[7])
        artifact = train(task)
        assert spec_of(artifact) == OffsetSpec(DD_RANK, 1.0, 4, OWN_PAIR, 7.0)
        assert Artifact.from_bytes(artifact.to_bytes()).digest == artifact.digest
        for each in served(task, artifact, parts_of(task).held_retain):
            assert each.combined.isneginf().sum(-1).tolist() == [7] * len(each.answer)

    def test_none_within_the_limit_gives_no_adapter(self, tiny_model: Path) -> None:
        with pytest.raises(TrainingDiverged, match=r"above kl_limit \(1e-08\) at every strength"):
            train(offset_task("divergence", tiny_model, form="linear", kl_limit=1e-8))


class TestRun:
    def test_a_pair_that_is_another_model_is_trained(
        self, tiny_model: Path, small_model: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        source = PairSpec(0, model_digest(small_model), own_reference=True, model=str(small_model))
        seen: dict[float, Effect] = {}

        def choose(effects: dict[float, Effect], **_limits: float) -> float:
            seen.update(effects)
            return 1.0

        monkeypatch.setattr(training, "choose", choose)
        artifact = train(offset_task("divergence", tiny_model, pair=source))
        assert spec_of(artifact).pair == source
        assert artifact.tensors["reference.model.layers.1.mlp.up_proj.lora_A"].shape == (4, 16)
        assert all(effect.kl > 0 for effect in seen.values())

    def test_the_lora_is_kept_in_the_checkpoints_own_format(self, tmp_path: Path) -> None:
        artifact = train(offset_task("divergence", save_model(tmp_path, dtype=torch.bfloat16), max_steps=1))
        assert {tensor.dtype for tensor in artifact.tensors.values()} == {torch.bfloat16}

    def test_without_a_pair_it_is_refused(self, tiny_model: Path) -> None:
        with pytest.raises(InvalidConfig, match="no pair"):
            train(offset_task("divergence", tiny_model, pair=None))

    def test_a_reference_that_takes_no_adapter_is_refused_with_what_to_do(self, tiny_model: Path) -> None:
        with pytest.raises(InvalidConfig, match="--offset-reference own"):
            train(offset_task("divergence", tiny_model, pair=LAYERS_PAIR))

    def test_an_empty_retain_set_is_refused(self, tiny_model: Path) -> None:
        with pytest.raises(InvalidExample, match="retain set is empty"):
            train(offset_task("divergence", tiny_model, retain=()))

    def test_a_retain_set_of_one_is_trained_on(self, tiny_model: Path) -> None:
        assert train(offset_task("divergence", tiny_model, retain=RETAIN[:1])).tensors

    def test_items_that_cannot_be_trained_on_are_named_by_position(self, tiny_model: Path) -> None:
        with pytest.raises(InvalidExample, match="forget item 3 is"):
            train(offset_task("divergence", tiny_model, forget=(*FORGET, Example.from_pair("Why?", "word " * 200))))

    def test_cancelling_stops_at_the_next_step(self, tiny_model: Path) -> None:
        seen: list[Progress] = []
        task = offset_task("divergence", tiny_model, report=seen.append, cancelled=lambda: len(steps_of(seen)) >= 2)
        with pytest.raises(TrainingCancelled):
            train(task)
        assert len(steps_of(seen)) == 2

    def test_a_seed_decides_everything_and_the_callers_generator_is_left_alone(self, tiny_model: Path) -> None:
        torch.manual_seed(11)
        before = torch.random.get_rng_state()
        first = train(offset_task("divergence", tiny_model, seed=1)).digest
        assert torch.equal(torch.random.get_rng_state(), before)
        torch.manual_seed(12)
        assert train(offset_task("divergence", tiny_model, seed=1)).digest == first
        assert train(offset_task("divergence", tiny_model, seed=2)).digest != first
