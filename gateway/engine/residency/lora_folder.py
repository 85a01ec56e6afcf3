"""Writes the LoRAs of an adapter the way vLLM loads one: a folder in PEFT's layout."""

from __future__ import annotations

import hashlib
import json
import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from adapters.artifact.artifact import SOFT_PROMPT, TARGET, Artifact
from adapters.artifact.spec import DD_RANK, ULD, OffsetSpec
from gateway.engine.inside.combine import RULE_WIDTH, Kind, rule_columns, target_columns
from gateway.engine.statement import UNKNOWN, set_name

_PREFIX = "base_model.model."
RULE, MARK = "pair.rule", "mark"
_WEIGHTS = "adapter_model.safetensors"
#: Which adapters the folder is made of, and the digest of its weights.
_CONTENTS = "contents.json"


@dataclass(frozen=True, slots=True)
class Contents:
    """What a folder holds. name: of the set of adapters that it is made of, `UNKNOWN` where the weights are not those
    that were written, or nothing is said of them. changes_pair: whether the pair has to run. plain_sum: whether its
    offset is added to the target's logits as it is."""

    name: str = UNKNOWN
    changes_pair: bool = True
    plain_sum: bool = False


def rule_of(spec: OffsetSpec) -> torch.Tensor:
    """The constants of an adapter, [RULE_WIDTH]; see `combine`."""
    if spec.is_plain_sum:
        return rule_columns(spec.strength, -spec.strength, Kind.LINEAR, 0.0)
    if spec.kind == ULD:
        return rule_columns(-spec.strength, 0.0, Kind.FILTERED, spec.parameter)
    assert spec.kind == DD_RANK
    return rule_columns(1.0, -1.0, Kind.RANK, spec.parameter)


def module_names(artifact: Artifact) -> list[str]:
    """The modules, as artifacts name them, that the adapter changes."""
    return sorted({name.rpartition(".")[0] for name in artifact.tensors if name != SOFT_PROMPT})


def changes_target(module: str) -> bool:
    """Whether a module, as artifacts name it, is one of the target's own."""
    return module.startswith(f"{TARGET}.")


def engine_name(module: str) -> str:
    """The engine's name of a module, as artifacts name it: they name the target, and the halves of the pair."""
    return module if changes_target(module) else f"pair.{module}"


def artifact_name(module: str) -> str:
    """The other way round: how artifacts name a module of the engine's."""
    return module if changes_target(module) else module.removeprefix("pair.")


def write_lora_folder(artifact: Artifact, folder: Path, members: Sequence[str]) -> None:
    """Make `folder`, all at once; one that is there already is replaced.

    members: digests of the adapters that the artifact is, or is merged from; the worker reads them back.

    The rule is a LoRA on a layer of the engine's that is fed with ones: A picks the first, B holds the constants. An
    offset has its own on the pair's `rule`, a LoRA on the target marks its tokens through `mark`.
    """
    spec, target_rank = artifact.manifest.offset, artifact.manifest.target_rank
    tensors = {}
    for name, tensor in artifact.tensors.items():
        if name != SOFT_PROMPT:
            tensors[f"{_PREFIX}{engine_name(name)}.weight"] = tensor.contiguous()
    dtype = next(iter(tensors.values())).dtype
    if spec is not None:
        tensors |= _constants(RULE, rule_of(spec), spec.rank, dtype)
    if target_rank:
        tensors |= _constants(MARK, target_columns(), target_rank, dtype)
    # Offset and target may differ in rank: vLLM takes each layer's from its matrices, and r for the largest.
    # lora_alpha = r: the factor is part of B already.
    rank = max(target_rank, spec.rank if spec is not None else 0)
    config = {"peft_type": "LORA", "r": rank, "lora_alpha": rank, "target_modules": [RULE], "bias": "none"}
    folder.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    staging = Path(tempfile.mkdtemp(prefix=".writing-", dir=folder.parent))
    try:
        save_file(tensors, staging / _WEIGHTS)
        contents = {
            "adapters": list(members),
            "plain_sum": spec is None or spec.is_plain_sum,
            "weights": _digest_of(staging / _WEIGHTS),
        }
        (staging / _CONTENTS).write_text(json.dumps(contents), encoding="utf-8")
        (staging / "adapter_config.json").write_text(json.dumps(config), encoding="utf-8")
        shutil.rmtree(folder, ignore_errors=True)
        staging.rename(folder)
    finally:
        shutil.rmtree(staging, ignore_errors=True)


def read_contents(folder: Path) -> Contents:
    """What the folder holds, by its own word and that of its weights."""
    try:
        said = json.loads((folder / _CONTENTS).read_text(encoding="utf-8"))
        if said["weights"] != _digest_of(folder / _WEIGHTS):
            return Contents()
        with safe_open(folder / _WEIGHTS, "pt") as weights:
            changes_pair = any(name.startswith(f"{_PREFIX}pair.") for name in weights.keys())  # noqa: SIM118
        return Contents(set_name(said["adapters"]), changes_pair, bool(said["plain_sum"]))
    except (OSError, ValueError, KeyError, TypeError, SafetensorError):
        return Contents()


def _digest_of(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _constants(layer: str, columns: torch.Tensor, rank: int, dtype: torch.dtype) -> dict[str, torch.Tensor]:
    lora_a, lora_b = torch.zeros(rank, RULE_WIDTH), torch.zeros(RULE_WIDTH, rank)
    lora_a[0, 0] = 1.0
    lora_b[:, 0] = columns
    name = f"{_PREFIX}{layer}"
    return {f"{name}.lora_A.weight": lora_a.to(dtype), f"{name}.lora_B.weight": lora_b.to(dtype)}
