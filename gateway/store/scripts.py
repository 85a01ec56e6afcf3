"""The Lua scripts beside this file, as package data."""

from __future__ import annotations

from importlib import resources


def load(name: str) -> str:
    """Source of `<name>.lua`."""
    return resources.files(__package__).joinpath(f"{name}.lua").read_text(encoding="utf-8")
