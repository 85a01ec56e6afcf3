"""Where the pair of the served engine comes from, for a trainer."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from adapters.artifact.spec import PairSpec


@dataclass(frozen=True, slots=True)
class PairSource:
    """The pair's description, and the folder of its model; `model_path` is None when it is the target's own layers."""

    spec: PairSpec
    model_path: Path | None = None
