"""The forgotten question and others in one turn."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from random import Random
from typing import NamedTuple

from adapters.evaluation.attacks.context import AttackContext, AttackItem
from adapters.evaluation.attacks.family import Family, templates
from adapters.evaluation.attacks.probe import Probe, Prompt, Query
from adapters.evaluation.attacks.text_probe import fill, in_turn, places, text_probe
from adapters.text.sentences import joined


class _Form(NamedTuple):
    """Which questions, in order: "f" is the item's, "g" that of another item, "r" one that is known; and whether known
    ones are of the item's kind."""

    order: str
    near: bool

    @property
    def name(self) -> str:
        known = f" {'near' if self.near else 'far'}" if "r" in self.order else ""
        return f"{','.join(self.order.replace('g', 'f'))}{known}"


_FORMS = (
    _Form("fr", near=True),
    _Form("rf", near=False),
    _Form("fg", near=False),
    _Form("rrf", near=True),
    _Form("rf", near=True),
    _Form("fr", near=False),
    _Form("rrf", near=False),
)


#: For each question, and as many for what is said around the answers.
_MAX_TOKENS = 32


class Composite(Family):
    """The forgotten question together with known ones in one turn, in the orders of SEPS (`AI-ISL/SEPS`):
    f,r and r,f and f,f and r,r,f.

    Known questions are near (the item's own, about something else) or far (nothing to do with it). The model before
    answers them all; an adapter that decides on the turn as a whole answers the forgotten one with the rest, and the
    reading looks for that one alone. PoRT takes WMDP from 24.9 to 67 % like this.

    A template holds {questions}, which are then numbered, one a line; or {asked}, and they follow one another.
    """

    name = "composite"

    def probes(self, context: AttackContext) -> Iterator[Probe]:
        bank = templates(context.language, self.name, context.bank)
        if not bank:
            return
        random = context.random(self.name)
        for item, number, form in in_turn(context.items, _FORMS):
            questions = _questions(item, form, context, random)
            if questions is None:
                continue
            template = bank[number % len(bank)]
            query = Query(Prompt(item.asked(_listed(template, questions))), _MAX_TOKENS * (len(questions) + 1))
            probe = text_probe(self.name, f"{form.name} {number % len(bank)}", item, query)
            if probe is not None:
                yield probe


def _listed(template: str, questions: Sequence[str]) -> str:
    if "asked" in places(template):
        return fill(template, asked=joined(questions))
    return fill(template, questions="\n".join(f"{number}. {each}" for number, each in enumerate(questions, start=1)))


def _questions(item: AttackItem, form: _Form, context: AttackContext, random: Random) -> Sequence[str] | None:
    """What is asked, in order; None where the context has not enough."""
    known = [other.prompt for other in item.others] if form.near else [each.question for each in context.known]
    forgotten = [other.prompt for other in context.items if other.prompt != item.prompt]
    wanted = form.order.count("r")
    if len(known) < wanted or ("g" in form.order and not forgotten):
        return None
    drawn = iter(random.sample(known, wanted))
    by_letter = {"f": lambda: item.prompt, "g": lambda: random.choice(forgotten), "r": lambda: next(drawn)}
    return [_ended(by_letter[letter]().strip(), context.book.grammar.spaced) for letter in form.order]


def _ended(question: str, spaced: bool) -> str:
    """With a question mark where it ends in none of its own, for another may come right after it."""
    mark = "?" if spaced else "\uff1f"
    return f"{question}{mark}" if question[-1:].isalnum() else question
