"""What an offset adapter says about itself: which pair it belongs to and how its logits are combined.

delta      target + α (offset − reference). Huang et al., Offset Unlearning, TMLR 2025.
uld        target − w · assistant, on the target's own top tokens. Ji et al., ULD, NeurIPS 2024, with its filter.
dd_linear  target + α (retain-aux − full-aux). Divergence Decoding, ICML 2026, the linear form.
dd_rank    target without the k tokens of the most negative retain-aux − full-aux. The same paper, the rank form.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from adapters.errors import InvalidArtifact

DELTA, ULD, DD_LINEAR, DD_RANK = "delta", "uld", "dd_linear", "dd_rank"
KINDS = (DELTA, ULD, DD_LINEAR, DD_RANK)
MAX_STRENGTH = 10.0


def default_layers(depth: int) -> int:
    """K for a target of `depth` layers when none is named: a quarter, two at least."""
    return min(depth, max(2, round(depth / 4)))


@dataclass(frozen=True, slots=True)
class PairSpec:
    """The pair of small models that an engine offers, a request is registered for, or an adapter was made for.

    layers: K of a pair made of the target's first K layers, 0 for a separate model. model: folder or hub id of the
    separate model, "" for layers; where it lies is no part of what it is, so an artifact does not say it. model_digest:
    of that model's checkpoint, "" for layers. own_reference: the reference is a stack that LoRAs can change too.
    Divergence Decoding needs it: its adapter has one half on each. A pair of layers otherwise reads its reference off
    the target, at no cost.
    """

    layers: int
    model_digest: str = ""
    own_reference: bool = False
    model: str = field(default="", compare=False)

    @property
    def stacks(self) -> int:
        """How many stacks of layers the pair adds to the target."""
        return 2 if self.own_reference or not self.layers else 1

    def fits(self, other: PairSpec) -> bool:
        """Whether an adapter made for `other` can be served by this pair."""
        same = (self.layers, self.model_digest) == (other.layers, other.model_digest)
        return same and (self.own_reference or not other.own_reference)

    def describe(self) -> str:
        """For messages."""
        return f"the target's first {self.layers} layers" if self.layers else f"model {self.model_digest[:12]}"


@dataclass(frozen=True, slots=True)
class OffsetSpec:
    """How an adapter is applied.

    strength: α, or w for ULD, in [0, 10]. parameter: ULD's filter f in (0, 1], the k of dd_rank, else 0. rank: of its
    LoRA. Raises `InvalidArtifact` for anything else.
    """

    kind: str
    strength: float
    rank: int
    pair: PairSpec
    parameter: float = 0.0

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise InvalidArtifact(f"an offset's kind is one of {', '.join(KINDS)}, not {self.kind!r}")
        if not 0 <= self.strength <= MAX_STRENGTH:  # false for NaN as well
            raise InvalidArtifact(f"an offset's strength lies between 0 and {MAX_STRENGTH:g}, not {self.strength}")
        if not 0 <= self.parameter < math.inf:
            raise InvalidArtifact(f"an offset's parameter is a finite number from 0 on, not {self.parameter}")
        if self.kind == ULD and not 0 < self.parameter <= 1:
            raise InvalidArtifact("ULD's filter lies above 0 and is at most 1")
        if self.kind == DD_RANK and self.parameter < 1:
            raise InvalidArtifact("dd_rank masks at least one token")
        if self.kind in (DELTA, DD_LINEAR) and self.parameter:
            raise InvalidArtifact(f"an offset of kind {self.kind} has no parameter")
        if self.rank < 1:
            raise InvalidArtifact("a LoRA's rank is at least 1")

    @property
    def needs_reference_half(self) -> bool:
        """Whether the LoRA has a half on the reference."""
        return self.kind in (DD_LINEAR, DD_RANK)

    @property
    def is_plain_sum(self) -> bool:
        """Whether the offset's logits are added to the target's and nothing else happens."""
        return self.kind in (DELTA, DD_LINEAR)

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON types, without where the pair's model lies."""
        data = asdict(self)
        del data["pair"]["model"]
        return data

    @classmethod
    def from_dict(cls, data: Any) -> OffsetSpec:
        """Raises `InvalidArtifact` unless every field is there, alone and of its type."""
        kinds = {"kind": (str,), "strength": (int, float), "rank": (int,), "parameter": (int, float)}
        pair_kinds = {"layers": (int,), "model_digest": (str,), "own_reference": (bool,)}
        _expect(data, {*kinds, "pair"}, kinds)
        _expect(data["pair"], set(pair_kinds), pair_kinds)
        return cls(**{**data, "pair": PairSpec(**data["pair"])})


def _expect(data: Any, names: set[str], kinds: Mapping[str, tuple[type, ...]]) -> None:
    if not isinstance(data, dict) or data.keys() != names:
        raise InvalidArtifact("the manifest's offset does not have exactly the fields it should")
    for name, allowed in kinds.items():
        if not isinstance(data[name], allowed) or (isinstance(data[name], bool) and bool not in allowed):
            raise InvalidArtifact(f"the manifest's offset has a {name} that is not of the right type")
