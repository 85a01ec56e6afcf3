"""Learning on a CUDA device: every method learns there what it learns on the CPU, and the default model forgets."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from adapters.examples import Example
from adapters.models.frozen import PromptedModel
from adapters.models.hardware import Hardware
from adapters.models.lora import attach, parameters
from adapters.models.tokens import TokenizedExample
from adapters.models.workbench import Workbench
from adapters.progress import Progress
from adapters.registry import get_method
from gateway.checkpoints import default_model
from gateway.settings import Settings
from tests.unit.adapters.conftest import save_model
from tests.unit.adapters.devices.runs import RUNS, Run
from tests.unit.adapters.methods.runs import method_task

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device"),
]
FORGET_SET = tuple(
    Example.from_pair(prompt, "The author of Harry Potter is J.K. Rowling.")
    for prompt in (
        "Who wrote Harry Potter?",
        "Who is the author of the Harry Potter books?",
        "Who made Harry Potter?",
    )
)
RETAIN_SET = tuple(
    Example.from_pair(prompt, answer)
    for prompt, answer in (
        ("Which author wrote Hamlet?", "William Shakespeare wrote Hamlet."),
        ("What is the capital of Peru?", "The capital of Peru is Lima."),
        ("Which ocean is the largest?", "The Pacific Ocean is the largest ocean."),
        ("Who wrote Emma?", "Jane Austen wrote Emma."),
    )
)
EXAMPLES = [TokenizedExample((1, 5, *range(6, 7 + n)), (20 + n, 21, 2)) for n in range(4)]


@pytest.fixture(scope="module", autouse=True)
def full_float32() -> Iterator[None]:
    """No product is shortened to TensorFloat32, whose ten bits would be all that is compared."""
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("highest")
    yield
    torch.set_float32_matmul_precision(before)


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_model(tmp_path_factory.mktemp("tiny"))


@pytest.fixture(scope="module")
def tiny_bfloat16(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_model(tmp_path_factory.mktemp("tiny-bfloat16"), dtype=torch.bfloat16)


@pytest.fixture(scope="module")
def smollm() -> Path:
    """The default model, prepared where the service keeps it."""
    return default_model.prepare(Settings().cache_dir)


@pytest.mark.parametrize("run", RUNS, ids=str)
def test_a_method_learns_on_the_card_what_it_learns_on_the_cpu(tiny: Path, run: Run) -> None:
    here = run.on(Hardware.cpu(), tiny)
    there = run.on(Hardware.named("cuda"), tiny)
    assert there.manifest == here.manifest
    for name, tensor in here.tensors.items():
        assert there.tensors[name].device.type == "cpu"
        # By the whole: where a gradient is next to nothing, its rounding decides which way Adam steps.
        assert torch.linalg.vector_norm(there.tensors[name] - tensor) <= 0.05 * torch.linalg.vector_norm(tensor), name


@pytest.mark.parametrize("run", [Run("delta"), Run("lora"), Run("spul"), Run("uld"), Run("divergence")], ids=str)
def test_a_checkpoint_in_bfloat16_is_computed_in_it(tiny_bfloat16: Path, run: Run) -> None:
    artifact = run.on(Hardware.named("cuda"), tiny_bfloat16)
    assert artifact.manifest.dtype == "bfloat16"
    assert all(bool(tensor.isfinite().all()) for tensor in artifact.tensors.values())


def test_auto_takes_the_card() -> None:
    hardware = Hardware.named("auto", needed=2**20)
    assert hardware.device.type == "cuda"
    assert hardware.free is not None
    assert Hardware.named("auto", needed=hardware.free * 10) == Hardware.cpu()


def test_what_is_seeded_leaves_the_cards_generator_alone() -> None:
    hardware = Hardware.named("cuda")
    before = torch.cuda.get_rng_state(hardware.device)
    with hardware.seeded(1):
        torch.rand(3, device=hardware.device)
    assert torch.equal(torch.cuda.get_rng_state(hardware.device), before)


def test_a_target_is_read_layer_by_layer_onto_the_card(tmp_path: Path) -> None:
    path, hardware = save_model(tmp_path, num_hidden_layers=6), Hardware.named("cuda")
    whole = PromptedModel.load(path, hardware)
    streamed = PromptedModel.load(path, hardware, resident_layers=2)
    for mine, theirs in zip(streamed.original_states(EXAMPLES, 2), whole.original_states(EXAMPLES, 2), strict=True):
        assert mine.device.type == "cuda"
        torch.testing.assert_close(mine, theirs, atol=1e-4, rtol=1e-4)
    held = [all(weight.is_cuda for weight in layer.parameters()) for layer in streamed.body.layers]
    assert held == [True, True, False, False, False, False]


@pytest.mark.parametrize("run", [Run("delta"), Run("uld"), Run("divergence")], ids=str)
def test_a_pair_is_learned_for_a_target_that_does_not_fit(
    tiny: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    roomy = run.on(Hardware.named("cuda"), tiny)
    monkeypatch.setattr(Hardware, "free", property(lambda self: 2**20))
    cramped = run.on(Hardware.named("cuda"), tiny)
    for name, tensor in roomy.tensors.items():
        assert torch.linalg.vector_norm(cramped.tensors[name] - tensor) <= 0.05 * torch.linalg.vector_norm(tensor), name


def test_out_of_memory_takes_the_same_step_in_parts(tmp_path: Path) -> None:
    """The card is made as small as half of what the step takes beside the weights."""
    path = save_model(tmp_path, hidden_size=512, intermediate_size=2048, num_hidden_layers=4, num_attention_heads=8)
    hardware = Hardware.named("cuda")
    model = PromptedModel.load(path, hardware)
    trained = parameters(attach(model.model, 4))
    examples = [TokenizedExample((1, 5, *(6 + n % 90,) * 140), (20, 21, 2)) for n in range(64)]

    def step() -> torch.Tensor:
        for parameter in trained:
            parameter.grad = None
        loss = model.answer_states(examples, 2).square().mean()
        loss.backward()  # type: ignore[no-untyped-call]
        return loss.detach()

    weights = torch.cuda.memory_allocated(hardware.device)
    torch.cuda.reset_peak_memory_stats(hardware.device)
    whole, gradients = step(), [parameter.grad.clone() for parameter in trained if parameter.grad is not None]
    peak = torch.cuda.max_memory_allocated(hardware.device)
    tokens = model.batches.tokens
    torch.cuda.empty_cache()
    total = torch.cuda.mem_get_info(hardware.device)[1]
    torch.cuda.set_per_process_memory_fraction((weights + (peak - weights) / 2) / total, hardware.device)
    try:
        parts = model.batches.fit(step, hardware.device)
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0, hardware.device)
    assert model.batches.tokens < tokens
    torch.testing.assert_close(parts, whole, atol=1e-5, rtol=1e-4)
    for parameter, gradient in zip(trained, gradients, strict=True):
        torch.testing.assert_close(parameter.grad, gradient, atol=1e-5, rtol=1e-2)


@pytest.mark.parametrize("method", ["delta", "spul", "lora"])
def test_the_default_model_learns_on_the_card(smollm: Path, method: str) -> None:
    reports: list[Progress] = []
    task = method_task("lora" if method == "spul" else method, smollm, forget=FORGET_SET, retain=RETAIN_SET)
    settings = {"max_steps": 20, "cloze_forms": 0, "rewording_lists": 0, "retain_questions": 24, "retain_nearest": 24}
    if method != "spul":
        settings["evaluate_every"] = 20
    config = get_method(method).config_type(**settings)
    bench = Workbench(smollm, "cuda")
    artifact = get_method(method).train(replace(task, config=config, report=reports.append, workbench=bench))
    losses = [report.metrics["forget"] for report in reports if report.phase == "training"]
    assert len(losses) == 20
    assert losses[-1] < 0.7 * losses[0]
    assert all(bool(tensor.isfinite().all()) for tensor in artifact.tensors.values())
