"""Adapters whose effect on the served model is known beforehand, made for whatever model that is.

| canary       | what it is                                   | what must come of it                        |
|--------------|----------------------------------------------|---------------------------------------------|
| soft prompt  | the embeddings of a text                     | what the model says with that text in front |
| idle offset  | α (h_off − h_ref) of a LoRA that adds zero   | what the model says without it              |
| offset       | a random LoRA on the pair, with α and 2 α    | log-odds move, and by twice as much         |
| idle LoRA    | a LoRA on the target that adds zero          | what the model says without it              |
| LoRA         | a random LoRA on the target                  | log-probabilities move                      |
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from adapters.artifact.artifact import FORMAT, OFFSET_HALF, REFERENCE_HALF, SOFT_PROMPT, TARGET, Artifact, Manifest
from adapters.artifact.spec import DD_LINEAR, DELTA, OffsetSpec, PairSpec
from gateway.policy.plan import AdapterRef

if TYPE_CHECKING:
    import torch

#: Of the soft prompt. The table has as many beyond what active requests may hold, so a full one can be checked too.
ROWS = 16
RANK = 8
#: Norm of a random canary's change of a layer, as a share of the norm of the layer's weights.
CHANGE = 1.0
STRENGTHS = (1.0, 2.0)
_OWNER = "selfcheck"


class Source(Protocol):
    """Where artifacts come from: the blob store."""

    async def get(self, digest: str) -> bytes:
        """The artifact's verified bytes. Raises `AdapterUnavailable`."""


class Shelf:
    """The blob store, with the canaries in front of it: they are made anew at each start and never stored."""

    def __init__(self, behind: Source) -> None:
        self._behind = behind
        self._canaries: dict[str, bytes] = {}

    def put(self, content: bytes) -> str:
        """Returns the digest that `get` finds it by."""
        digest = hashlib.sha256(content).hexdigest()
        self._canaries[digest] = content
        return digest

    async def get(self, digest: str) -> bytes:
        """See `Source`."""
        return self._canaries[digest] if digest in self._canaries else await self._behind.get(digest)


@dataclass(frozen=True, slots=True)
class Layer:
    """A linear layer that LoRAs can change, as artifacts name it: `offset.…`, `reference.…` or `target.…`.

    inputs, outputs: its whole width, also where several workers share it. scale: root mean square of its weights.
    """

    name: str
    inputs: int
    outputs: int
    scale: float


@dataclass(frozen=True, slots=True)
class Canaries:
    """One of each kind that the service offers; None for a kind that it does not."""

    soft: AdapterRef | None = None
    idle_offset: AdapterRef | None = None
    offsets: tuple[AdapterRef, ...] = ()
    idle_lora: AdapterRef | None = None
    lora: AdapterRef | None = None

    @property
    def all(self) -> tuple[AdapterRef, ...]:
        found = (self.soft, self.idle_offset, *self.offsets, self.idle_lora, self.lora)
        return tuple(canary for canary in found if canary is not None)

    @property
    def named(self) -> Mapping[str, AdapterRef]:
        """Those that change answers, by kind."""
        found = {"soft prompt": self.soft, "offset": self.offsets[-1] if self.offsets else None, "LoRA": self.lora}
        return {name: canary for name, canary in found.items() if canary is not None}


class CanaryMaker:
    """Makes artifacts for the served model, and shelves them.

    pair: as the service offers it, None without one.
    """

    def __init__(self, shelf: Shelf, *, hidden_size: int, pair: PairSpec | None) -> None:
        self._shelf = shelf
        self._hidden_size = hidden_size
        self._pair = pair

    def make(self, embeddings: torch.Tensor | None, layers: Sequence[Layer]) -> Canaries:
        """embeddings [rows, hidden] of the text whose soft prompt is made; None where none is offered."""
        offset = [layer for layer in layers if layer.name.startswith(f"{OFFSET_HALF}.")]
        target = [layer for layer in layers if layer.name.startswith(f"{TARGET}.")]
        idle, offsets = self._offsets(layers, offset) if offset and self._pair is not None else (None, ())
        return Canaries(
            soft=None if embeddings is None else self._put({SOFT_PROMPT: embeddings}, rows=len(embeddings)),
            idle_offset=idle,
            offsets=offsets,
            idle_lora=self._put(_lora(target, 0.0), target_rank=RANK) if target else None,
            lora=self._put(_lora(target, CHANGE), target_rank=RANK) if target else None,
        )

    def _offsets(self, layers: Sequence[Layer], offset: Sequence[Layer]) -> tuple[AdapterRef, tuple[AdapterRef, ...]]:
        assert self._pair is not None
        made_for = PairSpec(self._pair.layers, self._pair.model_digest)
        random = _lora(offset, CHANGE)
        changing = tuple(
            self._put(random, offset=OffsetSpec(DELTA, strength, RANK, made_for)) for strength in STRENGTHS
        )
        if not self._pair.own_reference:
            return self._put(_lora(offset, 0.0), offset=OffsetSpec(DELTA, STRENGTHS[0], RANK, made_for)), changing
        # Then the reference is a stack that has to agree as well.
        both = [*offset, *(layer for layer in layers if layer.name.startswith(f"{REFERENCE_HALF}."))]
        spec = OffsetSpec(DD_LINEAR, STRENGTHS[0], RANK, self._pair)
        return self._put(_lora(both, 0.0), offset=spec), changing

    def _put(
        self,
        tensors: Mapping[str, torch.Tensor],
        *,
        rows: int = 0,
        offset: OffsetSpec | None = None,
        target_rank: int = 0,
    ) -> AdapterRef:
        dtype = str(next(iter(tensors.values())).dtype).removeprefix("torch.")
        manifest = Manifest(
            FORMAT, _OWNER, self._hidden_size, rows, dtype, "", {}, 0, "gateway.selfcheck/1", offset, target_rank
        )
        digest = self._shelf.put(Artifact(manifest, tensors).to_bytes())
        return AdapterRef(_OWNER, digest, manifest.footprint)


def _lora(layers: Sequence[Layer], change: float) -> dict[str, torch.Tensor]:
    """A random LoRA, the same each time, whose B A has `change` times the Frobenius norm of the layer's weights."""
    import torch

    generator = torch.Generator().manual_seed(0)
    tensors: dict[str, torch.Tensor] = {}
    for layer in layers:
        a = torch.randn(RANK, layer.inputs, generator=generator) / math.sqrt(layer.inputs)
        b = torch.randn(layer.outputs, RANK, generator=generator)
        b *= change * layer.scale * math.sqrt(layer.inputs / RANK)
        tensors |= {f"{layer.name}.lora_A": a.bfloat16(), f"{layer.name}.lora_B": b.bfloat16()}
    return tensors
