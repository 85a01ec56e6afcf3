from __future__ import annotations

import json
from typing import Any

import pytest

from adapters.errors import InvalidConfig
from adapters.methods.uld.config import UldConfig
from adapters.registry import parse_config


def test_settings_may_come_from_json() -> None:
    config = parse_config("uld", json.loads('{"weights": [1, 2.5], "rank": 4, "filter": 1, "beta": 0}'))
    assert config == UldConfig(weights=(1, 2.5), rank=4, filter=1, beta=0)
    assert config.weights == (1, 2.5)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"weights": []}, "weights must be a list"),
        ({"weights": 0.8}, "weights must be a list"),
        ({"weights": ["1"]}, "each of weights must be a number"),
        ({"weights": [0]}, "each of weights"),
        ({"weights": [10.5]}, "each of weights"),
        ({"filter": 0}, "filter must"),
        ({"filter": 1.5}, "filter must"),
        ({"wrong_answers": 17}, "wrong_answers must"),
        ({"forget_limit": 1.5}, "forget_limit must"),
        ({"strength": 1}, "uld has no setting named 'strength'"),
    ],
)
def test_what_is_not_a_setting_is_refused_by_name(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidConfig, match=message):
        parse_config("uld", settings)
