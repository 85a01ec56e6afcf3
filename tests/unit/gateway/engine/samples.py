"""Adapters with LoRAs on the pair and on the target, real and small."""

from __future__ import annotations

from dataclasses import replace

import torch

from adapters.artifact.artifact import FORMAT, Artifact, Manifest
from adapters.artifact.spec import DELTA, OffsetSpec, PairSpec

HIDDEN = 8
MODEL_DIGEST = "d" * 64
PAIR = PairSpec(2)
SHAPES = {"model.layers.0.self_attn.q_proj": (HIDDEN, 6), "model.layers.1.mlp.down_proj": (12, HIDDEN)}  # in, out


def offset_artifact(
    seed: int = 0,
    *,
    kind: str = DELTA,
    strength: float = 1.0,
    parameter: float = 0.0,
    rank: int = 2,
    rows: int = 0,
    pair: PairSpec = PAIR,
    model_digest: str = MODEL_DIGEST,
) -> Artifact:
    """A random offset, bfloat16, with as many soft rows as asked for."""
    generator = torch.Generator().manual_seed(seed)

    def noise(*shape: int) -> torch.Tensor:
        return torch.randn(*shape, generator=generator).bfloat16()

    spec = OffsetSpec(kind, strength, rank, pair, parameter)
    tensors = {}
    for half in ("offset", "reference") if spec.needs_reference_half else ("offset",):
        for name, (width, height) in SHAPES.items():
            tensors[f"{half}.{name}.lora_A"] = noise(rank, width)
            tensors[f"{half}.{name}.lora_B"] = noise(height, rank)
    if rows:
        tensors["soft_prompt"] = noise(rows, HIDDEN)
    manifest = Manifest(
        format=FORMAT,
        method="delta",
        hidden_size=HIDDEN,
        rows=rows,
        dtype="bfloat16",
        model_digest=model_digest,
        config={},
        seed=seed,
        created_by="test",
        offset=spec,
    )
    return Artifact(manifest, tensors)


def target_artifact(seed: int = 0, *, rank: int = 3, beside: Artifact | None = None) -> Artifact:
    """A random LoRA on the target, bfloat16, beside what another artifact has."""
    generator = torch.Generator().manual_seed(1000 + seed)
    base = beside or offset_artifact(seed)
    tensors = dict(beside.tensors) if beside else {}
    for name, (width, height) in SHAPES.items():
        tensors[f"target.{name}.lora_A"] = torch.randn(rank, width, generator=generator).bfloat16()
        tensors[f"target.{name}.lora_B"] = torch.randn(height, rank, generator=generator).bfloat16()
    offset = beside.manifest.offset if beside else None
    return Artifact(replace(base.manifest, method="lora", offset=offset, target_rank=rank), tensors)
