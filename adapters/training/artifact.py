"""The artifact of what a method has learned."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass

import torch

from adapters.artifact.artifact import FORMAT, Artifact, Manifest, model_digest
from adapters.artifact.spec import OffsetSpec
from adapters.errors import TrainingDiverged
from adapters.models.frozen import PromptedModel
from adapters.task import TrainingTask


@dataclass(frozen=True, slots=True)
class Trained:
    """The tensors of the best LoRAs found, and the strength they are to be served with.

    strength: factor on what they add to the target's logits; of Divergence Decoding's rank form, the tokens it masks.
    """

    tensors: Mapping[str, torch.Tensor]
    strength: float


def trained_artifact(
    method: str,
    task: TrainingTask,
    target: PromptedModel,
    tensors: Mapping[str, torch.Tensor],
    *,
    rows: int = 0,
    offset: OffsetSpec | None = None,
    target_rank: int = 0,
) -> Artifact:
    """On the CPU, in the checkpoint's own format; rows, offset and target_rank are the manifest's.

    Raises `TrainingDiverged` for weights that are not finite in that format.
    """
    dtype = target.stored_dtype
    stored = {name: tensor.to("cpu", dtype).contiguous() for name, tensor in tensors.items()}
    if not all(bool(tensor.isfinite().all()) for tensor in stored.values()):
        raise TrainingDiverged("what was learned is not finite")
    manifest = Manifest(
        format=FORMAT,
        method=method,
        hidden_size=target.hidden_size,
        rows=rows,
        dtype=str(dtype).removeprefix("torch."),
        model_digest=task.model_digest or model_digest(task.model_path),
        config=asdict(task.config),
        seed=task.config.seed,
        created_by=f"adapters.methods.{method}/1",
        offset=offset,
        target_rank=target_rank,
    )
    return Artifact(manifest, stored)
