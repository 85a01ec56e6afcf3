"""Which methods can train with which objectives: those that have an `objective` setting, asked one by one.

`python -m adapters.carriers` prints docs/objectives.md.
"""

from __future__ import annotations

import sys
import textwrap
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

from adapters.errors import InvalidConfig
from adapters.objectives.base import CHOICE, FORGET, INVERTED, REFUSAL, RETAIN, TAUGHT, Objective, weighs_changes
from adapters.objectives.registry import objectives
from adapters.registry import methods

_VIEWS = {
    FORGET: "the answers to forget",
    REFUSAL: "refusals",
    INVERTED: "contradicting answers",
    TAUGHT: "attacks that are answered with the fact",
    CHOICE: "answers of the same kind",
    RETAIN: "what is retained",
}
_HEAD = """\
# Objectives

An objective is the loss that an adapter is trained with. The methods `spul`, `delta` and `lora`
train with any objective below that has a "yes". Name it in the request's `config`:

```json
{"method": "delta", "config": {"objective": "undial", "objective_settings": {"gamma": 10}}}
```

Without a name `spul` trains with its published loss, which is its own and no other method's.
[Configuration](configuration.md#the-objectives) lists their settings and defaults. The docstrings
in `adapters/objectives/` have the formulas and sources.

This page is made by `python -m adapters.carriers > docs/objectives.md`.
"""


@dataclass(frozen=True, slots=True)
class Carrier:
    """A method that trains with an objective of choice. unfit: those it refuses, and its words for it."""

    method: str
    unfit: Mapping[str, str]

    @property
    def fit(self) -> tuple[str, ...]:
        """Names of the objectives it can train with."""
        return tuple(name for name in objectives() if name not in self.unfit)


def carriers() -> tuple[Carrier, ...]:
    """All of them, in the order of their registry."""
    return tuple(
        Carrier(name, _unfit(method.config_type))
        for name, method in methods().items()
        if "objective" in {field.name for field in fields(method.config_type)}
    )


def _unfit(config_type: type[Any]) -> dict[str, str]:
    refused = {}
    for name in objectives():
        try:
            config_type(objective=name)
        except InvalidConfig as error:
            refused[name] = str(error).partition(";")[0]  # what follows lists the others
    return refused


def page() -> str:
    """docs/objectives.md."""
    carrying = carriers()
    lines = [
        _HEAD,
        f"| objective | learns from | {' | '.join(f'`{carrier.method}`' for carrier in carrying)} |",
        f"|---|---|{'---|' * len(carrying)}",
    ]
    for name, objective in objectives().items():
        cells = ["no" if name in carrier.unfit else "yes" for carrier in carrying]
        lines.append(f"| `{name}` | {_learns_from(objective())} | {' | '.join(cells)} |")
    refusals = [f"- `{carrier.method}`: {reason}." for carrier in carrying for reason in carrier.unfit.values()]
    if refusals:
        lines += ["", "Where it says no:", "", *refusals]
    return "\n".join([*lines, "", "What each is:", "", *map(_idea, objectives()), ""])


def _idea(name: str) -> str:
    """A list item: the first line of the objective's module, which names the idea and its source."""
    idea = (sys.modules[objectives()[name].__module__].__doc__ or "").partition("\n")[0]
    return textwrap.fill(f"- `{name}`. {idea}", 100, subsequent_indent="  ", break_on_hyphens=False)


def _learns_from(objective: Objective) -> str:
    parts = [text for view, text in _VIEWS.items() if view in objective.views]
    if weighs_changes(objective):
        parts.append("the change of the weights")
    return ", ".join(parts)


if __name__ == "__main__":
    sys.stdout.write(page())
