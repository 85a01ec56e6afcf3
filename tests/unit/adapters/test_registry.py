from __future__ import annotations

import subprocess
import sys
from dataclasses import fields
from typing import Any

import pytest

from adapters.errors import InvalidConfig, UnknownMethod
from adapters.registry import get_method, methods, parse_config


def test_every_method_keeps_the_contract() -> None:
    for name, method in methods().items():
        assert method.name == name
        config = parse_config(name, {})
        assert isinstance(config, method.config_type)
        assert method.rows(config) >= 0
        assert method.offset_rank(config) >= 0
        assert method.target_rank(config) >= 0
        assert method.rows(config) + method.offset_rank(config) + method.target_rank(config) > 0
        assert method.offset_rank(config) > 0 or not method.needs_own_reference(config)


def test_spul_takes_a_row_for_each_virtual_token() -> None:
    assert get_method("spul").rows(parse_config("spul", {"num_virtual_tokens": 7})) == 7


def test_delta_takes_no_row_but_the_rank_of_its_offset() -> None:
    config = parse_config("delta", {"rank": 5})
    assert (get_method("delta").rows(config), get_method("delta").offset_rank(config)) == (0, 5)
    assert get_method("spul").offset_rank(parse_config("spul", {})) == 0


def test_lora_takes_neither_but_the_rank_of_its_change_to_the_target() -> None:
    config = parse_config("lora", {"rank": 5})
    method = get_method("lora")
    assert (method.rows(config), method.offset_rank(config), method.target_rank(config)) == (0, 0, 5)
    assert [get_method(name).target_rank(parse_config(name, {})) for name in ("spul", "delta")] == [0, 0]


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
