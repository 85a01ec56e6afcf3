from __future__ import annotations

import json
from typing import Any

import pytest

from adapters.errors import InvalidConfig
from adapters.methods.delta.config import DeltaConfig
from adapters.registry import parse_config


def test_settings_may_come_from_json() -> None:
    data = json.loads('{"objective": "npo", "objective_settings": {"beta": 0.5}, "strengths": [1, 2.5], "rank": 4}')
    config = parse_config("delta", data)
    assert config == DeltaConfig(objective="npo", objective_settings={"beta": 0.5}, rank=4, strengths=(1, 2.5))
    assert config.strengths == (1, 2.5)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"objective": "nope"}, "no objective is named 'nope'"),
        ({"objective": 3}, "objective must be a name"),
        ({"objective": ["idk"]}, "objective must be a name"),
        ({"objective_settings": None}, "objective_settings an object"),
        ({"objective_settings": [["beta", 1]]}, "objective_settings an object"),
        ({"objective_settings": {"beta": 0.1}}, "idk has no setting named 'beta'"),
        ({"objective": "npo", "objective_settings": {"beta": 0}}, "beta must"),
        ({"objective": "npo", "objective_settings": {"beta": "1"}}, "beta must"),
        ({"strengths": []}, "strengths must be a list"),
        ({"strengths": 1.0}, "strengths must be a list"),
        ({"strengths": "123"}, "strengths must be a list"),
        ({"strengths": [1.0, "2"]}, "each of strengths must be a number"),
        ({"strengths": [True]}, "each of strengths must be a number"),
        ({"strengths": [None]}, "each of strengths must be a number"),
        ({"strengths": [1.0, 0]}, "each of strengths"),
        ({"strengths": [10.5]}, "each of strengths"),
        ({"strengths": [float("nan")]}, "each of strengths"),
        ({"strengths": [10**400]}, "each of strengths"),
        ({"strength": 0}, "strength must"),
        ({"strength": 10.5}, "strength must"),
        ({"rank": 0}, "rank must"),
        ({"rank": 65}, "rank must"),
        ({"rank": 4.0}, "rank must be a whole number"),
        ({"alpha": 1}, "delta has no setting named 'alpha'"),
    ],
)
def test_what_is_not_a_setting_is_refused_by_name(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidConfig, match=message):
        parse_config("delta", settings)


def test_bounds_themselves_are_allowed() -> None:
    config = DeltaConfig(rank=64, strength=10, kl_limit=0.0, strengths=(10,), patience=1, seed=0)
    assert (config.rank, config.strength, config.strengths) == (64, 10, (10,))
