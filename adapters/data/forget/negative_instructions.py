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
from adapters.text.phrasebook import Phrasebook
from adapters.text.sentences import joined

DIRECT, PARAPHRASED, INDIRECT, MULTI_FACT = KINDS = ("direct", "paraphrased", "indirect", "multi_fact")


def negative_instructions(
    forget: Sequence[Example],
    kinds: Sequence[str],
    book: Phrasebook,
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
        phrased = with_framed_variants(forget, book.frames, framed_variants, seed)
        made += [variant for variant in phrased if variant not in own] + split_variants(forget, book) + list(reworded)
    if INDIRECT in kinds:
        made += _indirect(forget, book.indirect) + cloze_variants(forget, book.cloze[:cloze_forms])
    if MULTI_FACT in kinds:
        made += _multi_fact(forget, book)
    return list(dict.fromkeys(made))


def _indirect(forget: Sequence[Example], frames: Sequence[str]) -> list[Example]:
    return [
        Example(reframe(example.messages, frames[number % len(frames)]), example.completion)
        for number, example in enumerate(forget if frames else ())
    ]


def _multi_fact(forget: Sequence[Example], book: Phrasebook) -> list[Example]:
    """Each item with the one after it, the last with the first."""
    made = []
    for number, first in enumerate(forget):
        second = forget[(number + 1) % len(forget)]
        if second is first or second.messages[:-1] != first.messages[:-1]:
            continue
        form = book.both[number % len(book.both)]
        both = form.format(first=first.prompt, second=second.prompt)
        messages = (*first.messages[:-1], replace(first.messages[-1], content=both))
        made.append(Example(messages, joined((first.completion, second.completion))))
    return made
