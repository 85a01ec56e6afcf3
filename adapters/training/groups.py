"""Which examples an objective sees: one group a view."""

from __future__ import annotations

from collections.abc import Sequence

from adapters.data.dataset import ForgetExample
from adapters.models.tokens import TokenizedExample
from adapters.objectives.base import CHOICE, FORGET, INVERTED, REFUSAL, RETAIN, TAUGHT, Objective


def groups(
    objective: Objective, forget: Sequence[ForgetExample], retain: Sequence[TokenizedExample]
) -> dict[str, list[TokenizedExample]]:
    """The examples an objective wants to see, by view."""
    everything = {
        FORGET: [example.original for example in forget],
        REFUSAL: [example.refusal for example in forget if example.refusal is not None],
        INVERTED: [example.inverted for example in forget if example.inverted is not None],
        TAUGHT: [example.original for example in forget if example.kind == TAUGHT],
        CHOICE: [each for example in forget for each in example.alternatives],
        RETAIN: list(retain),
    }
    return {name: examples for name, examples in everything.items() if name in objective.views and examples}
