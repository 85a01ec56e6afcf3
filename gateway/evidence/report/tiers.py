"""How much an evaluation asks."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType
from typing import Final


class Tier(StrEnum):
    """From a few probes of each attack family to many."""

    SMOKE = "smoke"
    STANDARD = "standard"
    FULL = "full"


class Keep(StrEnum):
    """What stays of the probes when an evaluation has ended: nothing, or all of them, sealed, to be asked again."""

    NOTHING = "nothing"
    PROBES = "probes"


@dataclass(frozen=True, slots=True)
class Size:
    """attacks: probes of each family. instructed: of those, so many of each family are also asked of the baseline that
    has to answer anew. staying: so many controls and neighbours are."""

    attacks: int
    instructed: int
    staying: int


DEFAULT_TIER: Final = Tier.STANDARD
SIZES: Final[Mapping[Tier, Size]] = MappingProxyType(
    {
        Tier.SMOKE: Size(attacks=4, instructed=2, staying=8),
        Tier.STANDARD: Size(attacks=12, instructed=4, staying=16),
        Tier.FULL: Size(attacks=40, instructed=4, staying=16),
    }
)
