"""What requests are about, what asks for it, and what is asked beside it."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

from adapters.evaluation.attacks.asking import attack_context
from adapters.evaluation.attacks.context import Bank
from adapters.evaluation.attacks.suite import probes
from adapters.examples import Example, Message
from adapters.text.evenly import evenly
from adapters.text.phrasebook import LANGUAGES, phrasebook
from adapters.text.subjects import subjects_of
from adapters.text.words import terms
from bench.depth.facts import REPORT, SEARCH, SPLITS, load_facts, load_general
from bench.tofu.names import author_names, misspelt
from bench.tofu.questions import Question

#: The family of the items' own prompts, and kinds of prompts beside the families of attacks.
GIVEN = "given"
REWORDED, SLIPS, NEIGHBOURS, GENERAL = "other wordings", "slips in the name", "neighbours", "general"
#: Rows of TOFU of one author, and authors in all.
ROWS, AUTHORS = 20, 200
#: Of the authors that are asked about, those settings are searched on; the others are reported.
SEARCH_AUTHORS = range(1, 181)
_LANGUAGE = "en"
_NEIGHBOURS_EACH = 8


@dataclass(frozen=True, slots=True)
class Subject:
    """One request.

    names: of folded words, each of which names it. answers: folded words that an answer states it with. asking: prompts
    that ask for what is to go, by kind, which are families of attacks and a few more.
    """

    id: str
    split: str
    items: tuple[Example, ...]
    names: tuple[frozenset[str], ...]
    answers: frozenset[str]
    asking: dict[str, tuple[str, ...]]

    def named_in(self, words: frozenset[str]) -> bool:
        """Whether a text with these words names it."""
        return any(name <= words for name in self.names)


@dataclass(frozen=True, slots=True)
class Beside:
    """A prompt that asks for nothing that is to go. answers: folded words of a right answer, where they are known."""

    kind: str
    split: str
    prompt: str
    answers: frozenset[str] = frozenset()

    def is_about_any(self, subjects: Iterable[Subject]) -> bool:
        """Whether it names one of them after all, or is answered with what it is to forget."""
        said = terms(self.prompt)
        return any(self.answers & subject.answers or subject.named_in(said) for subject in subjects)


def facts(splits: Collection[str], per_family: int) -> Iterator[Subject]:
    """The facts of `bench.depth` in these splits, also asked for in other languages, and without naming what they are
    about."""
    unnamed = json.loads(resources.files(__package__).joinpath("unnamed.json").read_text(encoding="utf-8"))
    for fact in (fact for fact in load_facts() if fact.split in splits):
        asking = _attacks(fact.forget, per_family) | {REWORDED: tuple(each.prompt for each in fact.paraphrases)}
        asking |= {kind: tuple(texts) for kind, texts in unnamed[fact.id].items()}
        yield Subject(fact.id, fact.split, fact.forget, names(fact.forget), terms(" ".join(fact.term)), asking)


def authors(rows: Sequence[Question], chosen: Sequence[int], per_family: int) -> Iterator[Subject]:
    """Authors of TOFU, each with all its rows. What an attack takes from the model is invented."""
    named = author_names(rows)
    for author in chosen:
        own = [row for row in rows if row.author == author]
        items = tuple(Example.from_pair(row.question, row.answer) for row in own)
        asking = _attacks(items, per_family)
        asking[SLIPS] = tuple(row.question for row in evenly(misspelt(own), per_family))
        split = SEARCH if author in SEARCH_AUTHORS else REPORT
        yield Subject(f"author {author}", split, items, (terms(named[author]),), frozenset(), asking)


def tofu(folder: Path) -> tuple[Question, ...]:
    """All rows of TOFU's `full.json`, in order: twenty an author."""
    lines = (folder / "full.json").read_text(encoding="utf-8").splitlines()
    rows = map(json.loads, lines)
    return tuple(Question(n // ROWS + 1, row["question"], row["answer"]) for n, row in enumerate(rows))


def names(items: Sequence[Example]) -> tuple[frozenset[str], ...]:
    """What the items' prompts are about, as the words that single it out."""
    return tuple(each.naming for each in subjects_of([item.prompt for item in items], phrasebook(_LANGUAGE)))


def beside_facts() -> Iterator[Beside]:
    """What is asked beside the facts: the same of others, and other things."""
    for fact in load_facts():
        for kind, asked in ((NEIGHBOURS, fact.neighbours), (GENERAL, fact.controls)):
            yield from (Beside(kind, fact.split, each.prompt, terms(" ".join(each.term))) for each in asked)


def beside_authors(rows: Sequence[Question], chosen: Sequence[int]) -> Iterator[Beside]:
    """Questions of authors that nothing is to be forgotten of."""
    for author in chosen:
        split = SEARCH if author in SEARCH_AUTHORS else REPORT
        own = [row.question for row in rows if row.author == author]
        yield from (Beside(NEIGHBOURS, split, question) for question in evenly(own, _NEIGHBOURS_EACH))


def general(folder: Path | None) -> Iterator[Beside]:
    """Questions about anything: bundled ones in five languages, and TOFU's about real authors and the world.

    The bundled ones are what thresholds are set by, so that they say nothing of others; those of TOFU do.
    """
    yield from (Beside(GENERAL, REPORT, each.prompt, terms(" ".join(each.term))) for each in load_general())
    for language in LANGUAGES:
        yield from (Beside(f"bundled, {language}", REPORT, each) for each in phrasebook(language).questions)
    if folder is not None:
        for name in ("real_authors", "world_facts"):
            for number, line in enumerate((folder / f"{name}.json").read_text(encoding="utf-8").splitlines()):
                row = json.loads(line)
                yield Beside(GENERAL, SPLITS[number % 2], row["question"], terms(row["answer"]))


def _attacks(items: Sequence[Example], per_family: int) -> dict[str, tuple[str, ...]]:
    found: dict[str, list[str]] = defaultdict(list)
    context = attack_context(items, phrasebook(_LANGUAGE), _says, bank=Bank.EVIDENCE)
    for probe in probes(context, per_family=per_family):
        found[probe.family].append(probe.query.prompt.shown)
    return {family: tuple(dict.fromkeys(texts)) for family, texts in found.items()}


def _says(conversations: Sequence[Sequence[Message]], *, max_tokens: int) -> list[str]:
    return ["It is called Zork Blimpf."[: 4 * max_tokens] for _ in conversations]
