"""What a run is about: what is to be forgotten, and what is asked of the model beside the attacks."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from adapters.evaluation.rivals.rival import Forgotten
from adapters.examples import Example
from bench.depth.facts import Fact, load_general, right
from bench.depth.hearing import BenchModel

Figures = dict[str, Any]


@dataclass(frozen=True)
class Case(ABC):
    """model: the checkpoint that unlearns."""

    model: Path

    #: "facts" or "tofu".
    world: ClassVar[str]

    @property
    @abstractmethod
    def name(self) -> str:
        """Of the fact, or of the split."""

    @property
    @abstractmethod
    def labels(self) -> Mapping[str, Any]:
        """What a report groups by."""

    @property
    @abstractmethod
    def forget(self) -> tuple[Example, ...]: ...

    @property
    def retain(self) -> tuple[Example, ...] | None:
        """None: the method makes its own."""
        return None

    @property
    def forgotten(self) -> Forgotten:
        """What a rival is told."""
        return Forgotten.of(self.forget)

    @property
    def retrained(self) -> Path | None:
        """The checkpoint that never read of the forgotten, where there is one."""
        return None

    def inverted(self) -> Mapping[int, tuple[str, ...]]:
        """Answers that contradict the items', for an objective that learns such; {}: the method makes its own."""
        return {}

    @abstractmethod
    def figures(self, model: BenchModel) -> Figures:
        """What is measured beside the attacks: numbers alone."""


@dataclass(frozen=True)
class FactCase(Case):
    """A fact that the default model knows."""

    fact: Fact
    world = "facts"

    @property
    def name(self) -> str:
        return self.fact.id

    @property
    def labels(self) -> Mapping[str, Any]:
        return {"kind": self.fact.kind, "split": self.fact.split}

    @property
    def forget(self) -> tuple[Example, ...]:
        return self.fact.forget

    def figures(self, model: BenchModel) -> Figures:
        """Of each question whether its answer is right."""
        general = load_general()
        parts = {
            "given": self.fact.given,
            "paraphrases": self.fact.paraphrases,
            "neighbours": self.fact.neighbours,
            "general": (*self.fact.controls, *(question for question in general if question not in self.fact.controls)),
        }
        return {name: flags(right(model.respond, questions)) for name, questions in parts.items()}


def flags(values: Sequence[bool]) -> list[int]:
    """As a log has them."""
    return [int(value) for value in values]
