"""The method's own settings on the command line, as a JSON object."""

from __future__ import annotations

import json
from typing import Any

from gateway.cli.failures import UsageFailed


def parse_config(text: str) -> dict[str, Any]:
    """Raises `UsageFailed` for anything but an object."""
    try:
        config = json.loads(text)
    except json.JSONDecodeError as error:
        raise UsageFailed(f"--config: not JSON (column {error.colno}: {error.msg})") from None
    if not isinstance(config, dict):
        raise UsageFailed("--config: must be a JSON object")
    return config
