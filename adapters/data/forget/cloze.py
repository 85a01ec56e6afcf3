"""Forget prompts that are a sentence to be completed.

"The telephone was invented by" asks the same as "Who invented the telephone?", and a model completes it; filling in
the blank is the first level of RWKU's probes. The sentence is the answer to be forgotten, up to where it gives the fact
away.
"""

from __future__ import annotations

from collections.abc import Sequence

from adapters.examples import Example, Message
from adapters.text.probes import first_key_term
from adapters.text.words import words

_FEWEST_WORDS = 3


def stem(example: Example) -> str | None:
    """The answer up to its first key term; None when fewer than three words are left."""
    start = first_key_term(example.prompt, example.completion)
    begun = " ".join(example.completion[:start].split())
    return begun if len(words(begun)) >= _FEWEST_WORDS else None


def cloze_variants(examples: Sequence[Example], forms: Sequence[str]) -> list[Example]:
    """Each different sentence of the examples in each of the forms, with the answer as it was."""
    stems: dict[str, Example] = {}
    for example in examples:
        sentence = stem(example)
        if sentence is not None:
            stems.setdefault(sentence, example)
    return [
        Example((Message("user", form.replace("{stem}", sentence)),), example.completion)
        for sentence, example in stems.items()
        for form in forms
    ]
