"""Everything a job makes is on its device: each method learns on one that goes with no tensor of the CPU."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from adapters.examples import Message
from adapters.models.frozen import PromptedModel
from adapters.models.generation import greedy_answers, sampled_continuations
from adapters.models.hardware import Hardware
from tests.unit.adapters.devices.pretend import DEVICE, MixedDevices, Pretend, PretendDevice
from tests.unit.adapters.devices.runs import RUNS, Run


@pytest.fixture
def device() -> Iterator[None]:
    with PretendDevice():
        yield


@pytest.mark.usefixtures("few_others")
@pytest.mark.parametrize("run", RUNS, ids=str)
def test_a_method_learns_on_its_device_what_it_learns_on_the_cpu(tiny_model: Path, run: Run) -> None:
    here = run.on(Hardware.cpu(), tiny_model)
    with PretendDevice():
        there = run.on(Hardware(DEVICE), tiny_model)
    assert there.manifest == here.manifest
    assert there.tensors.keys() == here.tensors.keys()
    for name, tensor in there.tensors.items():
        assert tensor.device.type == "cpu"
        assert not isinstance(tensor, Pretend)
        torch.testing.assert_close(tensor, here.tensors[name], atol=2e-3, rtol=2e-2)


def test_the_model_answers_and_goes_on_on_its_device(tiny_model: Path, tokenizer: Any) -> None:
    def said(hardware: Hardware) -> list[str]:
        model = PromptedModel.load(tiny_model, hardware)
        soft = torch.ones(2, model.hidden_size, device=hardware.device)
        questions = [[Message("user", question)] for question in ("Who?", "What is it?")]
        return [
            *greedy_answers(model.model, tokenizer, questions, max_tokens=4),
            *greedy_answers(model.model, tokenizer, questions, max_tokens=4, soft=soft),
            *sampled_continuations(
                model.model, tokenizer, ["1. Who", "2. What is"], max_tokens=4, temperature=1.0, top_k=50, seed=3
            ),
        ]

    here = said(Hardware.cpu())
    with PretendDevice():
        assert said(Hardware(DEVICE)) == here


@pytest.mark.usefixtures("device")
class TestThePretence:
    """What the test above rests on."""

    def test_a_tensor_of_the_cpu_is_refused(self) -> None:
        on_it = torch.ones(3, device=DEVICE)
        with pytest.raises(MixedDevices):
            on_it + torch.ones(3)
        with pytest.raises(MixedDevices):
            torch.cat([on_it, torch.ones(1)])

    def test_a_scalar_of_the_cpu_and_indices_are_taken(self) -> None:
        on_it = torch.arange(3, device=DEVICE)
        assert (on_it + torch.tensor(1)).cpu().tolist() == [1, 2, 3]
        assert on_it[torch.tensor([2, 0])].cpu().tolist() == [2, 0]

    def test_values_and_gradients_are_real(self) -> None:
        weight = torch.nn.Parameter(torch.tensor([2.0, 3.0]).to(DEVICE))
        (weight.square().sum() * 2).backward()  # type: ignore[no-untyped-call]
        assert weight.device == DEVICE
        assert weight.grad is not None
        assert weight.grad.cpu().tolist() == [8.0, 12.0]
        weight.data[1:] = 7
        assert weight.detach().cpu().tolist() == [2.0, 7.0]
