"""Two real servers for the tier, each started where it is asked for, and the model they are compared with."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pytest
import torch

from adapters.models.hardware import compute_dtype
from gateway.checkpoints.default_model import prepare
from gateway.settings import Settings
from tests.engine import broken_decode, cuda_like, disloyal_worker
from tests.engine.pairs import save_random
from tests.engine.plugin import plugin_environment
from tests.engine.service import Service, running

#: Settings of a service whose pair is a separate model with halves on both, and whose target takes LoRAs.
SEPARATE: Mapping[str, Any] = MappingProxyType({"offset_reference": "own", "methods": "spul,delta,lora"})


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    here = Path(__file__).parent
    for item in items:
        if here in item.path.parents:
            item.add_marker(pytest.mark.engine)


@pytest.fixture(scope="session")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """A running service; requests are put straight into its store."""
    folder = tmp_path_factory.mktemp("service")
    modules = (cuda_like, broken_decode, disloyal_worker)
    switches = {module.SWITCH: str(folder / module.SWITCH) for module in (broken_decode, disloyal_worker)}
    environment = {**plugin_environment(folder, *(module.__name__ for module in modules)), **switches}
    (folder / "tmp").mkdir()  # where `left_behind` looks for temporary files
    environment["TMPDIR"] = str(folder / "tmp")
    with running(folder, environment=environment, policy_staleness_s=30.0) as service:
        yield service


@pytest.fixture(autouse=True)
def nothing_active(request: pytest.FixtureRequest) -> Iterator[None]:
    """Every test leaves its services without an active request."""
    names = [name for name in ("service", "separate") if name in request.fixturenames]
    services: list[Service] = [request.getfixturevalue(name) for name in names]
    yield
    for service in services:
        service.deactivate_all()


@pytest.fixture(scope="session")
def checkpoint() -> Path:
    """The default model, which the services serve."""
    return prepare(Settings().cache_dir)


@pytest.fixture(scope="session")
def reference(checkpoint: Path) -> Any:
    """The served checkpoint in transformers, in the format it is served in, with its tokenizer: (model, tokenizer).

    Eager attention takes its softmax in float32, as the engine does; the fused kernel rounds differently by about as
    much as the tolerance of the parity tests.
    """
    from transformers import AutoModelForCausalLM, AutoTokenizer

    torch.set_num_threads(1)
    model = AutoModelForCausalLM.from_pretrained(
        checkpoint, dtype=compute_dtype(torch.bfloat16), attn_implementation="eager"
    ).eval()
    return model, AutoTokenizer.from_pretrained(checkpoint)


@pytest.fixture(scope="session")
def small_model(reference: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model of other width and depth over the same vocabulary, random weights."""
    target, tokenizer = reference
    folder = tmp_path_factory.mktemp("small")
    return save_random(
        folder,
        tokenizer,
        dtype=torch.bfloat16,
        vocab_size=target.config.vocab_size,
        hidden_size=64,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=1,
    )


@pytest.fixture(scope="session")
def separate(small_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """A second service, whose pair is a separate model, and whose target takes LoRAs."""
    folder = tmp_path_factory.mktemp("separate")
    environment = plugin_environment(folder, cuda_like.__name__)
    with running(folder, environment=environment, offset_model=str(small_model), **SEPARATE) as service:
        yield service
