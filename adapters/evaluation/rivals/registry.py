"""The rivals by name."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from adapters.evaluation.rivals.eco import Eco
from adapters.evaluation.rivals.filter import Filter
from adapters.evaluation.rivals.port import Port
from adapters.evaluation.rivals.refusal_prompt import RefusalPrompt
from adapters.evaluation.rivals.rival import Rival
from adapters.evaluation.rivals.router import Router

_TYPES: tuple[type[Rival], ...] = (RefusalPrompt, Filter, Port, Eco, Router)


def rivals() -> Mapping[str, Rival]:
    """All rivals, by name."""
    return MappingProxyType({rival.name: rival() for rival in _TYPES})
