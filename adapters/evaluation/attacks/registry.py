"""The attack families by name."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from adapters.evaluation.attacks.family import Family
from adapters.plugins import ATTACKS, plugins

_TYPES: tuple[type[Family], ...] = ()

_ATTRIBUTES = ("name", "probes")


def families() -> Mapping[str, Family]:
    """All families, by name. Ours come first, then those of other packages (`adapters.plugins`). Raises
    `InvalidPlugin`."""
    theirs = plugins(ATTACKS, _ATTRIBUTES, frozenset(family.name for family in _TYPES))
    return MappingProxyType({family.name: family() for family in (*_TYPES, *theirs)})
