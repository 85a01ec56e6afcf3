"""Methods, objectives and attack families that other installed packages bring, through entry points."""

from __future__ import annotations

from functools import cache
from importlib.metadata import EntryPoint, entry_points
from typing import Any

from adapters.errors import InvalidPlugin

METHODS, OBJECTIVES, ATTACKS = (
    "unlearning_gateway.methods",
    "unlearning_gateway.objectives",
    "unlearning_gateway.attacks",
)


@cache
def plugins(group: str, attributes: tuple[str, ...], own: frozenset[str]) -> tuple[type[Any], ...]:
    """The classes that packages name in an entry point group, in the order of the entry points' names.

    attributes: what each class must have. own: names that are taken, for a package must not change what a request has
    asked for. Read once in a process: packages do not come and go while one runs.
    Raises `InvalidPlugin` for one that cannot be imported, is no class, lacks an attribute, whose `name` is not its
    entry point's, or is taken.
    """
    found: dict[str, type[Any]] = {}
    for point in sorted(entry_points(group=group), key=lambda each: each.name):
        plugin = _load(point, attributes)
        if plugin.name in own or plugin.name in found:
            raise InvalidPlugin(
                f"{plugin.__module__}.{plugin.__qualname__} is named {plugin.name!r}, which there is already"
            )
        found[plugin.name] = plugin
    return tuple(found.values())


def _load(point: EntryPoint, attributes: tuple[str, ...]) -> type[Any]:
    package = point.dist.name if point.dist is not None else "?"
    label = f"entry point {point.name!r} of package {package}"
    try:
        loaded = point.load()
    except (ImportError, AttributeError) as error:
        raise InvalidPlugin(f"{label} cannot be loaded: {error}") from error
    if not isinstance(loaded, type):
        raise InvalidPlugin(f"{label} names no class")
    if lacking := [name for name in attributes if not hasattr(loaded, name)]:
        raise InvalidPlugin(f"{label} lacks {', '.join(lacking)}")
    plugin: type[Any] = loaded
    if plugin.name != point.name:
        raise InvalidPlugin(f"{label} is a class named {plugin.name!r}; both must be the same")
    return plugin
