"""The part of the sets that is scored, and of what is trained on otherwise none."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass, replace

from adapters.data.dataset import Dataset, ForgetExample
from adapters.models.tokens import TokenizedExample

_EVERY = 7
_MOST = 24


@dataclass(frozen=True, slots=True)
class Score:
    """Of a model, on the held-out part.

    loss: what is to come down: the objective's total, in nats, or the share of the forget answers' probability that is
    left. kl: what is retained has moved so far, KL(target || changed) or as `adapters.training.sweep.divergence` has
    it, in nats a token.
    """

    loss: float
    kl: float


@dataclass(frozen=True, slots=True)
class Split:
    """The sets to train on, and what is scored: held out of them where others stand for it.

    held_forget, held_retain: what is scored; what nothing else stands for is trained on too.
    """

    training: Dataset
    held_forget: tuple[ForgetExample, ...]
    held_retain: tuple[TokenizedExample, ...]


def split(dataset: Dataset) -> Split:
    """Every seventh example is scored, at most 24 of either set, and held out of training where others remain.

    What is retained is held out only if it was made: an example that the caller gave must be trained on, and the
    nearest most of all. Of what is to be forgotten, only an example whose answer another one has too, in other words:
    an item that is not trained on is not forgotten. Where none can be spared, up to 24 that are trained on are scored.
    """
    hard, general = dataset.hard, dataset.general
    held_forget = _spared(dataset.forget)
    scored = (*hard[::_EVERY], *general[::_EVERY])[:_MOST]
    out = set(scored) - dataset.given
    if len(out) == len(hard) + len(general):
        out, scored = set(), (*hard, *general)
    out_forget = set(held_forget)
    training = replace(
        dataset,
        forget=tuple(example for example in dataset.forget if example not in out_forget),
        hard=tuple(example for example in hard if example not in out),
        general=tuple(example for example in general if example not in out),
    )
    return Split(training, held_forget or dataset.forget[:: math.ceil(len(dataset.forget) / _MOST)], scored)


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
