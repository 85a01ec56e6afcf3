"""A step in several parts is the step as a whole, and what runs out of memory is done again in smaller parts."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import torch

from adapters.artifact.spec import PairSpec
from adapters.errors import OutOfMemory
from adapters.models.frozen import Batch, PromptedModel
from adapters.models.hardware import Hardware
from adapters.models.lora import LoraLinear, attach, changes, parameters
from adapters.models.micro_batches import MicroBatches
from adapters.models.tokens import TokenizedExample
from adapters.models.workbench import Workbench
from adapters.objectives.base import FORGET, INVERTED, REFUSAL, RETAIN, Objective, drawn_penalty
from adapters.objectives.registry import objectives
from adapters.registry import get_method
from adapters.training.pair import TrainablePair
from adapters.training.target import TrainableTarget
from adapters.training.views import TargetViews
from tests.unit.adapters.conftest import randomise
from tests.unit.adapters.devices.runs import Run

CPU = torch.device("cpu")
SHARED = 2
ONE = (
    TokenizedExample((1, 5, 6, 7), (8, 9, 2), (0,)),
    TokenizedExample((1, 5, 9, 10, 11, 12, 13), (14, 15, 16, 17, 2), (1, 2)),
    TokenizedExample((1, 5, 9, 20), (21, 2), (0,)),
)
TWO = tuple(TokenizedExample(example.prompt_ids, (30 + index, 31, 32, 2)) for index, example in enumerate(ONE))
KEPT = tuple(TokenizedExample((1, 5, *range(40, 41 + n)), (50 + n, *range(60, 60 + n), 2)) for n in range(5))
GROUPS = {FORGET: list(ONE), REFUSAL: list(TWO), INVERTED: list(TWO), RETAIN: list(KEPT)}
EVERYTHING = [*ONE, *TWO, *KEPT]
#: Tokens of a part: one example at a time; a few; a few more.
SIZES = (1, 20, 30)

Gradients = list[torch.Tensor]


class TestCut:
    def test_all_at_once_in_their_order_where_they_fit(self) -> None:
        assert MicroBatches(30).cut([10, 3, 7]) == [[0, 1, 2]]

    def test_by_length_and_padding_counts(self) -> None:
        assert MicroBatches(29).cut([10, 3, 7]) == [[1, 2], [0]]
        assert MicroBatches(12).cut([3, 9, 3, 3, 4]) == [[0, 2, 3], [4], [1]]

    def test_one_that_is_longer_than_a_part_is_a_part(self) -> None:
        assert MicroBatches(5).cut([9, 2, 8]) == [[1], [2], [0]]


class Counted(PromptedModel):
    """Counts its passes with gradients, and the tokens of the largest."""

    passes = 0
    largest = 0

    def states(self, batch: Batch, soft: torch.Tensor | None) -> torch.Tensor:
        if torch.is_grad_enabled():
            self.passes += 1
            self.largest = max(self.largest, batch.inputs.numel())
        return super().states(batch, soft)


def _delta(model: PromptedModel, objective: Objective) -> tuple[torch.Tensor, Gradients]:
    """Loss and gradients of a step of the pair, neutrality and a penalty on the weights included."""
    pair = TrainablePair(model, PairSpec(1), 3)
    pair.remember(EVERYTHING, SHARED)
    randomise(pair.lora, scale=0.1)
    views = pair.views(GROUPS, SHARED, 1.0, 3.0)
    losses = drawn_penalty(objective, changes(pair.lora), Hardware.cpu().generator(0))(objective.loss(views))
    taught = torch.cat([views[REFUSAL].targets, views[FORGET].targets])
    return _gradients(losses.total + 0.5 * views[RETAIN].shift(taught), pair.lora)


def _lora(model: PromptedModel, objective: Objective) -> tuple[torch.Tensor, Gradients]:
    target = TrainableTarget(model, 3, EVERYTHING, SHARED)
    randomise(target.lora, scale=0.1)
    return _gradients(objective.loss(target.views(GROUPS, 3.0)).total, target.lora)


def _spul(model: PromptedModel, objective: Objective) -> tuple[torch.Tensor, Gradients]:
    soft = torch.randn(2, model.hidden_size, generator=Hardware.cpu().generator(0)).requires_grad_()
    loss = objective.loss(TargetViews(model, EVERYTHING, SHARED).of(GROUPS, 3.0, soft)).total
    loss.backward()  # type: ignore[no-untyped-call]
    assert soft.grad is not None
    return loss.detach(), [soft.grad]


def _gradients(loss: torch.Tensor, lora: Mapping[str, LoraLinear]) -> tuple[torch.Tensor, Gradients]:
    loss.backward()  # type: ignore[no-untyped-call]
    gradients = [parameter.grad for parameter in parameters(lora)]
    return loss.detach(), [gradient.clone() for gradient in gradients if gradient is not None]


@pytest.mark.parametrize("tokens", SIZES)
@pytest.mark.parametrize("step", [_delta, _lora, _spul])
@pytest.mark.parametrize("name", sorted(objectives()))
def test_parts_have_the_loss_and_the_gradient_of_the_whole(
    tiny_model: Path, name: str, step: Callable[..., tuple[torch.Tensor, Gradients]], tokens: int
) -> None:
    made: Any = objectives()[name]
    objective: Objective = made()
    loss, gradients = step(PromptedModel.load(tiny_model), objective)
    parts, in_parts = step(PromptedModel.load(tiny_model, batches=MicroBatches(tokens)), objective)
    torch.testing.assert_close(parts, loss, atol=1e-6, rtol=1e-5)
    assert len(gradients) == len(in_parts) > 0
    for mine, whole in zip(in_parts, gradients, strict=True):
        torch.testing.assert_close(mine, whole, atol=2e-6, rtol=1e-4)


def test_no_part_is_larger_than_asked_for(tiny_model: Path) -> None:
    plain = PromptedModel.load(tiny_model)
    model = Counted(plain.model, batches=MicroBatches(20))
    attach(model.model, 2)
    model.answer_states(EVERYTHING, SHARED).sum().backward()  # type: ignore[no-untyped-call]
    assert model.largest <= 20
    parts = len(MicroBatches(20).cut([len(example) - SHARED for example in EVERYTHING]))
    assert model.passes == 2 * parts > 2, "each is run again when its gradient comes back"


def test_layers_that_are_computed_again_give_the_same(tiny_model: Path) -> None:
    def step(*, again: bool) -> tuple[torch.Tensor, torch.Tensor, Gradients]:
        model = PromptedModel.load(tiny_model)
        lora = attach(model.model, 3)
        randomise(lora, scale=0.1)
        if again:
            model.recompute_layers()
        soft = torch.ones(2, model.hidden_size, requires_grad=True)
        states = model.answer_states(EVERYTHING, SHARED, soft)
        states.square().sum().backward()  # type: ignore[no-untyped-call]
        assert soft.grad is not None
        gradients = [parameter.grad for parameter in parameters(lora)]
        return states.detach(), soft.grad, [gradient for gradient in gradients if gradient is not None]

    (states, soft, lora), (states_again, soft_again, lora_again) = step(again=False), step(again=True)
    torch.testing.assert_close(states_again, states, atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(soft_again, soft, atol=1e-3, rtol=1e-4)
    for mine, theirs in zip(lora_again, lora, strict=True):
        torch.testing.assert_close(mine, theirs, atol=1e-3, rtol=1e-4)


def test_layers_that_may_be_computed_again_read_the_same_without_gradients(tiny_model: Path) -> None:
    """Scoring, while a target is trained through: nothing of the prefix is lost on the way."""
    model = PromptedModel.load(tiny_model)
    with torch.no_grad():
        plain = model.answer_states(EVERYTHING, SHARED)
        model.recompute_layers()
        again = model.answer_states(EVERYTHING, SHARED)
        model.keep_layers()
        assert torch.equal(model.answer_states(EVERYTHING, SHARED), plain)
    torch.testing.assert_close(again, plain, atol=1e-5, rtol=1e-4)


def test_layers_that_are_computed_again_keep_less(tiny_model: Path) -> None:
    """Counted: what autograd saves for the way back."""

    def saved(*, again: bool) -> int:
        model = PromptedModel.load(tiny_model)
        attach(model.model, 3)
        if again:
            model.recompute_layers()
        kept = 0

        def pack(tensor: torch.Tensor) -> torch.Tensor:
            nonlocal kept
            kept += tensor.numel()
            return tensor

        with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
            model.answer_states(EVERYTHING, 0)
        return kept

    assert saved(again=True) < 0.2 * saved(again=False)


def test_layers_are_computed_again_before_it_gives_up(tiny_model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where gradients cross the whole target: a memory that takes no pass with gradients unless its layers are."""
    states, refused = PromptedModel.states, 0

    def cramped(model: PromptedModel, batch: Batch, soft: torch.Tensor | None) -> torch.Tensor:
        nonlocal refused
        if torch.is_grad_enabled() and not model._recomputes:
            refused += 1
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")
        return states(model, batch, soft)

    run = Run("lora")
    roomy = run.on(Hardware.cpu(), tiny_model)
    monkeypatch.setattr(PromptedModel, "states", cramped)
    cramped_run = run.on(Hardware.cpu(), tiny_model)
    assert refused > 1
    for name, tensor in roomy.tensors.items():
        torch.testing.assert_close(cramped_run.tensors[name], tensor, atol=2e-3, rtol=2e-2)


class TestFit:
    @pytest.fixture
    def batches(self) -> MicroBatches:
        return MicroBatches(64)

    def test_the_budget_is_halved_from_what_was_tried(self, batches: MicroBatches) -> None:
        tried: list[int] = []

        def work() -> str:
            batches.cut([8, 8, 8])
            tried.append(batches.tokens)
            if len(tried) < 3:
                raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 1.00 GiB.")
            return "done"

        assert batches.fit(work, CPU) == "done"
        assert tried == [64, 12, 8]

    def test_what_does_not_hang_on_the_batch_is_not_tried_for_ever(self, batches: MicroBatches) -> None:
        def work() -> None:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 1.00 GiB.")

        with pytest.raises(OutOfMemory, match=r"Tried to allocate 1\.00 GiB"):
            batches.fit(work, CPU)

    def test_another_error_is_no_want_of_memory(self, batches: MicroBatches) -> None:
        def work() -> None:
            raise RuntimeError("CUDA error: device-side assert triggered")

        with pytest.raises(RuntimeError, match="device-side assert"):
            batches.fit(work, CPU)


def test_a_target_that_does_not_fit_says_so(tiny_model: Path, monkeypatch: pytest.MonkeyPatch, make_task: Any) -> None:
    def load(*_: Any, **__: Any) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 15.00 GiB. GPU 0 has 8 GiB.")

    monkeypatch.setattr(PromptedModel, "load", load)
    with pytest.raises(OutOfMemory, match=r"Tried to allocate 15\.00 GiB"):
        Workbench(tiny_model).train(get_method("spul"), make_task())
