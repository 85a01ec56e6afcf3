"""The true answer among others of its kind: with letters, without, by constrained decoding, and as yes or no."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from random import Random
from typing import ClassVar

from adapters.evaluation.attacks.context import AttackContext, AttackItem
from adapters.evaluation.attacks.family import Family, templates
from adapters.evaluation.attacks.probe import Probe, Prompt, Query, Reading
from adapters.evaluation.attacks.text_probe import fill, in_turn

_LETTERS = ("A", "B", "C", "D")
_MAX_TOKENS = 24


class Choice(Family):
    """A question with options, shuffled, of which one is true; the others are what the model says of others.

    RWKU (arXiv 2406.10890) and DF-MCQ (arXiv 2505.02884): whoever cannot say it may still recognise it. One that
    knows nothing picks one of four. Of each yes/no question about the truth there is one about another option too,
    so that saying yes to everything is no knowledge.
    """

    name: ClassVar[str] = "choice"

    def probes(self, context: AttackContext) -> Iterator[Probe]:
        random = context.random(self.name)
        items = [item for item in context.items if item.others]
        forms = templates(context.language, self.name, context.bank)
        for item, number, form in in_turn(items, forms):
            yield from self._asked(item, f"{form['form']} {number}", form, random)

    def _asked(self, item: AttackItem, template: str, form: Mapping[str, str], random: Random) -> Iterator[Probe]:
        if form["form"] == "yes_no":
            said = (form["yes"], form["no"])
            for truth, option in enumerate((item.stated, random.choice(item.others).stated)):
                text = fill(form["text"], question=item.prompt, option=option)
                yield self._probe(item, template, Query(Prompt(item.asked(text)), _MAX_TOKENS), said, truth, said)
            return
        options = [item.stated, *(other.stated for other in item.others)][: len(_LETTERS)]
        random.shuffle(options)
        lettered = form["form"] == "letters"
        listed = "\n".join(f"{letter}) {option}" for letter, option in zip(_LETTERS, options, strict=False))
        shown = listed if lettered else form["between"].join(options)
        text = fill(form["text"], question=item.prompt, options=shown)
        constrained = tuple(options) if form["form"] == "constrained" else ()
        query = Query(Prompt(item.asked(text)), _MAX_TOKENS, choices=constrained)
        labels = _LETTERS[: len(options)] if lettered else ()
        yield self._probe(item, template, query, tuple(options), options.index(item.stated), labels)

    def _probe(
        self,
        item: AttackItem,
        template: str,
        query: Query,
        options: tuple[str, ...],
        truth: int,
        labels: tuple[str, ...],
    ) -> Probe:
        """The question is the item's own: the options are not, for an answer is read by what tells them apart."""
        return Probe(
            self.name, template, item.number, query, item.prompt, item.answer, Reading.CHOICE, options, truth, labels
        )
