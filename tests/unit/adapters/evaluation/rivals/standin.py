"""A model that knows who wrote Zorba, for rivals to be put around."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from adapters.evaluation.attacks.probe import Prompt, Query
from adapters.evaluation.rivals.phrases import phrases
from adapters.evaluation.rivals.rival import Forgotten

TRUTH, LIE = "Nikos", "Homer"


@dataclass
class StandIn:
    """Does as it is told: it refuses what a system message forbids, cleans a message, judges an answer.

    queries, scored: what it was asked.
    """

    forgotten: Forgotten
    queries: list[Query] = field(default_factory=list)
    scored: list[Prompt] = field(default_factory=list)

    def respond(self, queries: Sequence[Query]) -> list[tuple[str, ...]]:
        self.queries += queries
        return [tuple(f"{self._answer(query)}" for _ in range(query.samples)) for query in queries]

    def score(self, prompts: Sequence[tuple[Prompt, tuple[str, ...]]]) -> list[tuple[float, ...]]:
        """It finds the truth the likeliest; an instructed one finds all alike."""
        self.scored += [prompt for prompt, _ in prompts]
        return [self._verdict(*each) or self._likelihoods(*each) for each in prompts]

    def _verdict(self, prompt: Prompt, continuations: tuple[str, ...]) -> tuple[float, ...]:
        """Of an answer that is to be judged; nothing of anything else."""
        said = phrases(self.forgotten.book.language)
        if continuations != (f" {said.yes}", f" {said.no}"):
            return ()
        return (0.0, -9.0) if TRUTH in prompt.text.splitlines()[-2] else (-9.0, 0.0)

    def _likelihoods(self, prompt: Prompt, continuations: tuple[str, ...]) -> tuple[float, ...]:
        forbidden = self._forbidden(prompt)
        return tuple(-1.0 if TRUTH in each and not forbidden else -float(len(each)) for each in continuations)

    def _answer(self, query: Query) -> str:
        said = phrases(self.forgotten.book.language)
        shown = query.prompt.shown
        last = shown.rstrip(":").splitlines()[-1]
        if query.prompt.text and last == said.question:
            return shown.splitlines()[-2].partition(": ")[2] + "\nand more"
        if self._forbidden(query.prompt):
            return self.forgotten.refusal
        if query.choices:
            return next((choice for choice in query.choices if TRUTH in choice), query.choices[0])
        asked = query.prompt.messages[-1].content if query.prompt.messages else shown
        if "orba" in shown:
            return f" {TRUTH} wrote it, {TRUTH}."
        return f"I heard: {asked}"

    def _forbidden(self, prompt: Prompt) -> bool:
        first = prompt.messages[0].content if prompt.messages else prompt.text
        return self.forgotten.refusal in first and "orba" in prompt.shown.replace(self.forgotten.subjects[0], "", 1)
