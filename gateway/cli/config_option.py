"""The method's own settings on the command line, as a JSON object."""

from __future__ import annotations

from typing import Any

from gateway.cli.failures import UsageFailed
from gateway.cli.json_text import parse_json


def parse_config(text: str) -> dict[str, Any]:
    """Raises `UsageFailed` for anything but an object."""
    config = parse_json(text, "--config")
    if not isinstance(config, dict):
        raise UsageFailed("--config: must be a JSON object")
    return config
