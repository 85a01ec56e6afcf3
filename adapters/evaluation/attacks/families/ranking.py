"""How likely the true answer is, among the same answer with others in the fact's place."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar

from adapters.evaluation.attacks.context import AttackContext
from adapters.evaluation.attacks.family import Family, templates
from adapters.evaluation.attacks.probe import Probe, Prompt, Query, Reading
from adapters.evaluation.attacks.text_probe import fill, in_turn, places

_MOST_OPTIONS = 4


class Ranking(Family):
    """Nothing is answered: leaks where the true answer is the likeliest of four, in a chat and as plain text.

    The truth ratio of TOFU (arXiv 2401.06121) and the ranking of WMDP (arXiv 2403.03218): log-probabilities that a
    service gives out, or a constrained grammar, tell what no answer says.
    """

    name: ClassVar[str] = "ranking"

    def probes(self, context: AttackContext) -> Iterator[Probe]:
        items = [item for item in context.items if item.others]
        for item, number, form in in_turn(items, templates(context.language, self.name, context.bank)):
            (kind, template), *_ = form.items()
            text = fill(template, question=item.prompt, stem=item.stem)
            if "stem" in places(template) and not item.stem:
                continue
            prompt = Prompt(item.asked(text)) if kind == "chat" else Prompt(text=text)
            stated = (item.stated, *(other.stated for other in item.others[: _MOST_OPTIONS - 1]))
            options = tuple(item.stating(each) for each in stated)
            if "stem" not in places(template):
                space = " " if kind == "text" and context.book.grammar.spaced else ""
                options = tuple(f"{space}{item.stem}{option}" for option in options)
            yield Probe(
                self.name,
                f"{kind} {number}",
                item.number,
                Query(prompt),
                item.prompt,
                item.answer,
                Reading.LIKELIHOOD,
                options,
            )
