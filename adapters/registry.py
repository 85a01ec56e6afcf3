"""The unlearning methods by name. Importing this is cheap: torch is imported only when one trains."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from types import MappingProxyType
from typing import Any

from adapters.errors import UnknownMethod, unknown_settings
from adapters.methods.delta.method import Delta
from adapters.methods.divergence.method import Divergence
from adapters.methods.lora.method import Lora
from adapters.methods.spul.method import Spul
from adapters.methods.uld.method import Uld
from adapters.plugins import METHODS, plugins
from adapters.task import Method

_ATTRIBUTES = ("name", "config_type", "footprint", "needs_own_reference", "train")


def methods() -> Mapping[str, Method]:
    """All methods, by name: ours, then those of other packages (`adapters.plugins`, made without arguments).

    Raises `InvalidPlugin`.
    """
    ours: tuple[Method, ...] = (Spul(), Delta(), Uld(), Divergence(), Lora())
    theirs = plugins(METHODS, _ATTRIBUTES, frozenset(method.name for method in ours))
    return MappingProxyType({method.name: method for method in (*ours, *(made() for made in theirs))})


def get_method(name: str) -> Method:
    """Raises `UnknownMethod` naming those there are."""
    known = methods()
    if name not in known:
        there_is = f"there is: {', '.join(sorted(known))}"
        raise UnknownMethod(f"no method is named {name!r}; {there_is}", public=f"no method has this name; {there_is}")
    return known[name]


def parse_config(name: str, data: Mapping[str, Any]) -> Any:
    """The method's validated config dataclass from plain data; what is not given keeps its default.

    Raises `UnknownMethod`, or `InvalidConfig` for an unknown key or a value outside its bounds.
    """
    config_type = get_method(name).config_type
    known = [field.name for field in fields(config_type)]
    if unknown := sorted(data.keys() - set(known)):
        raise unknown_settings(name, unknown, known)
    return config_type(**data)
