"""What is Divergence Decoding's alone: two auxiliaries that differ by the forget set."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest
import torch

from adapters.artifact.artifact import Artifact
from adapters.artifact.spec import DD_LINEAR, DD_RANK, OffsetSpec
from adapters.errors import InvalidArtifact, InvalidConfig
from adapters.methods.divergence import train as training
from adapters.methods.divergence.train import Auxiliaries, train
from adapters.models.frozen import PromptedModel
from adapters.models.tokens import TokenizedExample
from adapters.objectives.base import FORGET, RETAIN
from adapters.objectives.view import View
from adapters.task import TrainingTask
from adapters.training.auxiliary import Auxiliary
from tests.unit.adapters.methods.runs import (
    LAYERS_PAIR,
    OWN_PAIR,
    measured,
    method_task,
    parts_of,
    served,
    spec_of,
)


@pytest.fixture(scope="module")
def task(tiny_model: Path) -> TrainingTask:
    return method_task("divergence", tiny_model, form="linear", max_steps=60, learning_rate=2e-2, forget_limit=0.3)


@pytest.fixture(scope="module")
def trained(task: TrainingTask) -> Artifact:
    return train(task)


class TestWhatIsLearned:
    def test_full_aux_knows_the_forget_answers_and_retain_aux_does_not(
        self, task: TrainingTask, trained: Artifact
    ) -> None:
        for each in served(task, trained, [example.original for example in parts_of(task).training.forget]):
            assert each.said(each.reference) > 2 * each.said(each.offset)

    def test_both_know_what_is_retained(self, task: TrainingTask, trained: Artifact) -> None:
        training_part = parts_of(task).training
        for each in served(task, trained, [*training_part.hard, *training_part.general]):
            full, clean = each.said(each.reference), each.said(each.offset)
            assert min(full, clean) > 4 * each.said(each.target)
            assert max(full, clean) < 2 * min(full, clean)

    def test_the_difference_takes_the_answers_and_leaves_the_rest(self, task: TrainingTask, trained: Artifact) -> None:
        score = measured(task, trained)
        assert score.loss <= 0.3
        assert 0 < score.kl < 0.4

    def test_the_artifact_says_how_it_is_applied(self, task: TrainingTask, trained: Artifact) -> None:
        spec = spec_of(trained)
        assert spec == OffsetSpec(DD_LINEAR, spec.strength, 4, OWN_PAIR)
        assert spec.strength in task.config.strengths
        with pytest.raises(InvalidArtifact):
            trained.require(hidden_size=trained.manifest.hidden_size, pair=LAYERS_PAIR)

    def test_a_rank_artifact_says_how_many_tokens_it_masks(self, tiny_model: Path) -> None:
        task = method_task("divergence", tiny_model, max_steps=12, form="rank", counts=[7])
        artifact = train(task)
        assert spec_of(artifact) == OffsetSpec(DD_RANK, 1.0, 4, OWN_PAIR, 7.0)
        for each in served(task, artifact, parts_of(task).held_retain):
            assert each.served.isneginf().sum(-1).tolist() == [7] * len(each.answer)


class TestTheHalves:
    def test_they_start_equal_and_apart_from_the_target(self, target: PromptedModel) -> None:
        weights = {name: tensor.clone() for name, tensor in target.model.state_dict().items()}
        tensors = Auxiliaries(target, OWN_PAIR, 3).tensors()
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
        task = method_task("divergence", tiny_model, max_steps=2, first_token_weight=2.0)
        train(task)
        forget = {example.original for example in parts_of(task).training.forget}
        assert len(seen) == 2 * 2
        for full, clean in zip(seen[::2], seen[1::2], strict=True):
            assert set(full[FORGET]) <= forget
            assert set(clean) == {RETAIN}
            assert full[RETAIN] == clean[RETAIN]

    def test_a_reference_that_takes_no_adapter_is_refused_with_what_to_do(self, tiny_model: Path) -> None:
        with pytest.raises(InvalidConfig, match="--offset-reference own"):
            train(method_task("divergence", tiny_model, pair=LAYERS_PAIR))
