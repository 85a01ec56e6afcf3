from __future__ import annotations

import json
from typing import Any

import pytest

from adapters.errors import InvalidConfig
from adapters.methods.divergence.config import DivergenceConfig
from adapters.registry import parse_config


def test_settings_may_come_from_json() -> None:
    config = parse_config("divergence", json.loads('{"form": "rank", "counts": [1, 20], "strengths": [2], "rank": 4}'))
    assert config == DivergenceConfig(form="rank", counts=(1, 20), strengths=(2,), rank=4)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"form": "both"}, "form must be one of linear, rank"),
        ({"form": 3}, "form must be one of"),
        ({"strengths": []}, "strengths must be a list"),
        ({"strengths": [10.5]}, "each of strengths"),
        ({"counts": [1.5]}, "each of counts must be a whole number"),
        ({"counts": [0]}, "each of counts"),
        ({"counts": [50_001]}, "each of counts"),
        ({"kl_limit": -1}, "kl_limit must"),
        ({"k": 20}, "divergence has no setting named 'k'"),
    ],
)
def test_what_is_not_a_setting_is_refused_by_name(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidConfig, match=message):
        parse_config("divergence", settings)
