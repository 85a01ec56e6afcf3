"""A short run of every method and objective, for whoever compares one device with another."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from adapters.artifact.artifact import Artifact
from adapters.models.hardware import Hardware
from adapters.models.workbench import Workbench
from adapters.objectives.registry import objectives
from adapters.registry import get_method
from adapters.task import TrainingTask
from tests.unit.adapters.conftest import NOTHING_ELSE
from tests.unit.adapters.methods.offsets import offset_task

_SPUL = {
    "max_steps": 3,
    "num_virtual_tokens": 4,
    "init_text": "Answer.",
    "cloze_forms": 0,
    "rewording_lists": 0,
    "framed_variants": 0,
    **NOTHING_ELSE,
}


@dataclass(frozen=True)
class Run:
    """A method with settings of its own."""

    method: str
    settings: Mapping[str, Any] = field(default_factory=dict)

    def on(self, hardware: Hardware, model_path: Path) -> Artifact:
        """What it learns there of the tiny model's forget set, alone in its job."""
        return Workbench(model_path, hardware).train(get_method(self.method), self.task(model_path))

    def task(self, model_path: Path) -> TrainingTask:
        """The task, without a workbench."""
        if self.method == "spul":
            config = get_method("spul").config_type(**{**_SPUL, **self.settings})
            task = replace(offset_task("delta", model_path), config=config)
        else:
            task = offset_task(self.method, model_path, **self.settings)
        if self.settings.get("objective") == "meow":
            task = replace(task, inverted={index: ("It was Maria.",) for index in range(len(task.forget))})
        return task

    def __str__(self) -> str:
        return "-".join([self.method, *map(str, self.settings.values())])


RUNS = (
    *[Run("delta", {"objective": name}) for name in objectives() if name != "uld"],
    *[Run("lora", {"objective": name}) for name in ("idk", "npo", "snap", "undial")],
    Run("uld"),
    Run("divergence", {"form": "rank"}),
    Run("divergence", {"form": "linear"}),
    *[
        Run("spul", {"encoder": encoder, "init": init})
        for encoder in ("embedding", "mlp")
        for init in ("text", "vocab")
    ],
    Run("spul", {"init": "random", "alpha": 1.0}),
)
