"""Against whole prefixes run anew for every token, without a cache, by the formulas of `adapters.artifact.spec`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from adapters.artifact.artifact import Artifact
from adapters.artifact.spec import DD_LINEAR, DD_RANK, DELTA, ULD, PairSpec
from adapters.errors import InvalidArtifact
from adapters.evaluation.decoding import BatchLimits, DecodingTask, decode
from adapters.evaluation.served import ServedModel
from adapters.models.frozen import PromptedModel
from tests.unit.adapters.evaluation.served_cases import LAYERS, Case, Ids, bare, offset, on_target, recomputed, soft


@pytest.fixture(
    params=[
        "bare",
        "soft",
        "lora",
        "delta",
        "delta of all layers",
        "delta of another model",
        "uld",
        "dd linear",
        "dd rank",
    ]
)
def case(request: pytest.FixtureRequest, target: PromptedModel, small_path: Path) -> Case:
    made: dict[str, Callable[[], Case]] = {
        "bare": lambda: bare(target),
        "soft": lambda: soft(target),
        "lora": lambda: on_target(target),
        "delta": lambda: offset(target, DELTA, layers=2),
        "delta of all layers": lambda: offset(target, DELTA, layers=LAYERS),
        "delta of another model": lambda: offset(target, DELTA, layers=0, small=small_path),
        "uld": lambda: offset(target, ULD, layers=2, parameter=0.3),
        "dd linear": lambda: offset(target, DD_LINEAR, layers=1),
        "dd rank": lambda: offset(target, DD_RANK, layers=1, parameter=20),
    }
    return made[request.param]()


def answers(
    served: ServedModel, prompts: list[Ids], *, max_tokens: int = 6, stop: int = -1, limits: BatchLimits | None = None
) -> list[Ids]:
    return decode(served, [DecodingTask(prompt, max_tokens) for prompt in prompts], stop=stop, limits=limits)


def test_answers_are_those_of_whole_prefixes_run_anew(case: Case, target: PromptedModel, prompts: list[Ids]) -> None:
    served = ServedModel(target, case.artifact, case.source)
    free = [recomputed(case, prompt, 8) for prompt in prompts]
    # Some answers end early and others do not, so that rows leave the batch on the way.
    stop = free[0][3]
    expected = [answer[: answer.index(stop)] if stop in answer else answer for answer in free]
    assert len({len(answer) for answer in expected}) > 1
    assert answers(served, prompts, max_tokens=8, stop=stop) == expected


def test_scores_are_those_of_whole_prefixes_run_anew(case: Case, target: PromptedModel, prompts: list[Ids]) -> None:
    served = ServedModel(target, case.artifact, case.source)
    likely = recomputed(case, prompts[0], 4)
    read = [(*likely, 2), (40, 41, 2), (likely[0], 50, 51, 52, 53, 2)]
    scores = served.score(prompts[0], read)
    for answer, score in zip(read, scores, strict=True):
        with torch.no_grad():
            logits = [case.logits((*prompts[0], *answer[:index])) for index in range(len(answer))]
        losses = [-float(row.log_softmax(-1)[token]) for row, token in zip(logits, answer, strict=True)]
        assert score.loss == pytest.approx(sum(losses) / len(losses), rel=1e-4)
        assert list(score.correct) == [
            int(row.argmax()) == token for row, token in zip(logits[:-1], answer[:-1], strict=True)
        ]
    assert all(scores[0].correct)


def test_batches_do_not_change_answers(target: PromptedModel, prompts: list[Ids]) -> None:
    case = offset(target, DELTA, layers=2)
    served = ServedModel(target, case.artifact, case.source)
    assert answers(served, prompts, limits=BatchLimits(2, 10_000)) == answers(served, prompts)


@pytest.mark.parametrize("made", [on_target, lambda target: offset(target, DELTA, layers=2)])
def test_the_target_is_left_as_it_was(
    target: PromptedModel, prompts: list[Ids], made: Callable[[PromptedModel], Case]
) -> None:
    case = made(target)
    before = answers(ServedModel(target), prompts)
    changed = answers(ServedModel(target, case.artifact, case.source), prompts)
    assert changed != before
    assert answers(ServedModel(target), prompts) == before


def test_an_artifact_of_several_kinds_is_refused(target: PromptedModel) -> None:
    first, second = soft(target).artifact, on_target(target).artifact
    assert first is not None
    assert second is not None
    both = Artifact(replace(first.manifest, target_rank=4), {**first.tensors, **second.tensors})
    with pytest.raises(ValueError, match="several kinds"):
        ServedModel(target, both)


def test_an_artifact_for_another_pair_is_refused(target: PromptedModel) -> None:
    case = offset(target, DELTA, layers=2)
    with pytest.raises(InvalidArtifact, match="first 2 layers"):
        ServedModel(target, case.artifact, PairSpec(1))
