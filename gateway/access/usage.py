"""Tokens of a model request, counted at the engine's door: also of answers that are streamed or broken off."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass, field


@dataclass(slots=True)
class Usage:
    """Tokens of the prompts and of what was answered so far. A prompt with several answers counts once."""

    asked: int = 0
    _answered: dict[Hashable, int] = field(default_factory=dict)

    @property
    def tokens(self) -> int:
        return self.asked + sum(self._answered.values())

    def ask(self, tokens: int) -> None:
        """Count a prompt."""
        self.asked += tokens

    def answer(self, which: Hashable, tokens: int, *, more: bool) -> None:
        """Count an output of the answer of this name. more: it adds to the outputs before it, and does not repeat
        them."""
        self._answered[which] = tokens + (self._answered.get(which, 0) if more else 0)
