"""The learned artifact of one unlearning request: tensors and a manifest in one safetensors file.

Named by the SHA-256 of its bytes, so the bytes are a function of the content alone: no dates, no text.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from adapters.artifact.footprint import Footprint
from adapters.artifact.spec import OffsetSpec, PairSpec
from adapters.errors import InvalidArtifact

if TYPE_CHECKING:
    import torch

FORMAT = 3
SOFT_PROMPT = "soft_prompt"
OFFSET_HALF, REFERENCE_HALF = "offset", "reference"
TARGET = "target"


@dataclass(frozen=True, slots=True)
class Manifest:
    """What an artifact says about itself.

    rows: soft rows it occupies (0 for a method without any). hidden_size: width of the model it was made
    for. model_digest: `model_digest` of that model's checkpoint. config: the method's own settings. offset: how the
    LoRA on the pair is applied, None for an adapter without one. target_rank: rank of the LoRA on the target itself, 0
    for an adapter without one.
    """

    format: int
    method: str
    hidden_size: int
    rows: int
    dtype: str
    model_digest: str
    config: dict[str, Any]
    seed: int
    created_by: str
    offset: OffsetSpec | None = None
    target_rank: int = 0

    @property
    def footprint(self) -> Footprint:
        """The room that the adapter takes in the engine."""
        return Footprint(self.rows, 0 if self.offset is None else self.offset.rank, self.target_rank)

    def to_json(self) -> str:
        offset = None if self.offset is None else self.offset.to_dict()
        return json.dumps(asdict(self) | {"offset": offset}, sort_keys=True, separators=(",", ":"))

    @classmethod
    def from_json(cls, text: str) -> Manifest:
        """Raises `InvalidArtifact` unless every field is there, alone and of its type."""
        try:
            data = json.loads(text)
        except json.JSONDecodeError as error:
            raise InvalidArtifact("the manifest is not JSON") from error
        kinds = {
            "format": int,
            "method": str,
            "hidden_size": int,
            "rows": int,
            "dtype": str,
            "model_digest": str,
            "config": dict,
            "seed": int,
            "created_by": str,
            "target_rank": int,
        }
        if not isinstance(data, dict) or data.keys() != {field.name for field in fields(cls)}:
            raise InvalidArtifact("the manifest does not have exactly the fields it should")
        offset = data.pop("offset")
        for name, kind in kinds.items():
            if not isinstance(data[name], kind) or isinstance(data[name], bool):
                raise InvalidArtifact(f"the manifest's {name} is not of the right type")
        if data["format"] != FORMAT:
            raise InvalidArtifact(f"artifact format {data['format']} is not the one understood, {FORMAT}")
        return cls(**data, offset=None if offset is None else OffsetSpec.from_dict(offset))


@dataclass(frozen=True, slots=True)
class Artifact:
    """Tensors with their manifest.

    A soft prompt is {"soft_prompt": [rows, hidden]}. An offset is {"offset.<layer>.lora_A": [rank, in],
    "offset.<layer>.lora_B": [out, rank]} for layers under their names in the checkpoint, and the same under
    "reference." for a half on the reference. A LoRA on the target is the same under "target.". Any of the three may
    stand beside the others.
    """

    manifest: Manifest
    tensors: Mapping[str, torch.Tensor]

    def to_bytes(self) -> bytes:
        """Deterministic safetensors bytes; the same content gives the same bytes.

        Raises `InvalidArtifact` when the tensors contradict the manifest or are not finite.
        """
        from safetensors.torch import save

        _check(self)
        tensors = {name: self.tensors[name].contiguous() for name in sorted(self.tensors)}
        return save(tensors, metadata={"manifest": self.manifest.to_json()})

    @property
    def digest(self) -> str:
        """SHA-256 of `to_bytes()`, in hex."""
        return hashlib.sha256(self.to_bytes()).hexdigest()

    @classmethod
    def from_bytes(cls, data: bytes, *, expect_digest: str | None = None) -> Artifact:
        """Reads and checks an artifact.

        Raises `InvalidArtifact` when the digest is not the expected one, when the header or manifest is
        malformed, when a tensor holds NaN or infinity, or when shapes contradict the manifest.
        """
        from safetensors import SafetensorError
        from safetensors.torch import load

        if expect_digest is not None and hashlib.sha256(data).hexdigest() != expect_digest:
            raise InvalidArtifact("the bytes do not have the digest they are named by")
        manifest = Manifest.from_json(_metadata(data).get("manifest", ""))
        try:
            tensors = load(data)
        except SafetensorError as error:
            raise InvalidArtifact("the bytes are not a well-formed safetensors file") from error
        artifact = cls(manifest, tensors)
        _check(artifact)
        return artifact

    def require(
        self,
        *,
        hidden_size: int,
        model_digest: str | None = None,
        pair: PairSpec | None = None,
        target_lora: bool = False,
    ) -> None:
        """Raises `InvalidArtifact` when this artifact was made for a model of another width or digest, for a pair other
        than the one there is, or for a target that takes LoRAs where `target_lora` says that it does not."""
        if self.manifest.hidden_size != hidden_size:
            raise InvalidArtifact(f"the adapter is {self.manifest.hidden_size} wide, this model is {hidden_size} wide")
        if model_digest is not None and self.manifest.model_digest != model_digest:
            raise InvalidArtifact("the adapter was made for another model's weights")
        if self.manifest.target_rank and not target_lora:
            raise InvalidArtifact("the adapter is a LoRA on the target, and the target takes none here")
        offset = self.manifest.offset
        if offset is None:
            return
        if pair is None:
            raise InvalidArtifact("the adapter is an offset, and there is no pair to serve it through")
        if not pair.fits(offset.pair):
            raise InvalidArtifact(
                f"the adapter was made for a pair of {offset.pair.describe()}, not of {pair.describe()}"
            )


def _metadata(data: bytes) -> dict[str, str]:
    """The metadata of a safetensors header: 8 bytes of little-endian length, then JSON."""
    size = int.from_bytes(data[:8], "little")
    if len(data) < 8 or size > len(data) - 8:
        raise InvalidArtifact("the bytes are too short for their safetensors header")
    try:
        header = json.loads(data[8 : 8 + size])
    except (UnicodeDecodeError, json.JSONDecodeError) as error:
        raise InvalidArtifact("the safetensors header is not JSON") from error
    metadata = header.get("__metadata__") if isinstance(header, dict) else None
    if not isinstance(metadata, dict):
        raise InvalidArtifact("the safetensors header has no metadata")
    return metadata


def _check(artifact: Artifact) -> None:
    manifest = artifact.manifest
    for name, tensor in artifact.tensors.items():
        if not tensor.is_floating_point() or not bool(tensor.isfinite().all()):
            raise InvalidArtifact(f"tensor {name} holds values that are not finite numbers")
        if str(tensor.dtype).removeprefix("torch.") != manifest.dtype:
            raise InvalidArtifact(f"tensor {name} is not of the manifest's dtype")
    soft = artifact.tensors.get(SOFT_PROMPT)
    shape = None if soft is None else tuple(soft.shape)
    if shape != ((manifest.rows, manifest.hidden_size) if manifest.rows else None):
        raise InvalidArtifact(f"the soft prompt's shape {shape} contradicts the manifest")
    if not artifact.tensors:
        raise InvalidArtifact("the artifact holds no tensor")
    low_rank = {name: tensor for name, tensor in artifact.tensors.items() if name != SOFT_PROMPT}
    on_target = {name: tensor for name, tensor in low_rank.items() if name.startswith(f"{TARGET}.")}
    on_pair = {name: tensor for name, tensor in low_rank.items() if name not in on_target}
    if bool(on_pair) != (manifest.offset is not None):
        raise InvalidArtifact("an offset's tensors and its part of the manifest belong together")
    if manifest.offset is not None:
        _check_halves(on_pair, manifest.offset)
        _check_lora(on_pair, manifest.offset.rank)
    if bool(on_target) != (manifest.target_rank != 0) or manifest.target_rank < 0:
        raise InvalidArtifact("a target's LoRA and its rank in the manifest belong together")
    _check_lora(on_target, manifest.target_rank)


def _check_halves(tensors: Mapping[str, torch.Tensor], offset: OffsetSpec) -> None:
    halves = {OFFSET_HALF, REFERENCE_HALF} if offset.needs_reference_half else {OFFSET_HALF}
    if {name.partition(".")[0] for name in tensors} != halves:
        raise InvalidArtifact(
            f"a {offset.kind} adapter has tensors under {' and '.join(sorted(halves))}, and no others"
        )


def _check_lora(tensors: Mapping[str, torch.Tensor], rank: int) -> None:
    for name, tensor in tensors.items():
        layer, _, part = name.rpartition(".")
        side = {"lora_A": 0, "lora_B": 1}.get(part)
        if side is None or tensor.ndim != 2 or f"{layer}.{'lora_B' if side == 0 else 'lora_A'}" not in tensors:
            raise InvalidArtifact(f"tensor {name} is not one of a pair of LoRA matrices")
        if tensor.shape[side] != rank:
            raise InvalidArtifact(f"tensor {name} is not of the manifest's rank")


def checkpoint_files(path: Path) -> list[Path]:
    """The files that `model_digest` covers: the config, then the weights by name.

    Raises `InvalidArtifact` when the folder has no config.json or no safetensors file.
    """
    config = path / "config.json"
    weights = sorted(path.glob("*.safetensors"))
    if not config.is_file() or not weights:
        raise InvalidArtifact("not a checkpoint folder: config.json or *.safetensors is missing")
    return [config, *weights]


def model_digest(path: Path) -> str:
    """Digest of a checkpoint folder, in hex: its config and each weight file's name, size and content.

    Reads every weight. Raises `InvalidArtifact` when the folder has no config.json or no safetensors file.
    """
    total = hashlib.sha256()
    for file in checkpoint_files(path):
        with file.open("rb") as handle:
            content = hashlib.file_digest(handle, "sha256").hexdigest()
        total.update(f"{file.name}\0{file.stat().st_size}\0{content}\n".encode())
    return total.hexdigest()
