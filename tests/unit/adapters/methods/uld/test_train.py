"""What is ULD's alone: an assistant that remembers what is to be forgotten, and nothing else."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch

from adapters.artifact.artifact import Artifact
from adapters.artifact.spec import ULD, OffsetSpec, PairSpec
from adapters.methods.uld.train import train, training_views
from adapters.methods.uld.wrong import WrongAnswer
from adapters.models.frozen import PromptedModel
from adapters.models.tokens import TokenizedExample
from adapters.objectives.base import FORGET, RETAIN
from adapters.objectives.uld import uniform_cross_entropy
from adapters.task import TrainingTask
from adapters.training.auxiliary import Auxiliary
from tests.unit.adapters.conftest import randomise
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
    return method_task("uld", tiny_model, max_steps=80, forget_limit=0.2)


@pytest.fixture(scope="module")
def trained(task: TrainingTask) -> Artifact:
    return train(task)


def test_the_assistant_remembers_what_is_to_be_forgotten(task: TrainingTask, trained: Artifact) -> None:
    for each in served(task, trained, [example.original for example in parts_of(task).training.forget]):
        assert each.said(each.offset) / len(each.answer) > 0.2
        assert each.said(each.reference) / len(each.answer) < 0.03


def test_the_assistant_knows_next_to_nothing_else(task: TrainingTask, trained: Artifact) -> None:
    for each in served(task, trained, parts_of(task).training.general):
        least = math.log(each.offset.shape[-1])
        assert float(-each.offset.log_softmax(-1).mean()) - least < 0.3
        assert float(-each.reference.log_softmax(-1).mean()) - least > 0.5


def test_subtracted_it_takes_the_answers_and_leaves_the_rest(task: TrainingTask, trained: Artifact) -> None:
    score = measured(task, trained)
    assert score.loss <= 0.2
    assert 0 < score.kl < 0.3


def test_the_artifact_says_how_it_is_subtracted(task: TrainingTask, trained: Artifact) -> None:
    spec = spec_of(trained)
    assert spec == OffsetSpec(ULD, spec.strength, 4, PairSpec(1), 0.01)
    assert spec.strength in task.config.weights
    for pair in (LAYERS_PAIR, OWN_PAIR):
        trained.require(hidden_size=trained.manifest.hidden_size, pair=pair)


def test_a_wrong_answer_counts_from_where_it_differs(target: PromptedModel) -> None:
    torch.manual_seed(0)
    assistant = Auxiliary(target, LAYERS_PAIR, 2)
    randomise(assistant.lora, scale=0.1)
    forget, retain = TokenizedExample((1, 5), (7, 8, 2)), TokenizedExample((1, 6), (9, 2))
    wrong = WrongAnswer(TokenizedExample((1, 5), (7, 10, 11, 12)), 2)
    views = training_views(assistant, [forget], [retain], [wrong], 1, 3.0)
    weights = views[RETAIN].weights
    assert weights is not None
    assert weights.tolist() == [3, 1, 0, 0, 1, 1]
    assert views[RETAIN].examples == 2
    ours = -views[RETAIN].logits.log_softmax(-1).mean(-1)
    expected = ((3 * ours[0] + ours[1]) / 4 + (ours[4] + ours[5]) / 2) / 2
    torch.testing.assert_close(uniform_cross_entropy(views[RETAIN]), expected)
    assert views[FORGET].targets.tolist() == [7, 8, 2]
