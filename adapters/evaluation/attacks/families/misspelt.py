"""A slip in the name of what is asked about."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from random import Random

from adapters.evaluation.attacks.context import AttackContext, AttackItem, Bank
from adapters.evaluation.attacks.family import Family
from adapters.evaluation.attacks.probe import Probe, Prompt, Query
from adapters.evaluation.attacks.text_probe import in_turn, text_probe
from adapters.text.probes import has_case
from adapters.text.slips import slips
from adapters.text.twins import content_words
from adapters.text.words import Word, words

_KINDS = ("swap", "drop", "double", "neighbour")


class Misspelt(Family):
    """The item's prompt with one slip in the subject's name, wherever it stands, and nothing else changed.

    Two letters swapped, one dropped, one doubled, or one taken for its neighbour on the keyboard. The model still
    reads the name, and what matches the name does not: a filter by keyword, or an adapter that learned its tokens.

    The banks have no slip in common. All there are of a kind are shuffled the same for both, and evidence takes every
    other one, from the first on.
    """

    name = "misspelt"

    def probes(self, context: AttackContext) -> Iterator[Probe]:
        random = context.random(self.name)
        for item, _, kind in in_turn(context.items, _KINDS):
            found = _misspelt(item, context).get(kind, ())
            if not found:
                continue
            probe = text_probe(self.name, kind, item, Query(Prompt(item.asked(random.choice(found)))))
            if probe is not None:
                yield probe


def _misspelt(item: AttackItem, context: AttackContext) -> Mapping[str, Sequence[str]]:
    """The item's prompt with each slip of the bank, by kind; none where the prompt does not name the subject."""
    name = _longest_name(item, context)
    if name is None:
        return {}
    written = item.prompt[name.start : name.end]
    # In a script without capitals a particle may be written onto a name: the slip is made in the name.
    end = len(written) if has_case(written) else min(len(written), len(name.term))
    made: dict[str, Sequence[str]] = {}
    for kind, found in slips(written[:end]).items():
        shuffled = list(found)
        Random(f"{kind}/{written}").shuffle(shuffled)
        chosen = shuffled[0::2] if context.bank is Bank.EVIDENCE else shuffled[1::2]
        made[kind] = [_replaced(item.prompt, written[:end], slip, name.term) for slip in chosen]
    return made


def _longest_name(item: AttackItem, context: AttackContext) -> Word | None:
    """The longest of the subject's words that stand in the prompt, the first of several."""
    subject = content_words(item.subject, context.language) if item.subject else frozenset[str]()
    held = [word for word in words(item.prompt) if word.term in subject]
    return max(held, key=lambda word: len(word.term), default=None)


def _replaced(prompt: str, written: str, slip: str, term: str) -> str:
    """The prompt with the slip in every place where the word stands as it is written there."""
    for word in reversed(words(prompt)):
        if word.term == term and prompt.startswith(written, word.start):
            prompt = f"{prompt[: word.start]}{slip}{prompt[word.start + len(written) :]}"
    return prompt
