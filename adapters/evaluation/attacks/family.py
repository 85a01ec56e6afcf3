"""What an attack family is, and where its templates are."""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import Iterator
from functools import cache
from importlib import resources
from typing import Any, ClassVar

from adapters.evaluation.attacks.context import AttackContext, Bank
from adapters.evaluation.attacks.probe import Probe


class Family(ABC):
    """One way to get at what was forgotten.

    The class's docstring says what it does and where it comes from.
    """

    #: Its name in reports, requests and gates.
    name: ClassVar[str]

    @abstractmethod
    def probes(self, context: AttackContext) -> Iterator[Probe]:
        """Its probes on the items, the most telling first and the items in turn, so that the first few are as varied as
        they can be. None where the items or the language give it nothing to ask.
        """


@cache
def templates(language: str, family: str, bank: Bank) -> tuple[Any, ...]:
    """A family's templates in a language; empty where there are none."""
    file = resources.files("adapters.evaluation.attacks").joinpath("languages", language, f"{family}.json")
    if not file.is_file():
        return ()
    return tuple(json.loads(file.read_text(encoding="utf-8"))[bank])
