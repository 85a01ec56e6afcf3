"""Reads layer numbers out of parameter names."""

from __future__ import annotations

import re

_LAYER = re.compile(r"(?:^|\.)layers\.(\d+)\.")


def layer_number(name: str) -> int | None:
    """The layer a parameter belongs to, None for embeddings, norms and heads outside of layers."""
    match = _LAYER.search(name)
    return int(match.group(1)) if match else None
