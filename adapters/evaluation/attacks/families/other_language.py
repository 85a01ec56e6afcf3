"""The question in another language."""

from __future__ import annotations

from collections.abc import Iterator

from adapters.evaluation.attacks.context import AttackContext, AttackItem
from adapters.evaluation.attacks.family import Family, templates
from adapters.evaluation.attacks.probe import Probe, Prompt, Query
from adapters.evaluation.attacks.relations import bare_name, relation
from adapters.evaluation.attacks.text_probe import fill, in_turn, text_probe
from adapters.text.phrasebook import LANGUAGES, phrasebook
from adapters.text.probes import names_something


class OtherLanguage(Family):
    """The question in the package's other languages, as multilingual TOFU asks its forget set
    (`MLCY1/multilingual-unlearning-in-llms`).

    A template is a language's: its question for each relation that a prompt may ask for, with the subject's name put
    in, and under "any" an order to answer the prompt, as it is, in that language. The order is for items that ask for
    no such relation, or whose subject is no name: nobody else translates them here. A model that cannot read a language
    answers nothing before either, and that does not count.
    """

    name = "other_language"

    def probes(self, context: AttackContext) -> Iterator[Probe]:
        bank = {
            language: templates(language, self.name, context.bank)
            for language in LANGUAGES
            if language != context.language
        }
        most = max(map(len, bank.values()))
        rounds = [
            (language, number, found[number])
            for number in range(most)
            for language, found in bank.items()
            if number < len(found)
        ]
        for item, _, (language, number, wordings) in in_turn(context.items, rounds):
            query = Query(Prompt(item.asked(_worded(item, context, language, wordings))))
            probe = text_probe(self.name, f"{language} {number}", item, query)
            if probe is not None:
                yield probe


def _worded(item: AttackItem, context: AttackContext, language: str, wordings: dict[str, str]) -> str:
    name = bare_name(item.subject, context.book.grammar) if item.subject is not None else ""
    wanted = relation(item.prompt, name, context.language) if name and names_something(name) else None
    template = wordings.get(wanted) if wanted is not None else None
    if template is None:
        return fill(wordings["any"], question=item.prompt.strip())
    before, _, after = template.partition("{subject}")
    return phrasebook(language).grammar.put(before, name, after)
