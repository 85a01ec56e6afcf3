from __future__ import annotations

import json
from typing import Any

import pytest

from adapters.errors import InvalidConfig
from adapters.methods.lora.config import LoraConfig
from adapters.registry import parse_config


def test_settings_may_come_from_json() -> None:
    config = parse_config("lora", json.loads('{"objective": "npo", "objective_settings": {"beta": 0.5}, "rank": 4}'))
    assert config == LoraConfig(objective="npo", objective_settings={"beta": 0.5}, rank=4)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"objective": "nope"}, "no objective is named 'nope'"),
        ({"objective": 3}, "objective must be a name"),
        ({"objective": "uld"}, "trains an assistant"),
        ({"objective_settings": None}, "objective_settings an object"),
        ({"objective": "npo", "objective_settings": {"beta": 0}}, "beta must"),
        ({"rank": 0}, "rank must"),
        ({"rank": 65}, "rank must"),
        ({"strength": 1.0}, "lora has no setting named 'strength'"),
        ({"retain_questions": 10, "retain_nearest": 11}, "retain_nearest must not exceed"),
    ],
)
def test_what_is_not_a_setting_is_refused_by_name(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidConfig, match=message):
        parse_config("lora", settings)
