"""A few thousand steps; `make property` goes on for as long as it is told to."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, Phase, settings

from gateway.store.embedded import EmbeddedRedis
from tests.unit.gateway.stateful.grounds import Grounds
from tests.unit.gateway.stateful.machine import Stage


@pytest.fixture
def stage(short_path: Path) -> Iterator[Stage]:
    with EmbeddedRedis(short_path / "histories") as server:
        stage = Stage(Grounds(server, short_path))
        yield stage
        stage.close()


def test_an_answer_has_the_adapters_that_are_in_force_or_is_refused(stage: Stage) -> None:
    """The same histories every time: no change fails for what another drew."""
    stage.play(
        settings(
            max_examples=20,
            stateful_step_count=60,
            derandomize=True,
            phases=[Phase.generate, Phase.shrink],
            database=None,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )
    assert stage.steps.total() > 500
    assert stage.answers["ask 200"] > 50
