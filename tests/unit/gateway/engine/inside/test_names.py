from __future__ import annotations

import pytest

from gateway.engine.inside.names import layer_number


@pytest.mark.parametrize(
    ("name", "number"),
    [
        ("model.layers.0.self_attn.q_proj.weight", 0),
        ("model.layers.31.mlp.experts.7.down_proj.weight", 31),
        ("layers.4.input_layernorm.weight", 4),
        ("model.embed_tokens.weight", None),
        ("model.norm.weight", None),
        ("lm_head.weight", None),
        ("model.players.3.weight", None),
    ],
)
def test_the_layer_of_a_parameter(name: str, number: int | None) -> None:
    assert layer_number(name) == number
