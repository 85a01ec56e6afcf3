"""The part of the sets that is scored and never trained on."""

from __future__ import annotations

from dataclasses import dataclass

from adapters.chat import TokenizedExample
from adapters.dataset import Dataset, ForgetExample

_EVERY = 7
_MOST = 24


@dataclass(frozen=True, slots=True)
class Split:
    """The sets, and the part of them that is scored and never trained on."""

    training: Dataset
    held_forget: tuple[ForgetExample, ...]
    held_retain: tuple[TokenizedExample, ...]


def split(dataset: Dataset) -> Split:
    """Every seventh example is held out, of either set only where others remain to train on."""
    hard, general = dataset.hard, dataset.general
    forget = dataset.forget
    held_forget = forget[_EVERY - 1 :: _EVERY]
    kept = tuple(example for example in forget if example not in set(held_forget))
    held = (*hard[::_EVERY], *general[::_EVERY])[:_MOST]
    if len(held) == len(hard) + len(general):
        held = ()
    out = set(held)
    return Split(
        Dataset(kept, tuple(e for e in hard if e not in out), tuple(e for e in general if e not in out)),
        held_forget or forget,
        held or (*hard, *general),
    )
