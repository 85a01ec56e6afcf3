"""What rivals say to a model, in the items' language."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache
from importlib import resources

from adapters.text.language import ENGLISH


@dataclass(frozen=True, slots=True)
class Phrases:
    """Texts of one language.

    forbidden: an instruction not to speak of {what}, with the {refusal} to give.
    message, question, answer, verdict: labels of lines. cleaning, judging: what the lines of a list show.
    yes, no: verdicts. rethink: asks for an answer again, without {what}.
    """

    forbidden: str
    message: str
    question: str
    answer: str
    verdict: str
    cleaning: str
    judging: str
    yes: str
    no: str
    rethink: str


@cache
def phrases(language: str) -> Phrases:
    """English where there are none in the language."""
    folder = resources.files("adapters.evaluation.rivals").joinpath("languages")
    file = folder.joinpath(f"{language}.json")
    if not file.is_file():
        file = folder.joinpath(f"{ENGLISH}.json")
    return Phrases(**json.loads(file.read_text(encoding="utf-8")))
