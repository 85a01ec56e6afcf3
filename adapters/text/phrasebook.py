"""All that the package says itself, in one language: questions, refusals, and what is put around the items' own words.

A folder of `languages` each. Where an item's language has none, nothing is put around its words.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import cache
from importlib import resources
from typing import Any

from adapters.text.grammar import Grammar
from adapters.text.language import ENGLISH, language_of
from adapters.text.words import fold

LANGUAGES = (ENGLISH, "de", "fr", "es", "zh")
#: The language of a phrasebook that has no words of its own.
NO_LANGUAGE = "none"


@dataclass(frozen=True, slots=True)
class Phrasebook:
    """Texts of one language, and of none other.

    Attributes:
        language: its ISO 639-1 code, or "none".
        retain_questions: over many relations and topics, for a retain set made automatically.
        control_questions: those no adapter is trained on, for probes; none of them is a retain question.
        refusals: one sentence each, and they name nothing.
        subjects: names of many kinds to put in a forgotten subject's place.
        siblings: questions with a {subject} to fill in, over many kinds of subject.
        control_subjects, control_siblings: the same for probes; no adapter is trained on them.
        interview: wordings with a {subject}, grouped by what they ask for. reverse: questions with a {name} that what
            the name is linked to may answer. nobody: subjects that do not exist.
        frames: to put around a {question}, asking it no less. indirect: the same, without asking it outright.
        both: for two questions in one turn, {first} and {second}.
        openings: a sentence that brings up a {name}, before a question about it.
        cloze: to ask for the end of a sentence, of which {stem} is the beginning.
        continuation, following: to ask how a {text} goes on, and for the sentence after it.
        listing: the heading of a list of wordings of one question.
        inversions: to ask for answers to the {question} that contradict its {answer}.
        interrogatives: question words, folded.
        grammar: how to put names and pronouns into a question.
    """

    language: str
    retain_questions: tuple[str, ...]
    control_questions: tuple[str, ...]
    refusals: tuple[str, ...]
    subjects: tuple[str, ...]
    siblings: tuple[str, ...]
    control_subjects: tuple[str, ...]
    control_siblings: tuple[str, ...]
    interview: tuple[tuple[str, ...], ...]
    reverse: tuple[str, ...]
    nobody: tuple[str, ...]
    frames: tuple[str, ...]
    indirect: tuple[str, ...]
    both: tuple[str, ...]
    openings: tuple[str, ...]
    cloze: tuple[str, ...]
    continuation: str
    following: str
    listing: str
    inversions: tuple[str, ...]
    interrogatives: frozenset[str]
    grammar: Grammar

    @property
    def questions(self) -> tuple[str, ...]:
        """All of them, to tell by which words any question may hold."""
        return (*self.retain_questions, *self.control_questions)


@cache
def phrasebook(language: str) -> Phrasebook:
    """The phrasebook of a language. One without is given English questions and refusals, and nothing else."""
    if language in LANGUAGES:
        return _read(language)
    return replace(
        _read(ENGLISH),
        language=NO_LANGUAGE,
        subjects=(),
        siblings=(),
        control_subjects=(),
        control_siblings=(),
        frames=(),
        indirect=(),
        both=("{first} {second}",),
        openings=(),
        cloze=(),
        continuation="{text} …",
        following="{text}",
        listing="",
        interrogatives=frozenset(),
    )


def phrasebook_for(texts: Iterable[str]) -> Phrasebook:
    """The phrasebook of the language that the texts are in."""
    return phrasebook(language_of("\n".join(texts)))


def _read(language: str) -> Phrasebook:
    folder = resources.files("adapters.text").joinpath("languages", language)

    def lines(name: str) -> tuple[str, ...]:
        text = folder.joinpath(f"{name}.txt").read_text(encoding="utf-8")
        return tuple(line for line in text.splitlines() if line.strip())

    def data(name: str) -> Any:
        return _with_tuples(json.loads(folder.joinpath(f"{name}.json").read_text(encoding="utf-8")))

    def questions(part: str) -> tuple[str, ...]:
        return tuple(question for topic in data("questions")[part].values() for question in topic)

    phrases = data("phrases")
    grammar = Grammar(**phrases.pop("grammar"))
    return Phrasebook(
        language=language,
        retain_questions=questions("retain"),
        control_questions=questions("control"),
        refusals=lines("refusals"),
        subjects=lines("subjects"),
        siblings=lines("siblings"),
        control_subjects=lines("control_subjects"),
        control_siblings=lines("control_siblings"),
        interview=tuple(tuple(line.split("|")) for line in lines("interview")),
        reverse=tuple(wording for line in lines("interview_reverse") for wording in line.split("|")),
        interrogatives=frozenset(fold(word) for word in phrases.pop("interrogatives")),
        grammar=grammar,
        **phrases,
    )


def _with_tuples(value: Any) -> Any:
    """JSON with tuples for its lists."""
    if isinstance(value, dict):
        return {key: _with_tuples(item) for key, item in value.items()}
    return tuple(map(_with_tuples, value)) if isinstance(value, list) else value
