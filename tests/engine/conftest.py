"""Two real servers for the tier, the second started where it is asked for, and the model they are compared with."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import LlamaConfig, LlamaForCausalLM

from adapters.models.hardware import compute_dtype
from gateway.settings import Settings
from tests.engine import cuda_like
from tests.engine.service import Service, free_port


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    here = Path(__file__).parent
    for item in items:
        if here in item.path.parents:
            item.add_marker(pytest.mark.engine)


@pytest.fixture(scope="session")
def service() -> Iterator[Service]:
    """A running service without a worker; requests are put straight into its store."""
    data_dir = Path(tempfile.mkdtemp(prefix="ug-engine-"))
    settings = Settings(data_dir=data_dir, port=free_port(), worker=False, policy_staleness_s=30.0)
    running = Service(settings, data_dir / "serve.log", environment=cuda_like.environment(data_dir))
    try:
        running.start()
        yield running
    finally:
        running.stop()
        shutil.rmtree(data_dir, ignore_errors=True)


@pytest.fixture(autouse=True)
def nothing_active(service: Service) -> Iterator[None]:
    """Every test starts with no active request."""
    yield
    if service.process is None or service.process.poll() is not None:
        return
    for record in service.get("/forget?state=active").json()["data"]:
        service.post(f"/forget/{record['id']}/deactivate", {})


@pytest.fixture(scope="session")
def reference(service: Service) -> Any:
    """The served checkpoint in transformers, in the format it is served in, with its tokenizer: (model, tokenizer).

    Eager attention takes its softmax in float32, as the engine does; the fused kernel rounds differently by about as
    much as the tolerance of the parity tests.
    """
    from transformers import AutoModelForCausalLM, AutoTokenizer

    torch.set_num_threads(1)
    model = AutoModelForCausalLM.from_pretrained(
        service.checkpoint, dtype=compute_dtype(torch.bfloat16), attn_implementation="eager"
    ).eval()
    return model, AutoTokenizer.from_pretrained(service.checkpoint)


@pytest.fixture(scope="session")
def small_model(reference: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model of other width and depth over the same vocabulary, random weights."""
    target, tokenizer = reference
    torch.manual_seed(5)
    config = LlamaConfig(
        vocab_size=target.config.vocab_size,
        hidden_size=64,
        intermediate_size=128,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=1,
        max_position_embeddings=target.config.max_position_embeddings,
        initializer_range=0.2,
        tie_word_embeddings=False,
    )
    folder = tmp_path_factory.mktemp("small")
    LlamaForCausalLM(config).to(torch.bfloat16).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def separate(small_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """A second service, whose pair is a separate model, and whose target takes LoRAs."""
    folder = tmp_path_factory.mktemp("separate")
    settings = Settings(
        data_dir=folder,
        port=free_port(),
        worker=False,
        offset_model=str(small_model),
        offset_reference="own",
        methods="spul,delta,lora",
    )
    running = Service(settings, folder / "serve.log", environment=cuda_like.environment(folder))
    try:
        running.start()
        yield running
    finally:
        running.stop()
