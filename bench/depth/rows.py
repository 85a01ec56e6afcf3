"""The rows of the benchmark: the model as it is, retrained, behind a rival, or with what a method has learned."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from adapters.registry import parse_config

ROWS = Path(__file__).with_name("rows.json")
BEFORE, RETRAIN = "before", "retrain"


@dataclass(frozen=True, slots=True)
class Row:
    """One row of the table.

    method: a training method, whose settings are those that are not its defaults. rival: what stands around the model
    instead. Neither: the model before or, with the name "retrain", the one that never read of the forgotten. layers: K
    of the pair; None: what an engine has by default. only: "facts" or "tofu"; None: on both.

    Raises `InvalidConfig` or `UnknownMethod` for settings that are not the method's, ValueError for a row of several
    kinds or of none.
    """

    name: str
    method: str | None = None
    settings: Mapping[str, Any] = field(default_factory=dict)
    rival: str | None = None
    layers: int | None = None
    only: str | None = None

    def __post_init__(self) -> None:
        if (self.method is not None) + (self.rival is not None) + (self.name in (BEFORE, RETRAIN)) != 1:
            raise ValueError(f"row {self.name!r} must be a method's, a rival's, or {BEFORE} or {RETRAIN}")
        if self.method is not None:
            parse_config(self.method, self.settings)

    def key(self) -> dict[str, Any]:
        """What makes it another row, with the method's defaults: it is run again when one of them has changed."""
        if self.method is None:
            return {"rival": self.rival} if self.rival is not None else {"model": self.name}
        config = asdict(parse_config(self.method, self.settings))
        return {"method": self.method, "config": config, "layers": self.layers}

    def seeded(self, seed: int) -> Row:
        """The same with this seed, for a method's row; other rows train nothing."""
        if self.method is None:
            return self
        return Row(self.name, self.method, {**self.settings, "seed": seed}, None, self.layers, self.only)


def load_rows(path: Path = ROWS) -> list[Row]:
    """The rows of a JSON list, the model before first, whether it is among them or not: all others are held against it.

    Raises TypeError for an entry with other fields than a row's, and what `Row` raises.
    """
    rows = [Row(**entry) for entry in json.loads(path.read_text(encoding="utf-8"))]
    return [Row(BEFORE), *(row for row in rows if row.name != BEFORE)]
