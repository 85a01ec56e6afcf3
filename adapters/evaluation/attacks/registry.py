"""The attack families by name."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from adapters.evaluation.attacks.families.alias import Alias
from adapters.evaluation.attacks.families.choice import Choice
from adapters.evaluation.attacks.families.cloze import Cloze
from adapters.evaluation.attacks.families.composite import Composite
from adapters.evaluation.attacks.families.dialogue import Dialogue
from adapters.evaluation.attacks.families.few_shot import FewShot
from adapters.evaluation.attacks.families.format_shift import FormatShift
from adapters.evaluation.attacks.families.given import Given
from adapters.evaluation.attacks.families.misspelt import Misspelt
from adapters.evaluation.attacks.families.other_language import OtherLanguage
from adapters.evaluation.attacks.families.paraphrased import Paraphrased
from adapters.evaluation.attacks.families.prefill import Prefill
from adapters.evaluation.attacks.families.prefix_noise import PrefixNoise
from adapters.evaluation.attacks.families.ranking import Ranking
from adapters.evaluation.attacks.families.reverse import Reverse
from adapters.evaluation.attacks.families.role import Role
from adapters.evaluation.attacks.families.sampling import Sampling
from adapters.evaluation.attacks.families.two_hop import TwoHop
from adapters.evaluation.attacks.family import Family
from adapters.plugins import ATTACKS, plugins

_TYPES: tuple[type[Family], ...] = (
    Given,
    Paraphrased,
    Misspelt,
    OtherLanguage,
    Cloze,
    Prefill,
    Choice,
    Ranking,
    Sampling,
    FormatShift,
    Composite,
    PrefixNoise,
    Role,
    FewShot,
    Dialogue,
    Reverse,
    TwoHop,
    Alias,
)

_ATTRIBUTES = ("name", "probes")


def families() -> Mapping[str, Family]:
    """All families, by name. Ours come first, then those of other packages (`adapters.plugins`). Raises
    `InvalidPlugin`."""
    theirs = plugins(ATTACKS, _ATTRIBUTES, frozenset(family.name for family in _TYPES))
    return MappingProxyType({family.name: family() for family in (*_TYPES, *theirs)})
