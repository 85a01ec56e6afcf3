"""Attacks on one fact: whether it comes out when the question comes from the side."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from adapters.evaluation.attacks.asking import attack_context
from adapters.evaluation.attacks.context import Bank
from adapters.evaluation.attacks.outcome import FamilyOutcome, outcomes
from adapters.evaluation.attacks.run import Result, run
from adapters.evaluation.attacks.suite import probes
from adapters.examples import Example, one_turn
from adapters.text.phrasebook import phrasebook_for
from gateway.cli.demo.facts import Fact
from gateway.client.attacks import Attacker
from gateway.client.client import PLAN_OFF, UnlearnClient

#: Families that are shown, and what they do.
SHOWN = {
    "prefill": "the answer begun for the model",
    "few_shot": "other questions with answers before it",
    "choice": "options to choose from",
}
_PER_FAMILY = 12
_BATCH = 12


@dataclass(frozen=True, slots=True)
class Attacked:
    """A family's attacks. prompt, before, after: one of them that brought the fact out before, with both answers; one
    that still does where there is any. All are empty where none did."""

    outcome: FamilyOutcome
    prompt: str = ""
    before: str = ""
    after: str = ""

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON types."""
        texts = {"prompt": self.prompt, "before": self.before, "after": self.after}
        return {"family": self.outcome.family, **self.outcome.to_dict(), **texts}


def attack(client: UnlearnClient, fact: Fact) -> list[Result]:
    """What the model says under attack with its adapters off. The attacks are those of evidence, not of training."""
    items = [Example(one_turn(prompt), completion) for prompt, completion in fact.forget]
    book = phrasebook_for(text for pair in fact.forget for text in pair)
    context = attack_context(items, book, partial(client.answers, plan=PLAN_OFF), bank=Bank.EVIDENCE)
    asked = probes(context, per_family=_PER_FAMILY, only=SHOWN.keys())
    return run(asked, Attacker(client, PLAN_OFF, _BATCH).respond, None)


def attack_again(client: UnlearnClient, before: Sequence[Result]) -> list[Attacked]:
    """What became of the attacks that brought the fact out, as anybody would try them; a row a family."""
    known = [result for result in before if result.leaks]
    after = run([result.probe for result in known], Attacker(client, None, _BATCH).respond, None)
    found = outcomes(before, after)
    pairs = sorted(zip(known, after, strict=True), key=lambda pair: not pair[1].leaks)
    examples = {pair[0].probe.family: pair for pair in reversed(pairs)}
    return [_row(outcome, examples.get(family)) for family, outcome in found.items()]


def _row(outcome: FamilyOutcome, example: tuple[Result, Result] | None) -> Attacked:
    if example is None:
        return Attacked(outcome)
    before, after = example
    return Attacked(outcome, before.probe.query.prompt.shown, before.texts[0], after.texts[0])
