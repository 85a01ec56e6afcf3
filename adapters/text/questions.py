"""General questions the package ships: some to retain on, others to control with.

The two sets share no question. The retain questions are put to the model itself and its own answers are
kept; the control questions are never trained on and serve to see what an adapter changed by accident.
"""

from __future__ import annotations

import json
from importlib import resources
from typing import Any


def _questions(part: str) -> tuple[str, ...]:
    data: dict[str, Any] = json.loads(
        resources.files("adapters.text").joinpath("questions.json").read_text(encoding="utf-8")
    )
    return tuple(question for topic in data[part].values() for question in topic)


def retain_questions() -> tuple[str, ...]:
    """Questions over many relations and topics, for a retain set made automatically."""
    return _questions("retain")


def control_questions() -> tuple[str, ...]:
    """Questions no adapter is trained on, for probes."""
    return _questions("control")
