"""What lies beside the forgotten, and no adapter was trained on: the same questions about others, others about it.

Training keeps its own twins and siblings. These are about the phrasebook's control subjects and in its control
wordings, so that they tell what becomes of neighbours that nobody named.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from statistics import fmean

from adapters.evaluation.attacks.probe import Prompt, Score
from adapters.text.phrasebook import Phrasebook
from adapters.text.siblings import questions_about
from adapters.text.twins import by_subject, named_subject, subject_words, twin, twins
from adapters.text.words import terms

#: So many at most, shared among the things that a request is about.
TWINS, SIBLINGS = 20, 10
#: Twins are about this many others of a subject's kind.
KIN = 8
#: Of so many questions that are asked of anything.
_PLAIN = 4
_QUESTION = Prompt(text="Question:")


def neighbours(prompts: Sequence[str], book: Phrasebook, score: Score, *, trained: Sequence[str] = ()) -> list[str]:
    """Questions beside the forget prompts, none of them among those; [] where they name nothing.

    score: of the original model, to find others of a subject's kind. Raises what it raises. trained: what else was
    asked in training; nothing that it names is asked about.
    """
    named = [terms(question) for question in trained]
    free = [name for name in book.control_subjects if not any(_own(name, book) <= said for said in named)]
    book = replace(book, control_subjects=tuple(free))
    groups = by_subject(prompts, book)
    found: dict[str, None] = {}
    for group in groups:
        share = len(group) / sum(map(len, groups))
        found |= dict.fromkeys(twins(group, book, _kin(group, book, score), round(share * TWINS)))
    for group in groups:
        share = len(group) / sum(map(len, groups))
        found |= dict.fromkeys(_siblings(group, book)[: round(share * SIBLINGS)])
    asked = {prompt.casefold().strip() for prompt in (*prompts, *trained)}
    return [question for question in found if question.casefold() not in asked]


def _own(name: str, book: Phrasebook) -> frozenset[str]:
    """The words of a name, without its article."""
    return terms(name) - frozenset(book.grammar.articles)


def _kin(prompts: Sequence[str], book: Phrasebook, score: Score) -> list[str]:
    """Control subjects of the prompts' kind, the most alike first.

    One is of the kind where the shortest prompt is likelier with its name in it than other questions are that are asked
    of anything. The rest of each question is the same for all names, so rare names lose nothing by being rare.
    """
    subject = subject_words(prompts, book)
    others = [other for other in book.control_subjects if not terms(other) & subject]
    twinned = next(
        (found for prompt in sorted(prompts, key=len) if (found := _twin(prompt, subject, others, book))), ()
    )
    if not twinned:
        return []
    templates = book.siblings[:: len(book.siblings) // _PLAIN][:_PLAIN]
    plain = [
        tuple(questions_about(other, replace(book, siblings=(template,)))[0] for other in others)
        for template in templates
    ]
    scored = score([(_QUESTION, tuple(f" {question}" for question in asked)) for asked in (twinned, *plain)])
    if not all(scored):
        return others[:KIN]
    gain = {other: own - fmean(rest) for other, own, *rest in zip(others, *scored, strict=True)}
    return sorted(others, key=lambda other: -gain[other])[:KIN]


def _twin(prompt: str, subject: frozenset[str], others: Sequence[str], book: Phrasebook) -> tuple[str, ...]:
    """The prompt about each of the others; () where it names no subject."""
    return tuple(question for other in others if (question := twin(prompt, subject, other, book.grammar)))


def _siblings(prompts: Sequence[str], book: Phrasebook) -> list[str]:
    subject = named_subject(prompts, book)
    if subject is None:
        return []
    return [q[0].upper() + q[1:] for q in questions_about(subject, replace(book, siblings=book.control_siblings))]
