"""A trainer whose time is up."""

from __future__ import annotations

import asyncio
import threading

import pytest

from adapters.artifact.artifact import FORMAT, Artifact, Manifest
from gateway.jobs import training
from gateway.jobs.failures import TrainerStuck, describe
from gateway.jobs.training import stopped_by

ARTIFACT = Artifact(Manifest(FORMAT, "toy", 4, 2, "float32", "0" * 64, {}, 0, "toy"), {})


class Trainer:
    """Runs until it is told to stop; a stubborn one until it is let go."""

    def __init__(self) -> None:
        self.stop, self.let_go, self.ended = threading.Event(), threading.Event(), threading.Event()

    def train(self, told: threading.Event) -> Artifact:
        told.wait(30)
        self.ended.set()
        return ARTIFACT

    async def overrun(self, told: threading.Event) -> None:
        async with asyncio.timeout(0.05):
            await stopped_by(self.stop, asyncio.to_thread(self.train, told))


async def test_the_next_one_begins_after_it_has_stopped() -> None:
    trainer = Trainer()
    with pytest.raises(TimeoutError):
        await trainer.overrun(trainer.stop)
    assert trainer.ended.is_set()


async def test_one_that_does_not_stop_leaves_no_room_for_another(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(training, "STOP_S", 0.05)
    trainer = Trainer()
    with pytest.raises(TrainerStuck) as stuck:
        await trainer.overrun(trainer.let_go)
    assert trainer.stop.is_set()
    assert not describe(stuck.value).retryable
    trainer.let_go.set()


async def test_one_in_time_is_left_alone() -> None:
    trainer = Trainer()
    told = threading.Event()
    told.set()
    assert await stopped_by(trainer.stop, asyncio.to_thread(trainer.train, told)) is ARTIFACT
    assert not trainer.stop.is_set()
