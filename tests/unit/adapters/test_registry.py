from __future__ import annotations

import subprocess
import sys
from dataclasses import astuple
from typing import Any

import pytest

from adapters.artifact.footprint import Footprint
from adapters.errors import UnknownMethod
from adapters.registry import get_method, methods, parse_config


def test_every_method_keeps_the_contract() -> None:
    for name, method in methods().items():
        assert method.name == name
        config = parse_config(name, {})
        assert isinstance(config, method.config_type)
        footprint = method.footprint(config)
        assert min(astuple(footprint)) == 0 < max(astuple(footprint))
        assert footprint.offset_rank > 0 or not method.needs_own_reference(config)


@pytest.mark.parametrize(
    ("name", "settings", "footprint"),
    [
        ("spul", {"num_virtual_tokens": 7}, Footprint(rows=7)),
        ("delta", {"rank": 5}, Footprint(offset_rank=5)),
        ("uld", {"rank": 5}, Footprint(offset_rank=5)),
        ("divergence", {"rank": 5}, Footprint(offset_rank=5)),
        ("lora", {"rank": 5}, Footprint(target_rank=5)),
    ],
)
def test_the_room_that_each_takes(name: str, settings: dict[str, Any], footprint: Footprint) -> None:
    method, config = get_method(name), parse_config(name, settings)
    assert method.footprint(config) == footprint
    assert method.needs_own_reference(config) is (name == "divergence")


def test_an_unknown_method_is_refused_and_the_known_are_named() -> None:
    with pytest.raises(UnknownMethod, match="delta, divergence, lora, spul, uld"):
        get_method("gradient-ascent")


def test_importing_the_registry_does_not_import_torch() -> None:
    program = "import sys, adapters.registry; sys.exit('torch' in sys.modules or 'transformers' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0
