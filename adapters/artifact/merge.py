"""Several LoRAs in one: on the same layers by concatenation of their ranks, on the pair and on the target side by side.

B₁A₁x + B₂A₂x = [B₁ B₂] [A₁; A₂] x: a layer with the merged LoRA computes with the sum of the changes. A request has one
LoRA in the engine, and its offset one strength: four fifths of the largest, for what each adds to prompts that are not
its own adds up. An offset of a smaller one keeps its weights and so acts more strongly than the others, up to twice;
beyond that its B is made smaller. A strength multiplies logits, B what a layer computes, and the two cannot stand in
for each other: a refusal is learnt as a switch, and with two thirds of its B under one and a half times the strength it
is off (`bench/delta_facts.md`).

Where the ranks together are more than an engine takes, a layer has the nearest change of the rank it does take. Of five
offsets of rank 16, rank 64 keeps 0.99995 of the squared norm in the layer that loses most, rank 16 0.979.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch

from adapters.artifact.artifact import SOFT_PROMPT, TARGET, Artifact
from adapters.artifact.low_rank import truncate
from adapters.artifact.spec import DELTA
from adapters.errors import InvalidArtifact

_CREATED_BY = "adapters.artifact.merge/4"
#: Of the largest strength. With five facts together, at 0.7 of it given prompts came back; the whole lost more of what
#: was to stay (`bench/delta_facts.md`).
_TOGETHER = 0.8
#: How many times its own strength, beside the largest, an offset may act at.
_MOST_RAISED = 2.0


def merge_loras(artifacts: Sequence[Artifact], *, max_rank: int | None = None) -> Artifact:
    """The offset and the target's LoRA of all artifacts together; their soft prompts are left out.

    max_rank: of any layer's merged LoRA. The manifest's config says how many were merged, and `kept`, of the layer that
    lost most the share of its change's squared norm that is left.

    Raises `InvalidArtifact` when there is neither, when offsets cannot be merged (see `merge_offsets`), or when LoRAs
    on the target were made for different models or change different layers of it.
    """
    with_offset = [_part(artifact, on_target=False) for artifact in artifacts if artifact.manifest.offset is not None]
    on_target = [_part(artifact, on_target=True) for artifact in artifacts if artifact.manifest.target_rank]
    parts = [*with_offset, *on_target]
    if len(with_offset) > 1:
        parts = [merge_offsets(with_offset), *on_target]
    if not parts or len({part.manifest.model_digest for part in parts}) != 1:
        raise InvalidArtifact("adapters without a LoRA, or made for different models, cannot be merged")
    tensors = dict(parts[0].tensors) if with_offset else {}
    if on_target:
        tensors |= _concatenated(on_target, [1.0] * len(on_target))
    manifest = replace(
        parts[0].manifest,
        config={"merged": len(artifacts)},
        target_rank=sum(part.manifest.target_rank for part in on_target),
        created_by=_CREATED_BY,
    )
    merged = Artifact(manifest, tensors)
    return merged if max_rank is None else _truncated(merged, max_rank)


def merge_offsets(artifacts: Sequence[Artifact]) -> Artifact:
    """The offset of all artifacts together; their soft prompts are left out.

    Raises `InvalidArtifact` when one has no offset, is of a kind that does not add up, was made for another pair, or
    changes other layers.
    """
    specs = []
    for artifact in artifacts:
        spec = artifact.manifest.offset
        if spec is None:
            raise InvalidArtifact("an adapter without an offset cannot be merged")
        if spec.kind != DELTA:
            raise InvalidArtifact(f"offsets of kind {spec.kind} cannot apply together with others")
        specs.append(spec)
    if len({spec.pair for spec in specs}) != 1 or len({a.manifest.model_digest for a in artifacts}) != 1:
        raise InvalidArtifact("offsets made for different pairs cannot apply together")
    largest = max(spec.strength for spec in specs)
    strength = largest * (_TOGETHER if len(specs) > 1 else 1.0)
    rank = sum(spec.rank for spec in specs)
    tensors = _concatenated(artifacts, [_factor(spec.strength, largest) for spec in specs])
    manifest = replace(
        artifacts[0].manifest,
        rows=0,
        config={"merged": len(artifacts)},
        offset=replace(specs[0], strength=strength, rank=rank),
        created_by=_CREATED_BY,
    )
    return Artifact(manifest, tensors)


def _truncated(artifact: Artifact, max_rank: int) -> Artifact:
    """The artifact with each layer's LoRA of that rank at most."""
    tensors, kept = dict(artifact.tensors), 1.0
    for layer in _layers(artifact):
        low, high = f"{layer}.lora_A", f"{layer}.lora_B"
        tensors[low], tensors[high], of_layer = truncate(tensors[low], tensors[high], max_rank)
        kept = min(kept, of_layer)
    manifest = artifact.manifest
    offset = manifest.offset
    manifest = replace(
        manifest,
        config={**manifest.config, "kept": kept},
        offset=None if offset is None else replace(offset, rank=min(offset.rank, max_rank)),
        target_rank=min(manifest.target_rank, max_rank),
    )
    return Artifact(manifest, tensors)


def _factor(own: float, largest: float) -> float:
    """Of the B of an offset that acts beside one of the largest strength."""
    return min(1.0, _MOST_RAISED * own / largest) if largest else 0.0


def _part(artifact: Artifact, *, on_target: bool) -> Artifact:
    """The artifact's LoRA on the target alone, or its offset alone."""
    manifest = artifact.manifest
    kept = replace(manifest, rows=0, offset=None) if on_target else replace(manifest, rows=0, target_rank=0)
    prefix = f"{TARGET}."
    tensors = {
        name: tensor
        for name, tensor in artifact.tensors.items()
        if name != SOFT_PROMPT and name.startswith(prefix) is on_target
    }
    return Artifact(kept, tensors)


def _concatenated(artifacts: Sequence[Artifact], factors: Sequence[float]) -> dict[str, torch.Tensor]:
    """The sum of the artifacts' changes, each B times its factor. Raises `InvalidArtifact` for different layers."""
    layers = _layers(artifacts[0])
    if any(_layers(artifact) != layers for artifact in artifacts):
        raise InvalidArtifact("adapters that change different layers cannot apply together")
    tensors: dict[str, torch.Tensor] = {}
    for layer in layers:
        low, high = f"{layer}.lora_A", f"{layer}.lora_B"
        scaled = [
            (a.tensors[high].float() * factor).to(a.tensors[high].dtype)
            for a, factor in zip(artifacts, factors, strict=True)
        ]
        tensors |= {low: torch.cat([a.tensors[low] for a in artifacts]), high: torch.cat(scaled, dim=1)}
    return tensors


def _layers(artifact: Artifact) -> list[str]:
    return sorted({name.rpartition(".")[0] for name in artifact.tensors if name != SOFT_PROMPT})
