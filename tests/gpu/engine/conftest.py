"""The engine tier's servers, started on the card as an operator would and with each way vLLM has of running a step."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pytest
import torch

from tests.engine.conftest import SEPARATE, nothing_active, reference, small_model
from tests.engine.service import Service, running

__all__ = ["nothing_active", "reference", "small_model"]

#: Few sizes to capture, so that a server is up in a minute.
GRAPHS = ("--compilation-config", '{"cudagraph_capture_sizes":[1,2,4,8,16,32,64,128,256,512]}')
#: Of the card, what lets several servers stand side by side.
SHARE = ("--max-model-len", "1024", "--gpu-memory-utilization", "0.15", "--kv-cache-memory-bytes", "2147483648")


@dataclass(frozen=True)
class Runner:
    """One way to run the engine."""

    arguments: tuple[str, ...]
    environment: tuple[tuple[str, str], ...] = ()

    @contextmanager
    def running(self, folder: Path, **settings: Any) -> Iterator[Service]:
        environment = dict(self.environment)
        with running(folder, environment=environment, engine_args=(*SHARE, *self.arguments), **settings) as service:
            yield service


RUNNERS = MappingProxyType(
    {
        "graphs": Runner(GRAPHS),
        "graphs-v1": Runner(GRAPHS, (("VLLM_USE_V2_MODEL_RUNNER", "0"),)),
        "eager": Runner(("--enforce-eager",)),
    }
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    here = Path(__file__).parent
    skip = pytest.mark.skip(reason="no CUDA device on this machine; `make test-gpu` runs these on one")
    for item in items:
        if here in item.path.parents:
            item.add_marker(pytest.mark.gpu)
            if not torch.cuda.is_available():
                item.add_marker(skip)


@pytest.fixture(scope="session", params=list(RUNNERS))
def runner(request: pytest.FixtureRequest) -> Runner:
    """How both servers run their steps."""
    return RUNNERS[request.param]


@pytest.fixture(scope="session")
def service(runner: Runner, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """The pair is the target's own first layers."""
    with runner.running(tmp_path_factory.mktemp("service")) as service:
        yield service


@pytest.fixture(scope="session")
def separate(runner: Runner, small_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """The pair is a separate model with an own reference, and the target takes LoRAs."""
    with runner.running(tmp_path_factory.mktemp("separate"), offset_model=str(small_model), **SEPARATE) as service:
        yield service
