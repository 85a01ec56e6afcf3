"""What the gateway lays out is what each of vLLM's processes reads back."""

from __future__ import annotations

import json
from types import SimpleNamespace

import pytest

from adapters.artifact.spec import PairSpec
from gateway.engine.layout import ARCHITECTURE, CONFIG_KEY, Layout

LAYERS = PairSpec(8)
OWN = PairSpec(8, own_reference=True)
SEPARATE = PairSpec(0, "a" * 64, own_reference=True, model="org/small")


@pytest.mark.parametrize("pair", [None, LAYERS, OWN, SEPARATE], ids=["none", "layers", "own", "separate"])
@pytest.mark.parametrize("target_lora", [False, True])
@pytest.mark.parametrize("through_json", [False, True])
def test_round_trip(pair: PairSpec | None, target_lora: bool, through_json: bool) -> None:
    layout = Layout(("A", "B"), vocab_size=10, soft_rows=4, pair=pair, target_lora=target_lora)
    data = layout.hf_overrides()[CONFIG_KEY]
    config = SimpleNamespace(**{CONFIG_KEY: json.loads(json.dumps(data)) if through_json else data})
    found = Layout.from_hf_config(config)
    assert found == layout
    assert found.pair is None or pair is None or found.pair.model == pair.model


def test_the_engine_is_told_of_the_wrapper_and_of_virtual_tokens() -> None:
    layout = Layout(("A",), vocab_size=10, soft_rows=4, pair=LAYERS)
    overrides = layout.hf_overrides()
    assert (overrides["architectures"], overrides["vocab_size"]) == ([ARCHITECTURE], 14)
    assert layout.virtual_ids([0, 3]) == [10, 13]


def test_a_config_that_was_not_laid_out() -> None:
    with pytest.raises(ValueError, match="unlearn serve"):
        Layout.from_hf_config(object())


@pytest.mark.parametrize(("pair", "stacks"), [(LAYERS, 1), (OWN, 2), (SEPARATE, 2), (PairSpec(0, "small"), 2)])
def test_the_stacks_that_a_pair_adds(pair: PairSpec, stacks: int) -> None:
    assert pair.stacks == stacks
