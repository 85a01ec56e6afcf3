"""The Lua scripts beside this file, as package data."""

from __future__ import annotations

from importlib import resources


def load(*names: str) -> str:
    """Source of `<name>.lua`, of several one after the other: what defines functions comes first."""
    folder = resources.files(__package__)
    return "\n".join(folder.joinpath(f"{name}.lua").read_text(encoding="utf-8") for name in names)
