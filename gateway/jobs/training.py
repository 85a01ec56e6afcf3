"""The training of a request's candidates: one workbench for all of them, and the service to ask."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Coroutine
from functools import partial
from pathlib import Path
from typing import Any

from adapters.artifact.artifact import Artifact
from adapters.errors import InvalidItem
from adapters.models.workbench import Workbench
from adapters.progress import Progress
from adapters.registry import get_method, parse_config
from adapters.selection import Candidate
from adapters.task import Method, TrainingTask
from gateway.checkpoints.digests import CheckpointDigests
from gateway.client.attacks import Attacker
from gateway.client.client import PLAN_OFF, UnlearnClient
from gateway.jobs.attempt import Attempt
from gateway.jobs.checkpoint import checkpoint, local_pair
from gateway.jobs.failures import TrainerStuck
from gateway.jobs.inverter import inverter
from gateway.jobs.payload import Payload
from gateway.jobs.progress import ProgressWriter
from gateway.settings import Settings
from gateway.store.requests import RequestStore

#: How long a trainer may take to its next step, where it notices that it is to stop.
STOP_S = 60.0
#: Attacks that the service answers at once while it is learned from them.
_ATTACKS_AT_ONCE = 64


class Training:
    """Trains the candidates of one attempt, one after another, against a target that is loaded once."""

    def __init__(
        self, attempt: Attempt, store: RequestStore, client: UnlearnClient, settings: Settings, payload: Payload
    ) -> None:
        self._attempt = attempt
        self._store = store
        self._client = client
        self._settings = settings
        self._payload = payload
        self._digests = CheckpointDigests(settings.cache_dir)
        self._workbench: Workbench | None = None

    async def train(self, candidate: Candidate) -> Artifact:
        """Raises `CheckpointUnavailable`, `CheckpointMismatch`, and whatever the method's `train` raises."""
        method, config = get_method(candidate.method), parse_config(candidate.method, candidate.config)
        record, payload, settings = self._attempt.record, self._payload, self._settings
        phases = self._attempt.phases
        phases.begin("loading")
        workbench = await asyncio.to_thread(self._prepared, record.model_digest)
        pair = None
        if method.footprint(config).offset_rank and record.pair is not None:
            pair = await asyncio.to_thread(local_pair, record.pair, settings, self._digests)
        overdue = threading.Event()
        writer = ProgressWriter(self._store, record.id, self._attempt.number)

        def report(progress: Progress) -> None:
            phases.begin(progress.phase)
            writer.report(progress)

        with inverter(settings) as inverter_ask:
            task = TrainingTask(
                model_path=workbench.model_path,
                forget=payload.forget,
                retain=payload.retain,
                inverted=payload.inverted,
                config=config,
                report=report,
                cancelled=lambda: overdue.is_set() or self._attempt.cancelled.is_set(),
                ask=partial(self._client.answers, plan=PLAN_OFF),
                go_on=partial(self._client.go_on, plan=PLAN_OFF),
                respond=Attacker(self._client, PLAN_OFF, _ATTACKS_AT_ONCE).respond,
                pair=pair,
                inverter=inverter_ask,
                model_digest=record.model_digest,
                language=record.language,
            )
            workbench.keeps_target = candidate != record.candidates[-1]
            try:
                async with writer.running():
                    return await stopped_by(overdue, asyncio.to_thread(_learned, workbench, method, task))
            except InvalidItem as error:
                raise error.renumbered(payload.items[error.name]) from None
            finally:
                phases.end()

    def _prepared(self, expect_digest: str) -> Workbench:
        """The workbench, set up on first use. May read every weight."""
        if self._workbench is None:
            folder: Path = checkpoint(self._settings, expect_digest, self._digests)
            self._workbench = Workbench(folder, self._settings.worker_device)
        return self._workbench


def _learned(workbench: Workbench, method: Method, task: TrainingTask) -> Artifact:
    if getattr(task.config, "rounds", 0):
        from adapters.training.red_team import RedTeamed  # imports torch, as a method does when it trains

        method = RedTeamed(method)
    return workbench.train(method, task)


async def stopped_by(overdue: threading.Event, work: Coroutine[Any, Any, Artifact]) -> Artifact:
    """The work of a thread, which a cancellation tells to stop and waits for. Raises `TrainerStuck`."""
    training = asyncio.ensure_future(work)
    try:
        return await asyncio.shield(training)
    except asyncio.CancelledError:
        overdue.set()
        _, running = await asyncio.wait({training}, timeout=STOP_S)
        if running:
            raise TrainerStuck(f"the trainer did not stop within {STOP_S:.0f} s") from None
        training.exception()  # that it was cancelled
        raise
