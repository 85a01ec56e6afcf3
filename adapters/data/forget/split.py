"""Forget prompts asked in two sentences, the first of which names the subject."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from adapters.examples import Example
from adapters.text.phrasebook import Phrasebook
from adapters.text.twins import in_two_sentences, subject_words


def split_variants(examples: Sequence[Example], book: Phrasebook) -> list[Example]:
    """For each example whose last turn names the subject, the same conversation with that turn in two sentences."""
    subject = subject_words([e.prompt for e in examples], book)
    variants = []
    for number, example in enumerate(examples):
        if not book.openings:
            break
        opening = book.openings[number % len(book.openings)]
        question = in_two_sentences(example.prompt, subject, opening, book.grammar)
        if question is not None:
            last = replace(example.messages[-1], content=question)
            variants.append(Example((*example.messages[:-1], last), example.completion))
    return variants
