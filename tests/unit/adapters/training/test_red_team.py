"""Rounds of attacks: what still comes out of what was learned is what is learned next."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import pytest

from adapters.artifact.artifact import Artifact
from adapters.errors import TrainingDiverged
from adapters.evaluation.attacks.probe import Probe, Prompt, Query
from adapters.evaluation.attacks.run import Result
from adapters.models.workbench import Workbench
from adapters.progress import Progress
from adapters.registry import get_method
from adapters.task import Method, TrainingTask
from adapters.training.red_team import RedTeamed, leaks
from tests.unit.adapters.methods.runs import method_task

PROMPT = Prompt(text="The author of Zorba is")


def leak(number: int) -> Result:
    probe = Probe("cloze", str(number), 0, Query(PROMPT), "The author of Zorba is", "Nikos.")
    return Result(probe, (True,), (" Nikos.",))


class Recording:
    """A method that learns nothing, and what it was asked to learn."""

    def __init__(self, diverges_at: int | None = None) -> None:
        self.tasks: list[TrainingTask] = []
        self._diverges_at = diverges_at

    def train(self, task: TrainingTask) -> Artifact:
        if self._diverges_at == len(self.tasks):
            raise TrainingDiverged("it ran away")
        self.tasks.append(task)
        return cast(Artifact, f"artifact {len(self.tasks)}")


def play(model: Path, found: Sequence[int], *, rounds: int, diverges_at: int | None = None) -> tuple[Recording, Any]:
    """found: how many leaks each attack finds."""
    method, counts = Recording(diverges_at), iter(found)

    def attack(_task: TrainingTask, _bench: Workbench, _artifact: Artifact, number: int) -> list[Result]:
        return [leak(10 * number + each) for each in range(next(counts))]

    task = method_task("delta", model, rounds=rounds, round_steps=7)
    return method, RedTeamed(cast(Method, method), attack).train(task)


def test_without_rounds_nothing_is_attacked(tiny_model: Path) -> None:
    method, learned = play(tiny_model, [], rounds=0)
    assert learned == "artifact 1"
    assert [task.start for task in method.tasks] == [None]


def test_each_round_goes_on_from_the_last_with_all_leaks_so_far(tiny_model: Path) -> None:
    method, learned = play(tiny_model, [3, 2], rounds=2)
    assert learned == "artifact 3"
    assert [cast(Any, task.start) for task in method.tasks] == [None, "artifact 1", "artifact 2"]
    assert [len(task.leaks) for task in method.tasks] == [0, 3, 5]
    assert [task.config.max_steps for task in method.tasks] == [3, 7, 7]
    assert len({id(task.workbench) for task in method.tasks}) == 1


@pytest.mark.parametrize(
    ("found", "diverges_at", "expected"),
    [
        ([0], None, "artifact 1"),  # nothing leaks
        ([3, 0], None, "artifact 2"),
        ([3, 4], None, "artifact 1"),  # more leaks than before: taken back
        ([3], 1, "artifact 1"),
        ([3, 3], 2, "artifact 2"),
    ],
)
def test_it_stops_where_a_round_is_of_no_use(
    tiny_model: Path, found: list[int], diverges_at: int | None, expected: str
) -> None:
    assert play(tiny_model, found, rounds=3, diverges_at=diverges_at)[1] == expected


def test_without_the_whole_model_there_are_no_rounds_and_it_says_so(
    tiny_model: Path, caplog: pytest.LogCaptureFixture
) -> None:
    method, bench = Recording(), Workbench(tiny_model)
    bench.target.is_streamed = True
    reports: list[Progress] = []
    task = replace(method_task("delta", tiny_model, rounds=2, report=reports.append), workbench=bench)
    assert RedTeamed(cast(Method, method)).train(task) == cast(Artifact, "artifact 1")
    assert reports == [Progress("attacking", 0, 0)]
    assert "no rounds of attacks: the model does not fit cpu" in caplog.text


@pytest.mark.usefixtures("few_others")
@pytest.mark.parametrize("method", ["delta", "lora"])
def test_a_real_method_learns_from_leaks_and_goes_on_from_its_weights(tiny_model: Path, method: str) -> None:
    reports: list[Progress] = []
    settings: dict[str, Any] = {"objective": "counterfactual", "objective_settings": {"attacks": 1, "names": 2}}
    task = method_task(method, tiny_model, report=reports.append, rounds=1, round_steps=2, **settings)
    attacked: list[int] = []

    def attack(task: TrainingTask, bench: Workbench, artifact: Artifact, number: int) -> list[Result]:
        attacked.append(len(leaks(task, bench, artifact, number)))  # the real one, on a model that knows nothing
        return [leak(number)]

    learned = RedTeamed(get_method(method), attack).train(task)
    once = get_method(method).train(replace(task, config=replace(task.config, rounds=0)))
    assert attacked == [0]
    assert learned.digest != once.digest
    assert learned.manifest.footprint == once.manifest.footprint
    rounds = [progress.metrics for progress in reports if progress.phase == "attacking"]
    assert rounds
    assert all(metrics == {"round": 1, "leaks": 0} for metrics in rounds)
