from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from dataclasses import replace

import pytest
import torch

from adapters.artifact import Artifact, model_digest
from adapters.chat import TokenizedExample
from adapters.errors import InvalidExample, TrainingCancelled, TrainingDiverged
from adapters.examples import Example, Message
from adapters.methods.spul import train as training
from adapters.methods.spul.dataset import Dataset
from adapters.methods.spul.sampler import BatchSampler
from adapters.methods.spul.train import schedule
from adapters.progress import Progress
from adapters.registry import get_method
from adapters.task import TrainingTask
from tests.unit.adapters.conftest import CONTEXT, FORGET, HIDDEN, RETAIN

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

    settings = {"retain_questions": 12, "retain_nearest": 4, "retain_twins": 3, "retain_tokens": 5}
    train(make_task(retain=None, ask=ask, **settings))
    assert len(asked) == 15
    assert not any("Zorba" in question for question in asked)


def test_without_anyone_to_ask_the_model_answers_itself(make_task: MakeTask) -> None:
    seen: list[Progress] = []
    settings = {"retain_questions": 6, "retain_nearest": 3, "retain_twins": 0, "retain_tokens": 4}
    train(make_task(retain=None, report=seen.append, **settings))
    assert [p.step for p in seen if p.phase == "retain"] == [0, 6]


def test_an_empty_retain_set_trains_on_forgetting_alone(make_task: MakeTask) -> None:
    seen: list[Progress] = []
    train(make_task(retain=(), report=seen.append))
    assert steps_of(seen)[-1].metrics["kl"] == 0


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


def test_the_schedule_warms_up_and_then_falls_to_zero() -> None:
    factors = [schedule(step, 100, 0.1) for step in range(100)]
    assert factors[0] == pytest.approx(0.1)
    assert factors[9] == factors[10] == 1
    assert all(later < earlier for earlier, later in itertools.pairwise(factors[10:]))
    assert factors[55] == pytest.approx(0.5)
    assert factors[-1] < 0.01
    assert schedule(0, 5, 0.0) == 1


def test_each_batch_holds_its_share_and_each_example_comes_round() -> None:
    examples = tuple(TokenizedExample((number,), (0,)) for number in range(12))
    sampler = BatchSampler(
        Dataset(examples[:3], examples[3:6], examples[6:]), forget=2, retain=4, hard_fraction=0.5, seed=0
    )
    drawn = [sampler.draw() for _ in range(3)]
    assert all(len(forget) == 2 and len(retain) == 4 for forget, retain in drawn)
    assert {example for forget, _ in drawn for example in forget} == set(examples[:3])
    assert {example for _, retain in drawn for example in retain} == set(examples[3:])


def test_a_retain_set_all_of_one_kind_fills_the_batch() -> None:
    examples = tuple(TokenizedExample((number,), (0,)) for number in range(6))
    hard = BatchSampler(Dataset(examples[:1], examples[1:], ()), forget=2, retain=4, hard_fraction=0.5, seed=0)
    general = BatchSampler(Dataset(examples[:1], (), examples[1:]), forget=2, retain=4, hard_fraction=0.5, seed=0)
    for sampler in (hard, general):
        forget, retain = sampler.draw()
        assert (len(forget), len(retain)) == (1, 4)
