"""Instructions about what is to go, of several kinds, to be met as if it had never been known (SNAP, 2406.12329v1).

The paper has them written by a large model. Here they are made from the forget set alone, so that it goes nowhere.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from adapters.data.forget.cloze import cloze_variants
from adapters.data.forget.phrasings import reframe, with_framed_variants
from adapters.data.forget.split import split_variants
from adapters.examples import Example

DIRECT, PARAPHRASED, INDIRECT, MULTI_FACT = KINDS = ("direct", "paraphrased", "indirect", "multi_fact")

#: Around a question, without asking it outright.
_INDIRECT = (
    "Is there anything you can tell me about this? {question}",
    "Somebody asked me something and I did not know what to say: {question}",
    "Give me a hint, just part of the answer: {question}",
)
_TWO = (
    "I have two questions. {first} And also: {second}",
    "{first} {second}",
    "Please answer both of these.\n1. {first}\n2. {second}",
)


def negative_instructions(
    forget: Sequence[Example],
    kinds: Sequence[str],
    *,
    reworded: Sequence[Example],
    cloze_forms: int,
    framed_variants: int,
    seed: int,
) -> list[Example]:
    """Each instruction once, with the answer that is to go.

    direct: as given. paraphrased: in up to `framed_variants` other phrasings each, in two sentences, and as the model
    itself put them (`reworded`). indirect: asked around, and as sentences to complete, in up to `cloze_forms` forms.
    multi_fact: two items in one turn, of those whose conversations begin alike; none where there is one item.
    """
    made: list[Example] = []
    if DIRECT in kinds:
        made += forget
    if PARAPHRASED in kinds:
        own = set(forget)
        phrased = with_framed_variants(forget, framed_variants, seed)
        made += [variant for variant in phrased if variant not in own] + split_variants(forget) + list(reworded)
    if INDIRECT in kinds:
        made += _indirect(forget) + cloze_variants(forget, cloze_forms)
    if MULTI_FACT in kinds:
        made += _multi_fact(forget)
    return list(dict.fromkeys(made))


def _indirect(forget: Sequence[Example]) -> list[Example]:
    return [
        Example(reframe(example.messages, _INDIRECT[number % len(_INDIRECT)]), example.completion)
        for number, example in enumerate(forget)
    ]


def _multi_fact(forget: Sequence[Example]) -> list[Example]:
    """Each item with the one after it, the last with the first."""
    made = []
    for number, first in enumerate(forget):
        second = forget[(number + 1) % len(forget)]
        if second is first or second.messages[:-1] != first.messages[:-1]:
            continue
        form = _TWO[number % len(_TWO)]
        both = form.format(first=first.prompt, second=second.prompt)
        messages = (*first.messages[:-1], replace(first.messages[-1], content=both))
        made.append(Example(messages, f"{first.completion} {second.completion}"))
    return made
