"""Allow-lists over JSON: what of a body is passed on. Whatever no shape names is refused, wherever it stands.

A list is judged element by element. What is no object where one belongs is passed on: vLLM says what is wrong with it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from gateway.errors import ForbiddenField

_UNKNOWN = "it is no field of this service"
#: Of a caller's own key or value, as an error quotes it.
_QUOTED = 60


class Shape(Protocol):
    """Says what of a value is passed on."""

    def kept(self, value: Any, place: str) -> Any:
        """The value without what is left out. Raises `ForbiddenField`, whose `param` is the place of what is not
        served: `messages.0.content.1.image_url`."""


@dataclass(frozen=True, slots=True)
class OneOf:
    """A few values, or a list of them; null says nothing, and is left out."""

    values: tuple[str | int | bool, ...]
    reason: str

    def kept(self, value: Any, place: str) -> Any:
        if isinstance(value, list):
            return [self.kept(each, f"{place}.{number}") for number, each in enumerate(value)]
        if value not in self.values:
            raise _refused(place, self.reason)
        return value


@dataclass(frozen=True, slots=True)
class Object:
    """The fields of an object.

    Attributes:
        served: passed on, each by its shape; whole where it has none.
        refused: with why; an error says it.
        left_out: without effect here, and sent by clients all the same: taken out.
    """

    served: Mapping[str, Shape | None]
    refused: Mapping[str, str] = field(default_factory=dict)
    left_out: frozenset[str] = frozenset()

    def kept(self, value: Any, place: str = "") -> Any:
        """A refused or unknown field that asks for nothing (null, false, 0, empty) is left out: clients send those."""
        if isinstance(value, list):
            return [self.kept(each, _within(place, number)) for number, each in enumerate(value)]
        if not isinstance(value, dict):
            return value
        kept = {}
        for name, content in value.items():
            inside = _within(place, name)
            if name in self.served:
                shape = self.served[name]
                if content is None and isinstance(shape, OneOf):
                    continue
                kept[name] = content if shape is None else shape.kept(content, inside)
            elif content and name not in self.left_out:
                raise _refused(inside, self.refused.get(name, _UNKNOWN))
        return kept

    @property
    def judged(self) -> frozenset[str]:
        """Every field that somebody has decided on."""
        return frozenset(self.served) | frozenset(self.refused) | self.left_out


@dataclass(frozen=True, slots=True)
class Kinds:
    """Objects that say in `type` what they are.

    Attributes:
        served: shape of each kind.
        refused: kinds that are known and not served, with why.
        untyped: shape of an object that names no kind; None where it has to.
    """

    served: Mapping[str, Object]
    refused: Mapping[str, str]
    untyped: Object | None = None

    def kept(self, value: Any, place: str) -> Any:
        if isinstance(value, list):
            return [self.kept(each, _within(place, number)) for number, each in enumerate(value)]
        if not isinstance(value, dict):
            return value
        kind = value.get("type")
        shape = self.untyped if kind is None else self.served.get(kind) if isinstance(kind, str) else None
        if shape is None:
            why = (
                self.refused.get(kind, "it is no kind that is served") if isinstance(kind, str) else "it names no kind"
            )
            raise _refused(_within(place, "type"), why)
        return shape.kept(value, place)

    @property
    def judged(self) -> frozenset[str]:
        """Every kind that somebody has decided on."""
        return frozenset(self.served) | frozenset(self.refused)


def fields(*names: str, **shaped: Shape) -> dict[str, Shape | None]:
    """Fields that are passed on whole, and those with a shape of their own."""
    return {**dict.fromkeys(names), **shaped}


def because(reason: str, names: Iterable[str]) -> dict[str, str]:
    """The same reason for each."""
    return dict.fromkeys(names, reason)


def _within(place: str, part: str | int) -> str:
    named = str(part)[:_QUOTED]
    return f"{place}.{named}" if place else named


def _refused(place: str, reason: str) -> ForbiddenField:
    return ForbiddenField(f"{place} is not served: {reason}", param=place)
