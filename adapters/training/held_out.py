"""The part of the sets that is scored, and of what is trained on otherwise none."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass

from adapters.data.dataset import Dataset, ForgetExample
from adapters.models.tokens import TokenizedExample

_EVERY = 7
_MOST = 24


@dataclass(frozen=True, slots=True)
class Split:
    """The sets to train on, and what is scored: held out of them where others stand for it."""

    training: Dataset
    held_forget: tuple[ForgetExample, ...]
    held_retain: tuple[TokenizedExample, ...]


def split(dataset: Dataset) -> Split:
    """Every seventh example is held out, of either set only where others remain to train on, and at most 24.

    Of what is to be forgotten, only an example whose answer another one has too, in other words: an item that is not
    trained on is not forgotten. Where none can be spared, up to 24 that are trained on are scored.
    """
    hard, general = dataset.hard, dataset.general
    held_forget = _spared(dataset.forget)
    held = (*hard[::_EVERY], *general[::_EVERY])[:_MOST]
    if len(held) == len(hard) + len(general):
        held = ()
    out, out_forget = set(held), set(held_forget)
    kept = tuple(example for example in dataset.forget if example not in out_forget)
    return Split(
        Dataset(kept, tuple(e for e in hard if e not in out), tuple(e for e in general if e not in out)),
        held_forget or dataset.forget[:: math.ceil(len(dataset.forget) / _MOST)],
        held or (*hard, *general),
    )


def _spared(forget: tuple[ForgetExample, ...]) -> tuple[ForgetExample, ...]:
    """Of every seventh example, those whose answer remains with another; of many, spread over all of them."""
    every = max(_EVERY, len(forget) // _MOST)
    remaining = Counter(example.original.answer_ids for example in forget)
    spared = []
    for example in forget[every - 1 :: every][:_MOST]:
        if remaining[example.original.answer_ids] > 1:
            remaining[example.original.answer_ids] -= 1
            spared.append(example)
    return tuple(spared)
