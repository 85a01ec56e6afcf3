"""The red team: attacks on what was learned, out of the bank for training, whose leaks are learnt from in turn."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from adapters.artifact.artifact import Artifact
from adapters.errors import TrainingDiverged
from adapters.evaluation.attacks.asking import attack_context
from adapters.evaluation.attacks.context import Bank
from adapters.evaluation.attacks.probe import Probe, Reading, Respond
from adapters.evaluation.attacks.run import Result, run
from adapters.evaluation.attacks.suite import probes
from adapters.evaluation.responder import Responder
from adapters.evaluation.served import ServedModel
from adapters.models.original import OriginalModel
from adapters.models.workbench import Workbench
from adapters.progress import Progress
from adapters.task import Method, TrainingTask

log = logging.getLogger(__name__)

PHASE = "attacking"
#: Attacks answered at once, between which a run can be cancelled.
_AT_ONCE = 64

Attack = Callable[[TrainingTask, Workbench, Artifact, int], list[Result]]
"""(task, bench, artifact, number of the round) → what still comes out."""


class RedTeamed:
    """A method that is trained in rounds: what still comes out of what it learned is what it learns next."""

    def __init__(self, method: Method, attack: Attack | None = None) -> None:
        """attack: what still comes out of an artifact; None: `leaks`, in this process, which takes a target that is
        loaded whole."""
        self._method = method
        self._attack = attack

    def __getattr__(self, name: str) -> Any:
        return getattr(self._method, name)

    def train(self, task: TrainingTask) -> Artifact:
        """What the method learns, after up to `rounds` more rounds: fewer where nothing leaks any more.

        A round after which more leaks than before, or that diverges, is taken back. Raises what the method's `train`
        raises in its first. Without rounds where the target does not fit the device, for nothing could be asked of it.
        """
        rounds = getattr(task.config, "rounds", 0)
        if not rounds:
            return self._method.train(task)
        bench = Workbench.of(task)
        task = replace(task, workbench=bench)
        if self._attack is None and bench.target.is_streamed:
            log.warning("no rounds of attacks: the model does not fit %s", bench.hardware.device)
            task.report(Progress(PHASE, 0, 0))
            return self._method.train(task)
        attack = self._attack or leaks
        keeps, bench.keeps_target = bench.keeps_target, True
        best = self._method.train(task)
        config = replace(task.config, max_steps=task.config.round_steps, rounds=0)
        found = attack(task, bench, best, 1)
        learnt: list[Result] = []
        for number in range(1, rounds + 1):
            if not found:
                break
            bench.keeps_target = keeps or number < rounds
            learnt += found
            try:
                tried = self._method.train(replace(task, config=config, start=best, leaks=tuple(learnt)))
            except TrainingDiverged:
                break
            remaining = attack(task, bench, tried, number + 1) if number < rounds else []
            if len(remaining) > len(found):
                break
            best, found = tried, remaining
        return best


def leaks(task: TrainingTask, bench: Workbench, artifact: Artifact, number: int) -> list[Result]:
    """What comes out of the artifact in this round, whose attacks are others than those of any round before."""
    original = OriginalModel(task, bench, bench.target)
    context = attack_context(
        task.forget, task.phrasebook, original.answers, bank=Bank.TRAINING, seed=task.config.seed + number
    )
    asked = [
        probe
        for probe in probes(context, per_family=task.config.round_attacks)
        if probe.reading is Reading.TEXT and not probe.query.temperature
    ]
    respond = Responder(ServedModel(bench.target, artifact, task.pair), bench.tokenizer).respond
    return [result for result in _answered(task, asked, respond, number) if result.leaks]


def _answered(task: TrainingTask, asked: Sequence[Probe], respond: Respond, number: int) -> list[Result]:
    found: list[Result] = []
    for start in range(0, len(asked), _AT_ONCE):
        task.check_cancelled()
        task.report(Progress(PHASE, start, len(asked), metrics={"round": number, "leaks": _count(found)}))
        found += run(asked[start : start + _AT_ONCE], respond, None)
    task.report(Progress(PHASE, len(asked), len(asked), metrics={"round": number, "leaks": _count(found)}))
    return found


def _count(results: Sequence[Result]) -> int:
    return sum(result.leaks for result in results)
