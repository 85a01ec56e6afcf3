"""Writes an offset adapter the way vLLM loads one: a folder in PEFT's layout."""

from __future__ import annotations

import json
import shutil
import tempfile
from pathlib import Path

import torch
from safetensors.torch import save_file

from adapters.artifact import SOFT_PROMPT, Artifact
from adapters.offset import DD_RANK, ULD, OffsetSpec
from gateway.engine.combine import RULE_WIDTH, Kind, rule_columns

_PREFIX = "base_model.model.pair."
RULE = "rule"


def rule_of(spec: OffsetSpec) -> torch.Tensor:
    """The constants of an adapter, [RULE_WIDTH]; see `combine`."""
    if spec.is_plain_sum:
        return rule_columns(spec.strength, -spec.strength, Kind.LINEAR, 0.0)
    if spec.kind == ULD:
        return rule_columns(-spec.strength, 0.0, Kind.FILTERED, spec.parameter)
    assert spec.kind == DD_RANK
    return rule_columns(1.0, -1.0, Kind.RANK, spec.parameter)


def module_names(artifact: Artifact) -> list[str]:
    """The engine's modules, as checkpoints name them, that the adapter changes."""
    return sorted({name.rpartition(".")[0] for name in artifact.tensors if name != SOFT_PROMPT})


def write_lora_folder(artifact: Artifact, folder: Path) -> None:
    """Make `folder`, all at once; one that is there already is replaced.

    The rule is a LoRA on the engine's `rule` layer, which is fed with ones: A picks the first, B holds the constants.
    """
    spec = artifact.manifest.offset
    assert spec is not None
    tensors = {}
    for name, tensor in artifact.tensors.items():
        if name != SOFT_PROMPT:
            tensors[f"{_PREFIX}{name}.weight"] = tensor.contiguous()
    dtype = next(iter(tensors.values())).dtype
    lora_a, lora_b = torch.zeros(spec.rank, RULE_WIDTH), torch.zeros(RULE_WIDTH, spec.rank)
    lora_a[0, 0] = 1.0
    lora_b[:, 0] = rule_of(spec)
    tensors[f"{_PREFIX}{RULE}.lora_A.weight"] = lora_a.to(dtype)
    tensors[f"{_PREFIX}{RULE}.lora_B.weight"] = lora_b.to(dtype)
    # lora_alpha = r: the factor is part of B already.
    config = {"peft_type": "LORA", "r": spec.rank, "lora_alpha": spec.rank, "target_modules": [RULE], "bias": "none"}
    folder.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    staging = Path(tempfile.mkdtemp(prefix=".writing-", dir=folder.parent))
    try:
        save_file(tensors, staging / "adapter_model.safetensors")
        (staging / "adapter_config.json").write_text(json.dumps(config), encoding="utf-8")
        shutil.rmtree(folder, ignore_errors=True)
        staging.rename(folder)
    finally:
        shutil.rmtree(staging, ignore_errors=True)
