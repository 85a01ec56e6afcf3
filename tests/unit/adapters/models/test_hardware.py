"""What is computed on and in: a function of what was asked for, of the machine and of the checkpoint's format; the
machine is made up here."""

from __future__ import annotations

import pytest
import torch

from adapters.errors import HardwareUnavailable
from adapters.models.hardware import Hardware, compute_dtype

NONE = {"avx2": True, "avx512_f": True, "avx512_bf16": False, "amx_bf16": False, "num_physical_cores": 2}


def machine(monkeypatch: pytest.MonkeyPatch, *, cuda: bool = False, **capabilities: bool) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: cuda)
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {**NONE, **capabilities})


def test_bfloat16_becomes_float32_where_the_processor_lacks_it(monkeypatch: pytest.MonkeyPatch) -> None:
    machine(monkeypatch)
    assert compute_dtype(torch.bfloat16) is torch.float32


@pytest.mark.parametrize("capability", ["avx512_bf16", "amx_bf16", "bf16"])
def test_bfloat16_stays_where_the_processor_has_it(monkeypatch: pytest.MonkeyPatch, capability: str) -> None:
    machine(monkeypatch, **{capability: True})
    assert compute_dtype(torch.bfloat16) is torch.bfloat16


def test_bfloat16_stays_on_a_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    machine(monkeypatch, cuda=True)
    assert Hardware(torch.device("cuda", 0)).compute_dtype(torch.bfloat16) is torch.bfloat16


def test_a_gpu_beside_the_processor_says_nothing_of_it(monkeypatch: pytest.MonkeyPatch) -> None:
    machine(monkeypatch, cuda=True)
    assert Hardware.cpu().compute_dtype(torch.bfloat16) is torch.float32


@pytest.mark.parametrize("stored", [torch.float32, torch.float16])
def test_other_formats_stay_as_they_are(monkeypatch: pytest.MonkeyPatch, stored: torch.dtype) -> None:
    machine(monkeypatch)
    assert compute_dtype(stored) is stored


def test_torch_says_of_this_processor_whether_it_has_bfloat16() -> None:
    """The names that are looked for are names torch knows."""
    assert any("bf16" in name for name in torch.cpu.get_capabilities())


class TestDevices:
    """A machine with two cards of which 10 GB are free, or with none."""

    @pytest.fixture
    def two_cards(self, monkeypatch: pytest.MonkeyPatch) -> None:
        machine(monkeypatch, cuda=True)
        monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
        monkeypatch.setattr(torch.cuda, "current_device", lambda: 0)
        monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (10_000_000_000, 80_000_000_000))

    @pytest.fixture
    def no_card(self, monkeypatch: pytest.MonkeyPatch) -> None:
        machine(monkeypatch)

    @pytest.mark.parametrize(
        ("name", "device"), [("auto", "cuda:0"), ("cuda", "cuda:0"), ("cuda:1", "cuda:1"), ("cpu", "cpu")]
    )
    @pytest.mark.usefixtures("two_cards")
    def test_by_name(self, name: str, device: str) -> None:
        hardware = Hardware.named(name, needed=9_000_000_000)
        assert hardware == Hardware(torch.device(device))
        assert hardware.is_accelerator == (device != "cpu")
        assert (hardware.free == 10_000_000_000) == hardware.is_accelerator

    @pytest.mark.usefixtures("two_cards")
    def test_auto_leaves_a_card_alone_that_has_no_room(self) -> None:
        assert Hardware.named("auto", needed=11_000_000_000) == Hardware.cpu()

    @pytest.mark.usefixtures("no_card")
    def test_auto_is_the_processor_where_there_is_no_card(self) -> None:
        assert Hardware.named("auto") == Hardware.cpu()

    @pytest.mark.usefixtures("two_cards")
    def test_a_card_that_is_not_there(self) -> None:
        with pytest.raises(HardwareUnavailable, match="cuda:2 is asked for, and torch sees 2 CUDA devices"):
            Hardware.named("cuda:2")

    @pytest.mark.usefixtures("no_card")
    def test_a_card_where_there_is_none(self) -> None:
        with pytest.raises(HardwareUnavailable, match="torch sees 0 CUDA devices"):
            Hardware.named("cuda")

    @pytest.mark.parametrize("name", ["gpu", "cuda:", "cuda:x", "CUDA", "", "cpu:0", "cuda:1 "])
    def test_a_name_that_is_none(self, name: str) -> None:
        with pytest.raises(ValueError, match="no device is called"):
            Hardware.named(name)


def test_a_seed_decides_inside_and_leaves_no_trace_outside() -> None:
    hardware = Hardware.cpu()
    with hardware.seeded(1):
        untouched = torch.rand(1)
    outside = torch.random.get_rng_state()
    with hardware.seeded(1):
        assert torch.equal(torch.rand(1), untouched)
    assert torch.equal(torch.random.get_rng_state(), outside)
    assert torch.equal(
        *(torch.rand(3, generator=hardware.generator(5)) for _ in range(2)),
    )


def test_the_memory_of_this_machine_is_known() -> None:
    free = Hardware.cpu().free
    assert free is not None
    assert 2**20 < free < 2**50
