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
from tests.unit.adapters.methods.runs import method_task


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
        task = method_task(self.method, model_path, **self.settings)
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
    *[Run("spul", {"objective": name}) for name in ("counterfactual", "npo", "undial")],
)
