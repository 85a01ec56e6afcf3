"""How many bytes a checkpoint's weights are, read from the headers of its files."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

_LAYER = re.compile(r"(?:^|\.)layers\.(\d+)\.")


@dataclass(frozen=True, slots=True)
class CheckpointWeights:
    """Bytes of the decoder's layers, in order, and of everything else: embedding, norm, head.

    is_bfloat16: whether all are stored in that format.
    """

    layers: tuple[int, ...]
    rest: int
    is_bfloat16: bool = False

    @classmethod
    def of(cls, path: Path) -> CheckpointWeights:
        """Of the safetensors files in a folder, in the format they are stored in."""
        layers: dict[int, int] = {}
        rest, formats = 0, set()
        for name, dtype, size in _tensors(path):
            formats.add(dtype)
            if match := _LAYER.search(name):
                number = int(match.group(1))
                layers[number] = layers.get(number, 0) + size
            else:
                rest += size
        return cls(tuple(layers[number] for number in sorted(layers)), rest, formats == {"BF16"})

    @property
    def total(self) -> int:
        return sum(self.layers) + self.rest

    def first(self, layers: int) -> int:
        """Bytes of the first layers and of all that is no layer."""
        return sum(self.layers[:layers]) + self.rest


def _tensors(path: Path) -> Iterator[tuple[str, str, int]]:
    """(name, format, bytes) of each."""
    for file in sorted(path.glob("*.safetensors")):
        with file.open("rb") as handle:
            header = json.loads(handle.read(int.from_bytes(handle.read(8), "little")))
        for name, entry in header.items():
            if name != "__metadata__":
                first, end = entry["data_offsets"]
                yield name, entry["dtype"], end - first
