from __future__ import annotations

import subprocess
import sys
from dataclasses import astuple, fields
from typing import Any

import pytest

from adapters.artifact.footprint import Footprint
from adapters.errors import InvalidConfig, UnknownMethod
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


def test_an_unknown_key_is_refused_by_name() -> None:
    with pytest.raises(InvalidConfig, match="'lr'"):
        parse_config("spul", {"lr": 1})


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("num_virtual_tokens", 0),
        ("num_virtual_tokens", 513),
        ("num_virtual_tokens", 2.5),
        ("num_virtual_tokens", True),
        ("num_virtual_tokens", "20"),
        ("learning_rate", 0),
        ("learning_rate", float("nan")),
        ("learning_rate", float("inf")),
        ("learning_rate", None),
        ("beta", -1),
        ("warmup_ratio", 1.5),
        ("max_steps", 10**9),
        ("encoder", "lstm"),
        ("encoder", 3),
        ("init", "zeros"),
        ("init_text", "  "),
        ("init_text", 5),
        ("seed", -1),
    ],
)
def test_values_outside_their_bounds_are_refused_by_name(key: str, value: Any) -> None:
    with pytest.raises(InvalidConfig, match=key):
        parse_config("spul", {key: value})


@pytest.mark.parametrize("name", ["delta", "divergence", "lora", "spul", "uld"])
def test_more_nearest_questions_than_questions_is_refused(name: str) -> None:
    with pytest.raises(InvalidConfig, match="retain_nearest"):
        parse_config(name, {"retain_questions": 10, "retain_nearest": 11})


@pytest.mark.parametrize(
    ("method", "name"),
    [
        (method, field.name)
        for method in ("delta", "divergence", "lora", "spul", "uld")
        for field in fields(get_method(method).config_type)
        if field.type in {"int", "float"}
    ],
)
@pytest.mark.parametrize("value", [-1, 10**400, float("nan"), float("inf"), True, "1"])
def test_every_number_has_bounds(method: str, name: str, value: Any) -> None:
    with pytest.raises(InvalidConfig, match=f"^{name} must"):
        parse_config(method, {name: value})


def test_importing_the_registry_does_not_import_torch() -> None:
    program = "import sys, adapters.registry; sys.exit('torch' in sys.modules or 'transformers' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0
