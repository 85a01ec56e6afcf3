"""One set of attacks, and what several models show under it beside the model before."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from adapters.evaluation.attacks.asking import attack_context
from adapters.evaluation.attacks.context import AttackContext, Bank
from adapters.evaluation.attacks.outcome import FamilyOutcome, outcomes, pooled
from adapters.evaluation.attacks.probe import Prompt, Query, Respond, Score
from adapters.evaluation.attacks.run import Result, run
from adapters.evaluation.attacks.suite import probes
from adapters.evaluation.statistics.proportion import lower_bound
from adapters.examples import Example, Message, one_turn
from adapters.text.phrasebook import Phrasebook
from adapters.text.probes import reveals

#: Of an answer that must stay: as much as the context's own answers had.
_MAX_TOKENS = 40


@dataclass(frozen=True, slots=True)
class Kept:
    """Answers that must stay: of so many asked, so many say what was said before."""

    asked: int
    kept: int

    @property
    def rate(self) -> float | None:
        """None where nothing was asked."""
        return self.kept / self.asked if self.asked else None

    def to_dict(self) -> dict[str, Any]:
        return {"asked": self.asked, "kept": self.kept, "rate": self.rate, "lower": lower_bound(self.kept, self.asked)}


@dataclass(frozen=True, slots=True)
class Shown:
    """What a model shows: of each family, of others of the forgotten one's kind, and of anything else."""

    families: Mapping[str, FamilyOutcome]
    near: Kept
    other: Kept

    @property
    def pooled(self) -> FamilyOutcome:
        return pooled(self.families.values())

    def to_dict(self) -> dict[str, Any]:
        """Numbers alone."""
        return {
            "families": {name: outcome.to_dict() for name, outcome in self.families.items()},
            "pooled": self.pooled.to_dict(),
            "near": self.near.to_dict(),
            "other": self.other.to_dict(),
        }


class Comparison:
    """Attacks on a forget set, as the model before takes them."""

    def __init__(self, context: AttackContext, before: Sequence[Result]) -> None:
        """before: the results of the context's probes."""
        self._context = context
        self._before = tuple(before)

    @classmethod
    def of(
        cls,
        items: Sequence[Example],
        book: Phrasebook,
        respond: Respond,
        score: Score,
        *,
        per_family: int,
        only: Collection[str] | None = None,
        seed: int = 0,
    ) -> Comparison:
        """respond, score: the model before. per_family, only: of `suite.probes`, in the bank for evidence.

        Raises what respond and score raise, and `InvalidPlugin`.
        """

        def ask(conversations: Sequence[Sequence[Message]], *, max_tokens: int) -> list[str]:
            queries = [Query(Prompt(tuple(each)), max_tokens=max_tokens) for each in conversations]
            return [text for (text,) in respond(queries)]

        context = attack_context(items, book, ask, bank=Bank.EVIDENCE, seed=seed)
        return cls(context, run(probes(context, per_family=per_family, only=only), respond, score))

    @property
    def leaks(self) -> int:
        """The probes that count: in which the model before leaks."""
        return sum(result.leaks for result in self._before)

    def shown_by(self, respond: Respond, score: Score) -> Shown:
        """What another model shows. It is asked only what counts. Raises what respond and score raise."""
        leaking = [result.probe for result in self._before if result.leaks]
        near = dict.fromkeys((o.prompt, o.answer) for item in self._context.items for o in item.others)
        return Shown(
            outcomes(self._before, run(leaking, respond, score)),
            _kept(list(near), respond),
            _kept([(known.question, known.answer) for known in self._context.known], respond),
        )


def _kept(answered: Sequence[tuple[str, str]], respond: Respond) -> Kept:
    queries = [Query(Prompt(one_turn(question)), max_tokens=_MAX_TOKENS) for question, _ in answered]
    said = respond(queries)
    kept = [reveals(question, answer, text) for (question, answer), (text,) in zip(answered, said, strict=True)]
    return Kept(len(kept), sum(kept))
