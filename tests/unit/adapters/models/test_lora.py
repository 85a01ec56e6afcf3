from __future__ import annotations

import pytest
import torch
from torch import nn

from adapters.models.frozen import PromptedModel
from adapters.models.lora import LoraLinear, attach, load_state, parameters, state
from tests.unit.adapters.conftest import LAYERS, randomise

PROJECTIONS = [f"self_attn.{part}_proj" for part in "qkvo"] + [f"mlp.{part}_proj" for part in ("gate", "up", "down")]
IDS = torch.tensor([[1, 5, 9, 10, 11]])


def logits(model: PromptedModel) -> torch.Tensor:
    with torch.no_grad():
        found: torch.Tensor = model.model(IDS).logits
    return found


@pytest.mark.parametrize("bias", [False, True])
def test_a_trained_layer_adds_b_a_x(bias: bool) -> None:
    layer = LoraLinear(nn.Linear(6, 4, bias=bias), 2)
    inputs = torch.randn(3, 6, generator=torch.Generator().manual_seed(0))
    assert torch.equal(layer(inputs), layer.base(inputs))
    randomise({"layer": layer})
    change = inputs @ (layer.lora_b @ layer.lora_a).T
    assert float(change.detach().abs().max()) > 0.01
    torch.testing.assert_close(layer(inputs), layer.base(inputs) + change)


def test_a_layer_in_half_precision_stays_in_it() -> None:
    layer = LoraLinear(nn.Linear(6, 4).bfloat16(), 2)
    assert layer(torch.zeros(3, 6, dtype=torch.bfloat16)).dtype == torch.bfloat16
    assert {parameter.dtype for parameter in parameters({"layer": layer})} == {torch.float32}


def test_attaching_replaces_the_linear_layers_of_the_decoder_and_nothing_else(target: PromptedModel) -> None:
    before = dict(target.model.named_modules())
    linear = {name for name, module in before.items() if isinstance(module, nn.Linear)}
    layers = attach(target.model, 3)
    assert layers.keys() == {f"model.layers.{number}.{name}" for number in range(LAYERS) for name in PROJECTIONS}
    assert linear - layers.keys() == {"lm_head"}
    after = dict(target.model.named_modules())
    for name, layer in layers.items():
        assert after[name] is layer
        assert layer.base is before[name]
        assert (layer.lora_a.shape, layer.lora_b.shape) == ((3, layer.base.in_features), (layer.base.out_features, 3))
    assert all(after[name] is module for name, module in before.items() if name not in layers)


def test_an_untrained_lora_changes_no_bit_and_a_trained_one_does(target: PromptedModel) -> None:
    before = logits(target)
    layers = attach(target.model, 2)
    assert torch.equal(logits(target), before)
    randomise(layers)
    assert not torch.allclose(logits(target), before, atol=1e-2)


def test_untrained_layers_can_be_trained(target: PromptedModel) -> None:
    """A is not zero: with both at zero no gradient would ever reach either."""
    assert all(bool(layer.lora_a.any()) for layer in attach(target.model, 2).values())


def test_gradients_reach_a_and_b_and_nothing_else(target: PromptedModel) -> None:
    layers = attach(target.model, 2)
    randomise(layers)
    trained = parameters(layers)
    assert len(trained) == 2 * len(layers)
    target.model(IDS).logits.square().sum().backward()
    assert all(parameter.grad is not None and bool(parameter.grad.any()) for parameter in trained)
    others = [p for p in target.model.parameters() if not any(p is mine for mine in trained)]
    assert others
    assert all(parameter.grad is None for parameter in others)


def test_a_state_can_be_put_back(target: PromptedModel) -> None:
    layers = attach(target.model, 2)
    randomise(layers, seed=1)
    wanted, kept = logits(target), state(layers, "offset")
    assert kept.keys() == {f"offset.{name}.lora_{part}" for name in layers for part in "AB"}
    name, layer = next(iter(layers.items()))
    assert torch.equal(kept[f"offset.{name}.lora_A"], layer.lora_a)
    assert torch.equal(kept[f"offset.{name}.lora_B"], layer.lora_b)
    randomise(layers, seed=2)
    assert not torch.allclose(logits(target), wanted, atol=1e-2)
    load_state(layers, "offset", kept)
    assert torch.equal(logits(target), wanted)


def test_a_state_without_one_of_the_layers_is_refused(target: PromptedModel) -> None:
    layers = attach(target.model, 2)
    kept = state(layers, "offset")
    kept.pop("offset.model.layers.1.mlp.up_proj.lora_B")
    with pytest.raises(KeyError, match=r"layers\.1\.mlp\.up_proj"):
        load_state(layers, "offset", kept)
    with pytest.raises(KeyError, match="reference"):
        load_state(layers, "reference", state(layers, "offset"))
