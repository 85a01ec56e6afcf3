from __future__ import annotations

from argparse import Namespace
from typing import Any

import pytest

from gateway.engine import flags


@pytest.mark.parametrize(
    ("given", "found"),
    [
        ({}, {}),
        ({"dtype": "float32"}, {"dtype": "float32"}),
        ({"max_model_len": 1024, "seed": 1}, {"max_model_len": "1024", "seed": "1"}),
        ({"quantization": "fp8"}, {"quantization": "fp8"}),
        ({"hf_token": "secret", "port": 8080, "model": "/elsewhere", "api_key": ["k"]}, {}),
    ],
)
def test_what_can_change_an_answer(given: dict[str, Any], found: dict[str, str]) -> None:
    default = {"dtype": "auto", "max_model_len": None, "seed": 0, "port": 8000, "model": "/here", "quantization": None}
    assert flags.answering(Namespace(**default | given), Namespace(**default)) == found
