"""Looks for needles in places, and in all that is packed in them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from tests.forensic.encodings import SHORTEST, encodings
from tests.forensic.places import Place
from tests.forensic.unpacking import unpacked


@dataclass(frozen=True, slots=True, order=True)
class Finding:
    """what: the needle, with its encoding, and how it was packed."""

    place: str
    what: str


class Needles:
    """What must not be there.

    Args:
        texts: by name, to be found in any encoding.
        data: bytes by name, to be found as they are: a ciphertext, numbers of a tensor.
    """

    def __init__(self, texts: Mapping[str, str], data: Mapping[str, bytes] | None = None) -> None:
        self._names: dict[bytes, str] = {}
        for name, text in texts.items():
            self._names |= {needle: f"{name} in {encoding}" for needle, encoding in encodings(text).items()}
        for name, needle in (data or {}).items():
            if len(needle) < SHORTEST:
                raise ValueError(f"{name} is too short to be told from chance")
            self._names[needle.lower()] = name

    def names_in(self, data: bytes) -> set[str]:
        """Of those that are there, letter case aside."""
        folded = data.lower()
        return {name for needle, name in self._names.items() if needle in folded}


def search(places: Iterable[Place], needles: Needles) -> list[Finding]:
    """All that is found, each once a place."""
    return sorted(
        {
            Finding(place.name, f"{name}, packed in {how}" if how else name)
            for place in places
            for how, data in unpacked(place.content)
            for name in needles.names_in(data)
        }
    )
