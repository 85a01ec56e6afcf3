"""What a worker says, told from stand-ins for both of vLLM's model runners; `tests/engine` has a real one say it."""

from __future__ import annotations

from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from vllm.v1.outputs import AsyncModelRunnerOutput, ModelRunnerOutput

from gateway.engine.inside.applied import AppliedRecord, UnknownRunner
from gateway.engine.inside.soft_table import SoftTable
from gateway.engine.statement import UNKNOWN, Statement, unpack

V = 100
Prompt = tuple[list[int], int]


class Waited(AsyncModelRunnerOutput):  # type: ignore[misc]
    def __init__(self, output: ModelRunnerOutput) -> None:
        self.output = output

    def get_output(self) -> ModelRunnerOutput:
        return self.output


class Runner:
    """As much of a runner as knows its batch: `first` keeps LoRAs as vLLM's first one does, else as the second."""

    def __init__(self, *, first: bool, waits: bool) -> None:
        self.index: dict[str, int] = {}
        self.loras = np.zeros(8, dtype=np.int64)
        self.waits = waits
        self.nan: set[str] = set()
        if first:
            self.input_batch = SimpleNamespace(request_lora_mapping=self.loras, req_id_to_index=self.index)
        else:
            self.lora_state = SimpleNamespace(lora_ids=self.loras)
            self.req_states = SimpleNamespace(req_id_to_index=self.index)

    def execute_model(self, scheduled: Any) -> None:
        for request in scheduled.finished_req_ids:
            self.index.pop(request, None)
        for new in scheduled.scheduled_new_reqs:
            self.index[new.req_id] = min(set(range(8)) - set(self.index.values()))
            self.loras[self.index[new.req_id]] = new.lora
        self.batch = list(scheduled.num_scheduled_tokens)

    def sample_tokens(self, grammar: None) -> Any:
        nans = {request: 3 if request in self.nan else 0 for request in self.batch}
        output = ModelRunnerOutput(list(self.batch), {}, num_nans_in_logits=nans)
        return Waited(output) if self.waits else output


class Loras:
    """LoRA 1 is the adapter x, LoRA 2 a set that was read; no other is in a slot."""

    def active(self) -> dict[int, str]:
        return {1: "x", 2: "set"}


class Worker:
    def __init__(self, *, first: bool = True, waits: bool = False) -> None:
        self.runner: Any = Runner(first=first, waits=waits)
        self.table = SoftTable(8, 3, V, torch.float32)
        self.table.install([0, 1], torch.ones(2, 3), "a")
        self.table.install([4], torch.ones(1, 3), "b")
        loras: Any = Loras()
        self.record = AppliedRecord(self.runner, self.table, loras)

    def begin(self, new: dict[str, Prompt], going_on: Sequence[str] = (), finished: Sequence[str] = ()) -> Any:
        """A step up to where the runner's answer is there."""
        requests = [
            SimpleNamespace(req_id=request, prompt_token_ids=ids, lora=lora) for request, (ids, lora) in new.items()
        ]
        self.runner.execute_model(
            SimpleNamespace(
                finished_req_ids=set(finished),
                scheduled_new_reqs=requests,
                num_scheduled_tokens=dict.fromkeys([*new, *going_on], 1),
            )
        )
        return self.runner.sample_tokens(None)

    def step(
        self, new: dict[str, Prompt], going_on: Sequence[str] = (), finished: Sequence[str] = ()
    ) -> dict[str, int]:
        output = self.begin(new, going_on, finished)
        counts: dict[str, int] = (output.get_output() if self.runner.waits else output).num_nans_in_logits
        return counts


def stamps(counts: dict[str, int]) -> dict[str, int]:
    return {request: unpack(count)[0] for request, count in counts.items()}


RUNNERS = pytest.mark.parametrize(("first", "waits"), [(True, False), (True, True), (False, True)])


@RUNNERS
def test_each_request_is_stamped_with_what_its_rows_and_its_lora_are(first: bool, waits: bool) -> None:
    worker = Worker(first=first, waits=waits)
    said = worker.step(
        {
            "plain": ([7, 8], 0),
            "soft": ([V, V + 1, 7], 0),
            "both": ([V + 4, V, V + 1, 7], 1),
            "merged": ([7], 2),
            "nothing there": ([V + 6, 7], 0),
            "half": ([V, 7], 0),
            "no slot": ([7], 3),
        }
    )
    wanted = {
        "plain": Statement(),
        "soft": Statement(("a",)),
        "both": Statement(("b", "a"), "x"),
        "merged": Statement((), "set"),
        "nothing there": Statement((UNKNOWN,)),
        "half": Statement((UNKNOWN,)),
        "no slot": Statement((), UNKNOWN),
    }
    assert stamps(said) == {request: statement.stamp for request, statement in wanted.items()}


@RUNNERS
def test_it_is_said_with_every_step_and_what_has_changed_once_is_never_right_again(first: bool, waits: bool) -> None:
    """Keys and values of a step without its rows stay: a prompt may take several steps, or be computed anew."""
    worker = Worker(first=first, waits=waits)
    whole, broken = Statement(("a",)).stamp, Statement((UNKNOWN,)).stamp
    said = [stamps(worker.step({"r": ([V, V + 1, 7], 0)})), stamps(worker.step({}, ["r"]))]
    worker.table.evict([0, 1])
    said.append(stamps(worker.step({"late": ([V, V + 1, 7], 0)}, ["r"])))
    worker.table.install([0, 1], torch.ones(2, 3), "a")
    said.append(stamps(worker.step({"new": ([V, V + 1, 7], 0)}, ["r", "late"])))
    said.append(stamps(worker.step({"r": ([V, V + 1, 7], 0)}, ["new"])))
    assert said == [
        {"r": whole},
        {"r": whole},
        {"r": broken, "late": broken},
        {"r": broken, "late": broken, "new": whole},
        {"r": broken, "new": whole},
    ]


def test_what_happens_to_other_rows_is_nothing_to_a_request() -> None:
    worker = Worker()
    said = [stamps(worker.step({"r": ([V, V + 1, 7], 2)}))]
    worker.table.evict([4])
    worker.table.install([4, 5], torch.ones(2, 3), "c")
    said.append(stamps(worker.step({}, ["r"])))
    assert said == [{"r": Statement(("a",), "set").stamp}] * 2


@RUNNERS
def test_nan_logits_are_still_told(first: bool, waits: bool) -> None:
    worker = Worker(first=first, waits=waits)
    worker.runner.nan = {"bad"}
    said = worker.step({"bad": ([7], 1), "good": ([7], 0)})
    assert {request: unpack(count)[1] for request, count in said.items()} == {"bad": True, "good": False}


def test_a_step_that_is_waited_for_says_what_was_so_when_it_ran() -> None:
    """Under asynchronous scheduling the next step has begun by then."""
    worker = Worker(first=False, waits=True)
    first = worker.begin({"r": ([V, V + 1], 0)})
    worker.table.evict([0, 1])
    second = worker.begin({}, ["r"])
    assert stamps(second.get_output().num_nans_in_logits) == {"r": Statement((UNKNOWN,)).stamp}
    assert stamps(first.get_output().num_nans_in_logits) == {"r": Statement(("a",)).stamp}


def test_a_number_that_is_used_again_is_another_request() -> None:
    worker = Worker()
    worker.step({"r": ([V, V + 1], 1)})
    said = worker.step({"r": ([V + 4], 0)}, finished=["r"])
    assert stamps(said) == {"r": Statement(("b",)).stamp}


def test_a_preempted_request_comes_back_as_a_new_one_under_the_second_runner() -> None:
    worker = Worker(first=False)
    worker.step({"r": ([V, V + 1, 7], 1)})
    worker.step({"other": ([7], 0)})
    assert stamps(worker.step({"r": ([V, V + 1, 7], 1)}, ["other"]))["r"] == Statement(("a",), "x").stamp


def test_what_was_said_is_kept_for_a_while_and_not_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway.engine.inside.applied._KEPT", 2)
    worker = Worker()
    for number in range(5):
        worker.step({f"r{number}": ([V, V + 1], 1)}, finished=[f"r{number - 1}"])
    assert worker.record.of([f"r{number}" for number in range(6)]) == {f"r{number}": "a,lora:x" for number in (2, 3, 4)}


def test_a_runner_that_is_not_known_is_refused() -> None:
    runner = SimpleNamespace(execute_model=None, sample_tokens=None, input_batch=SimpleNamespace())
    loras: Any = Loras()
    with pytest.raises(UnknownRunner, match="SimpleNamespace"):
        AppliedRecord(runner, SoftTable(1, 1, V, torch.float32), loras)
