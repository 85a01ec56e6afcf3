"""Against whole prefixes run anew for every token, without a cache, by the formulas of `adapters.artifact.spec`."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
import torch

from adapters.artifact.artifact import FORMAT, OFFSET_HALF, REFERENCE_HALF, SOFT_PROMPT, TARGET, Artifact, Manifest
from adapters.artifact.spec import DD_LINEAR, DD_RANK, DELTA, ULD, OffsetSpec, PairSpec
from adapters.errors import InvalidArtifact
from adapters.examples import Message
from adapters.models.frozen import PromptedModel
from adapters.models.lora import attach, state
from adapters.models.pair import first_layers
from adapters.models.tokens import encode_prompt
from bench.tofu.served import ServedModel
from tests.unit.adapters.conftest import HIDDEN, randomise, save_model

LAYERS = 3
PROMPTS = ("Who wrote Zorba?", "2+2", "Name the capital of Peru.", "Who wrote Emma?")
Ids = tuple[int, ...]


@pytest.fixture(scope="module")
def model_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_model(tmp_path_factory.mktemp("target"), num_hidden_layers=LAYERS)


@pytest.fixture(scope="module")
def target(model_path: Path) -> PromptedModel:
    return PromptedModel.load(model_path)


@pytest.fixture(scope="module")
def prompts(model_path: Path) -> list[Ids]:
    from adapters.models.tokens import load_tokenizer

    tokenizer = load_tokenizer(str(model_path))
    return [encode_prompt(tokenizer, (Message("user", text),)) for text in PROMPTS]


@dataclass(frozen=True)
class Case:
    """An artifact with its pair, and logits [vocabulary] after a sequence of ids, computed the long way."""

    artifact: Artifact | None
    source: PairSpec | None
    logits: Callable[[Ids], torch.Tensor]


def manifest(spec: OffsetSpec | None, rows: int = 0) -> Manifest:
    return Manifest(FORMAT, "test", HIDDEN, rows, "float32", "0" * 64, {}, 0, "tests", spec)


def bare(target: PromptedModel) -> Case:
    return Case(None, None, lambda ids: target.model(torch.tensor([ids])).logits[0, -1])


def soft(target: PromptedModel) -> Case:
    rows = torch.randn(3, HIDDEN, generator=torch.Generator().manual_seed(5))

    def logits(ids: Ids) -> torch.Tensor:
        embedded = torch.cat((rows, target.embed(torch.tensor(ids))))
        return target.model(inputs_embeds=embedded[None]).logits[0, -1]  # type: ignore[no-any-return]

    return Case(Artifact(manifest(None, rows=3), {SOFT_PROMPT: rows}), None, logits)


def on_target(target: PromptedModel) -> Case:
    changed = copy.deepcopy(target.model)
    attached = attach(changed, 4)
    randomise(attached, seed=3)
    artifact = Artifact(replace(manifest(None), target_rank=4), state(attached, TARGET))
    return Case(artifact, None, lambda ids: changed(torch.tensor([ids])).logits[0, -1])


def offset(target: PromptedModel, kind: str, *, layers: int, parameter: float = 0.0, small: Path | None = None) -> Case:
    """A pair of the target's first layers or, with 0 of them, the model at `small`."""
    own = kind in (DD_LINEAR, DD_RANK)
    pair = PairSpec(layers, "" if layers else "small", own_reference=own)
    spec = OffsetSpec(kind, 1.5, 4, pair, parameter)

    def stack() -> Any:
        if layers:
            return first_layers(target.model, layers)
        assert small is not None
        return PromptedModel.load(small).model

    trained, reference = stack(), stack()
    attached = attach(trained, 4)
    randomise(attached, seed=1)
    tensors = state(attached, OFFSET_HALF)
    if own:
        attached = attach(reference, 4)
        randomise(attached, seed=2)
        tensors |= state(attached, REFERENCE_HALF)

    def logits(ids: Ids) -> torch.Tensor:
        ours, changed, unchanged = (
            model(torch.tensor([ids])).logits[0, -1] for model in (target.model, trained, reference)
        )
        if kind in (DELTA, DD_LINEAR):
            return ours + 1.5 * (changed - unchanged)  # type: ignore[no-any-return]
        if kind == ULD:
            logprobs = ours.log_softmax(-1)
            ordered = logprobs.sort(descending=True).values
            least = min(ordered[0] + math.log(parameter), ordered[math.floor(parameter * len(ours)) - 1])
            return torch.where(logprobs >= least, ours - 1.5 * changed, ours)
        difference = (changed - unchanged).tolist()
        for index in sorted(range(len(difference)), key=lambda index: difference[index])[: int(parameter)]:
            ours[index] = -math.inf
        return ours  # type: ignore[no-any-return]

    return Case(Artifact(manifest(spec), tensors), replace(pair, model="" if small is None else str(small)), logits)


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


@pytest.fixture(scope="module")
def small_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_model(tmp_path_factory.mktemp("small"), seed=1, hidden_size=16, intermediate_size=32)


def recomputed(case: Case, prompt: Ids, tokens: int) -> Ids:
    answer: Ids = ()
    with torch.no_grad():
        while len(answer) < tokens:
            answer = (*answer, int(case.logits((*prompt, *answer)).argmax()))
    return answer


def test_answers_are_those_of_whole_prefixes_run_anew(case: Case, target: PromptedModel, prompts: list[Ids]) -> None:
    served = ServedModel(target, case.artifact, case.source)
    free = [recomputed(case, prompt, 8) for prompt in prompts]
    # Some answers end early and others do not, so that rows leave the batch on the way.
    stop = free[0][3]
    expected = [answer[: answer.index(stop)] if stop in answer else answer for answer in free]
    assert len({len(answer) for answer in expected}) > 1
    assert served.answers(prompts, max_tokens=8, stop=stop) == expected


def test_scores_are_those_of_whole_prefixes_run_anew(case: Case, target: PromptedModel, prompts: list[Ids]) -> None:
    served = ServedModel(target, case.artifact, case.source)
    likely = recomputed(case, prompts[0], 4)
    answers = [(*likely, 2), (40, 41, 2), (likely[0], 50, 51, 52, 53, 2)]
    scores = served.score(prompts[0], answers)
    for answer, score in zip(answers, scores, strict=True):
        with torch.no_grad():
            logits = [case.logits((*prompts[0], *answer[:index])) for index in range(len(answer))]
        losses = [-float(row.log_softmax(-1)[token]) for row, token in zip(logits, answer, strict=True)]
        assert score.loss == pytest.approx(sum(losses) / len(losses), rel=1e-4)
        assert list(score.correct) == [
            int(row.argmax()) == token for row, token in zip(logits[:-1], answer[:-1], strict=True)
        ]
    assert all(scores[0].correct)


def test_batches_do_not_change_answers(
    target: PromptedModel, prompts: list[Ids], monkeypatch: pytest.MonkeyPatch
) -> None:
    case = offset(target, DELTA, layers=2)
    served = ServedModel(target, case.artifact, case.source)
    together = served.answers(prompts, max_tokens=6, stop=-1)
    monkeypatch.setattr("bench.tofu.served._BATCH", 2)
    assert served.answers(prompts, max_tokens=6, stop=-1) == together


@pytest.mark.parametrize("made", [on_target, lambda target: offset(target, DELTA, layers=2)])
def test_the_target_is_left_as_it_was(
    target: PromptedModel, prompts: list[Ids], made: Callable[[PromptedModel], Case]
) -> None:
    case = made(target)
    before = ServedModel(target).answers(prompts, max_tokens=6, stop=-1)
    changed = ServedModel(target, case.artifact, case.source).answers(prompts, max_tokens=6, stop=-1)
    assert changed != before
    assert ServedModel(target).answers(prompts, max_tokens=6, stop=-1) == before


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
