"""The engine tier's servers, started on the card as an operator would and with each way vLLM has of running a step."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pytest
import torch

from gateway.settings import Settings
from tests.engine.conftest import nothing_active, reference, small_model
from tests.engine.service import Service, free_port

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


def _running(runner: Runner, **settings: Any) -> Iterator[Service]:
    folder = Path(tempfile.mkdtemp(prefix="ug-gpu-"))
    running = Service(
        Settings(data_dir=folder, port=free_port(), worker=False, **settings),
        folder / "serve.log",
        engine_args=(*SHARE, *runner.arguments),
        environment=dict(runner.environment),
    )
    try:
        running.start()
        yield running
    finally:
        running.stop()


@pytest.fixture(scope="session", params=list(RUNNERS))
def runner(request: pytest.FixtureRequest) -> Runner:
    """How both servers run their steps."""
    return RUNNERS[request.param]


@pytest.fixture(scope="session")
def service(runner: Runner) -> Iterator[Service]:
    """The pair is the target's own first layers."""
    yield from _running(runner)


@pytest.fixture(scope="session")
def separate(runner: Runner, small_model: Path) -> Iterator[Service]:
    """The pair is a separate model with an own reference, and the target takes LoRAs."""
    yield from _running(runner, offset_model=str(small_model), offset_reference="own", methods="spul,delta,lora")
