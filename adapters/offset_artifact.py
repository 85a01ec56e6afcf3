"""The artifact of a trained offset."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict

import torch

from adapters.artifact import FORMAT, Artifact, Manifest, model_digest
from adapters.errors import TrainingDiverged
from adapters.offset import OffsetSpec
from adapters.prompted import PromptedModel
from adapters.task import TrainingTask


def offset_artifact(
    method: str, task: TrainingTask, target: PromptedModel, tensors: Mapping[str, torch.Tensor], spec: OffsetSpec
) -> Artifact:
    """In the checkpoint's own format. Raises `TrainingDiverged` for weights that are not finite in it."""
    dtype = target.stored_dtype
    stored = {name: tensor.to(dtype) for name, tensor in tensors.items()}
    if not all(bool(tensor.isfinite().all()) for tensor in stored.values()):
        raise TrainingDiverged("the offset is not finite")
    manifest = Manifest(
        format=FORMAT,
        method=method,
        hidden_size=target.hidden_size,
        rows=0,
        dtype=str(dtype).removeprefix("torch."),
        model_digest=model_digest(task.model_path),
        config=asdict(task.config),
        seed=task.config.seed,
        created_by=f"adapters.methods.{method}/1",
        offset=spec,
    )
    return Artifact(manifest, stored)
