from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import pytest
import torch

from adapters.artifact.artifact import Artifact, model_digest
from adapters.errors import InvalidExample, TrainingCancelled, TrainingDiverged
from adapters.examples import Example, Message
from adapters.methods.spul import train as training
from adapters.methods.spul.initial import initial_rows
from adapters.methods.spul.train import step_losses
from adapters.models.frozen import PromptedModel
from adapters.models.original_states import OriginalStates
from adapters.models.tokens import TokenizedExample
from adapters.progress import Progress
from adapters.registry import get_method
from adapters.task import TrainingTask
from adapters.text.phrasebook import phrasebook
from adapters.text.refusals import draw_refusals
from tests.unit.adapters.conftest import CONTEXT, FORGET, HIDDEN, RETAIN

ENGLISH = phrasebook("en")

MakeTask = Callable[..., TrainingTask]
train = get_method("spul").train


def steps_of(task_reports: list[Progress]) -> list[Progress]:
    return [progress for progress in task_reports if progress.phase == "training"]


@pytest.mark.parametrize("encoder", ["embedding", "mlp"])
def test_training_lowers_the_forget_loss(make_task: MakeTask, encoder: str) -> None:
    seen: list[Progress] = []
    rate = 0.05 if encoder == "embedding" else 0.01
    train(make_task(report=seen.append, max_steps=40, learning_rate=rate, beta=0.1, encoder=encoder))
    steps = steps_of(seen)
    assert steps[-1].metrics["forget"] < steps[0].metrics["forget"] - 0.3
    assert steps[-1].step == steps[-1].steps == 40


def test_the_kl_term_holds_the_retain_set(make_task: MakeTask) -> None:
    def final_kl(beta: float) -> float:
        seen: list[Progress] = []
        train(make_task(report=seen.append, max_steps=40, learning_rate=0.05, beta=beta))
        return steps_of(seen)[-1].metrics["kl"]

    assert final_kl(10.0) < 0.5 * final_kl(0.0)


def test_the_artifact_holds_the_rows_and_says_what_they_are(make_task: MakeTask) -> None:
    task = make_task(encoder="mlp", seed=5)
    artifact = train(task)
    assert {name: tuple(t.shape) for name, t in artifact.tensors.items()} == {"soft_prompt": (4, HIDDEN)}
    manifest = artifact.manifest
    assert (manifest.method, manifest.rows, manifest.hidden_size, manifest.seed) == ("spul", 4, HIDDEN, 5)
    assert manifest.model_digest == model_digest(task.model_path)
    assert manifest.dtype == "float32"
    assert manifest.config["encoder"] == "mlp"
    assert Artifact.from_bytes(artifact.to_bytes()).digest == artifact.digest
    assert b"Zorba" not in artifact.to_bytes()


def test_a_seed_decides_everything_and_the_callers_generator_is_left_alone(make_task: MakeTask) -> None:
    torch.manual_seed(11)
    before = torch.random.get_rng_state()
    first = train(make_task(init="vocab", seed=1)).digest
    assert torch.equal(torch.random.get_rng_state(), before)
    torch.manual_seed(12)
    assert train(make_task(init="vocab", seed=1)).digest == first
    assert train(make_task(init="vocab", seed=2)).digest != first


def test_it_stops_early_once_both_targets_are_met(make_task: MakeTask) -> None:
    seen: list[Progress] = []
    train(make_task(report=seen.append, max_steps=30, forget_target=100.0, kl_target=100.0))
    assert len(steps_of(seen)) == 10
    seen.clear()
    train(make_task(report=seen.append, max_steps=12, forget_target=100.0, kl_target=0.0))
    assert len(steps_of(seen)) == 12


def test_cancelling_stops_at_the_next_step(make_task: MakeTask) -> None:
    seen: list[Progress] = []

    def cancelled() -> bool:
        return len(steps_of(seen)) >= 2

    with pytest.raises(TrainingCancelled):
        train(make_task(report=seen.append, cancelled=cancelled, max_steps=50))
    assert len(steps_of(seen)) == 2


def test_a_loss_that_is_not_finite_ends_the_run(make_task: MakeTask, monkeypatch: pytest.MonkeyPatch) -> None:
    genuine = training.step_losses

    def poisoned(*arguments: object) -> object:
        losses = genuine(*arguments)  # type: ignore[arg-type]
        return replace(losses, kl=losses.kl * float("nan"))

    monkeypatch.setattr(training, "step_losses", poisoned)
    with pytest.raises(TrainingDiverged, match="step 1"):
        train(make_task())


def test_a_retain_set_is_made_by_asking(make_task: MakeTask) -> None:
    asked: list[str] = []

    def ask(conversations: Sequence[Sequence[Message]], *, max_tokens: int) -> list[str]:
        assert max_tokens == 5
        asked.extend(turns[-1].content for turns in conversations)
        return ["yes" for _ in conversations]

    made = {"retain_questions": 12, "retain_nearest": 4, "retain_twins": 3, "retain_siblings": 0}
    train(make_task(retain=None, ask=ask, retain_tokens=5, **made))
    assert len(asked) == 15
    assert not any("Zorba" in question for question in asked)


def test_without_anyone_to_ask_the_model_answers_itself(make_task: MakeTask) -> None:
    seen: list[Progress] = []
    settings = {"retain_questions": 6, "retain_nearest": 3, "retain_twins": 0, "retain_siblings": 0, "retain_tokens": 4}
    train(make_task(retain=None, report=seen.append, **settings))
    assert [p.step for p in seen if p.phase == "retain"] == [0, 6]


def test_an_empty_retain_set_trains_on_forgetting_alone(make_task: MakeTask) -> None:
    seen: list[Progress] = []
    train(make_task(retain=(), report=seen.append))
    assert steps_of(seen)[-1].metrics["kl"] == 0


def test_an_answers_first_token_weighs_as_told_in_every_term(prompted: PromptedModel) -> None:
    """Against the same answers cut into their first token and the rest."""
    whole, weight = TokenizedExample((1, 5, 6, 7), (8, 9, 2)), 3.0
    other = TokenizedExample((1, 5, 9), (10, 2))
    soft = torch.randn(2, HIDDEN, generator=torch.Generator().manual_seed(0))

    def terms(example: TokenizedExample, first_token_weight: float) -> list[float]:
        original = OriginalStates(prompted, [example], 2)
        losses = step_losses(prompted, soft, [other], [example], original, 2, first_token_weight)
        return [losses.retain.item(), losses.kl.item()]

    first = terms(TokenizedExample(whole.prompt_ids, whole.answer_ids[:1]), 1.0)
    rest = terms(TokenizedExample((*whole.prompt_ids, whole.answer_ids[0]), whole.answer_ids[1:]), 1.0)
    expected = [(weight * a + 2 * b) / (weight + 2) for a, b in zip(first, rest, strict=True)]
    assert terms(whole, weight) == pytest.approx(expected, rel=1e-4)
    plain = [(a + 2 * b) / 3 for a, b in zip(first, rest, strict=True)]
    assert terms(whole, 1.0) == pytest.approx(plain, rel=1e-4)
    assert plain != pytest.approx(expected, rel=1e-2)

    def forget(example: TokenizedExample, first_token_weight: float) -> float:
        original = OriginalStates(prompted, [other], 2)
        return step_losses(prompted, soft, [example], [other], original, 2, first_token_weight).forget.item()

    assert forget(whole, weight) == pytest.approx(expected[0], rel=1e-4)


def test_the_settings_first_token_weight_is_trained_with(make_task: MakeTask) -> None:
    plain, weighted = (train(make_task(first_token_weight=weight)).tensors["soft_prompt"] for weight in (1.0, 5.0))
    assert not torch.equal(plain, weighted)


def test_the_initial_text_is_given_the_shortest_prompt_and_the_refusal_trained_towards(
    make_task: MakeTask, monkeypatch: pytest.MonkeyPatch
) -> None:
    given: dict[str, str] = {}

    def recording(*arguments: Any, prompt: str, refusal: str) -> torch.Tensor:
        given.update(prompt=prompt, refusal=refusal)
        return initial_rows(*arguments, prompt=prompt, refusal=refusal)

    monkeypatch.setattr(training, "initial_rows", recording)
    artifact = train(make_task(init_text="{prompt} {refusal}", seed=3))
    assert given == {"prompt": "Who wrote Zorba?", "refusal": draw_refusals(ENGLISH.refusals, 1, 3, kinds=1)[0]}
    assert artifact.manifest.config["init_text"] == "{prompt} {refusal}"


LONG = "word " * CONTEXT


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"forget": ()}, "empty"),
        ({"forget": (*FORGET, FORGET[1])}, "forget item 3 repeats item 1"),
        ({"retain": (RETAIN[0], RETAIN[0])}, "retain item 1 repeats item 0"),
        (
            {"retain": (RETAIN[0], Example(FORGET[2].messages, "Someone else."))},
            "retain item 1 has the prompt of forget item 2",
        ),
        ({"forget": (FORGET[0], Example.from_pair(LONG, "x"))}, "forget item 1 is"),
        ({"retain": (Example.from_pair("Why?", LONG),)}, "retain item 0 is"),
        ({"max_length": 40}, "at most 40 fit"),
    ],
)
def test_items_that_cannot_be_trained_on_are_named_by_position(
    make_task: MakeTask, changes: dict[str, object], message: str
) -> None:
    with pytest.raises(InvalidExample, match=message) as caught:
        train(make_task(**changes))
    assert "word" not in str(caught.value)
    assert "Zorba" not in str(caught.value)
