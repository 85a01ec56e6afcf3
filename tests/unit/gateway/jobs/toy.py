"""A method that trains in a second: for what the jobs package does around training."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import save

from adapters.artifact.artifact import FORMAT, Artifact, Manifest, model_digest
from adapters.artifact.footprint import Footprint
from adapters.errors import InvalidItem, TrainingDiverged
from adapters.evaluation.attacks.probe import Prompt, Query
from adapters.examples import Message
from adapters.progress import Progress
from adapters.task import Method, TrainingTask

SECRET = "the-forget-text-that-nobody-may-see"


@dataclass(frozen=True)
class ToyConfig:
    """`behaviour`: what happens half-way. `marks`: folder in which each run leaves a file."""

    steps: int = 20
    pause_s: float = 0.01
    behaviour: str = ""
    marks: str = ""


class ToyArtifact(Artifact):
    """Real safetensors bytes, made without torch, which takes seconds to import in every job."""

    def to_bytes(self) -> bytes:
        tensors = {"soft_prompt": np.arange(8, dtype=np.float32).reshape(2, 4)}
        data: bytes = save(tensors, metadata={"manifest": self.manifest.to_json()})
        return data


class Toy:
    name = "toy"
    config_type: type[Any] = ToyConfig

    def footprint(self, config: ToyConfig) -> Footprint:
        return Footprint(rows=2)

    def needs_own_reference(self, config: ToyConfig) -> bool:
        return False

    def train(self, task: TrainingTask) -> Artifact:
        config: ToyConfig = task.config
        runs = _mark(config.marks)
        if config.behaviour == "ask":
            assert task.ask is not None
            conversation = (Message("user", "the capital of France?"),)
            assert task.ask([conversation] * 3, max_tokens=8) == ["Paris."] * 3
            assert task.respond is not None
            assert task.respond([Query(Prompt(conversation))]) == [("Paris.",)]
        for step in range(1, config.steps + 1):
            task.check_cancelled()
            task.report(Progress("training", step, config.steps, loss=float("nan") if step == 1 else 1 / step))
            time.sleep(config.pause_s)
            if step == config.steps // 2:
                _behave(config.behaviour, runs, task)
        manifest = Manifest(
            format=FORMAT,
            method=self.name,
            hidden_size=4,
            rows=2,
            dtype="float32",
            model_digest=task.model_digest or model_digest(task.model_path),
            config={"steps": config.steps},
            seed=0,
            created_by="toy",
        )
        return ToyArtifact(manifest, {})


def _mark(folder: str) -> int:
    if not folder:
        return 1
    runs = len(list(Path(folder).iterdir())) + 1
    (Path(folder) / f"{runs}-{os.getpid()}").touch()
    return runs


def _behave(behaviour: str, runs: int, task: TrainingTask) -> None:
    if behaviour == "diverge":
        raise TrainingDiverged("the loss became NaN at step 10")
    if behaviour == "refuse":
        raise InvalidItem("forget", len(task.forget) - 1, "is 99 tokens long; at most 64 fit")
    if behaviour == "raise" or (behaviour == "raise once" and runs == 1):
        raise RuntimeError(SECRET)
    if behaviour == "die" or (behaviour == "die once" and runs == 1):
        os.kill(os.getpid(), signal.SIGKILL)
    if behaviour == "hang" or (behaviour == "hang once" and runs == 1):
        while True:
            task.check_cancelled()
            time.sleep(0.05)


def methods() -> Mapping[str, Method]:
    toy: Method = Toy()
    return {toy.name: toy}
