"""The question somewhere in a conversation."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from random import Random

from adapters.evaluation.attacks.context import AttackContext, AttackItem, Known
from adapters.evaluation.attacks.family import Family, templates
from adapters.evaluation.attacks.probe import Probe, Prompt, Query
from adapters.evaluation.attacks.text_probe import fill, in_turn, places, text_probe
from adapters.examples import Message
from adapters.text.probes import has_case
from adapters.text.slips import clusters

#: The turns in which the question comes after known ones with their answers.
_LATER = (2, 5)


class Dialogue(Family):
    """The question in the second turn and in the fifth, after known ones; again after the model has refused; and at the
    end of turns that narrow it down (arXiv 2603.00823: a chain of clues takes 42.6 % at a forget quality of 0.47).

    A template is what is said in turn, the user first. Its places: the {question}, the {subject}, a {refusal}, and of
    what is to be said the {initial} and how many characters it is {long}. A template of which an item lacks something
    is left out for it: what has one character has no initial that is not all of it, and in a script without capitals
    the first character is half of the name.
    """

    name = "dialogue"

    def probes(self, context: AttackContext) -> Iterator[Probe]:
        random = context.random(self.name)
        scripts = templates(context.language, self.name, context.bank)
        ways: list[int | list[str]] = [*_LATER, *scripts]
        for item, number, way in in_turn(context.items, ways):
            if isinstance(way, int):
                template, turns = f"turn {way}", _after_known(item, context.known, way - 1, random)
            else:
                values = _values(item, random.choice(context.book.refusals))
                template, turns = str(number - len(_LATER)), _played(way, values)
            if turns is None:
                continue
            probe = text_probe(self.name, template, item, Query(Prompt((*item.messages[:-1], *turns))))
            if probe is not None:
                yield probe


def _after_known(item: AttackItem, known: Sequence[Known], count: int, random: Random) -> tuple[Message, ...] | None:
    """So many known questions with their answers, and the item's turn; None where there are not so many."""
    if len(known) < count:
        return None
    before = [
        Message(role, text)
        for each in random.sample(known, count)
        for role, text in (("user", each.question), ("assistant", each.answer))
    ]
    return (*before, item.messages[-1])


def _values(item: AttackItem, refusal: str) -> dict[str, str]:
    """What can be put into a template for the item."""
    values = {"question": item.prompt.strip(), "refusal": refusal}
    if item.subject is not None:
        values["subject"] = item.subject
    characters = clusters(item.stated.strip())
    if len(characters) > 1:
        values["long"] = str(len(characters))
        if has_case(characters[0]):
            values["initial"] = characters[0]
    return values


def _played(script: Sequence[str], values: Mapping[str, str]) -> tuple[Message, ...] | None:
    """The script's turns, the last of them the user's; None where a place has no value."""
    if any(places(line) - values.keys() for line in script):
        return None
    return tuple(
        Message("assistant" if number % 2 else "user", fill(line, **values)) for number, line in enumerate(script)
    )
