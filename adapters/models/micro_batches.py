"""How much goes through a model at once: so many tokens, and fewer after each time that the memory did not do."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TypeVar

import torch

from adapters.errors import OutOfMemory

T = TypeVar("T")

#: Tokens of one pass, padding included: far more than a step of a few examples has, far less than fills a card.
TOKENS = 16_384
#: Where nothing is trained: enough to fill the cores or the card, and little padding among many examples.
READING_TOKENS = 2048
_GIB = 2**30


class MicroBatches:
    """The budget of one job. It only ever shrinks: what did not fit once does not fit the next time.

    A step whose examples exceed it is taken in several passes, with the same loss and the same gradient: the loss is
    taken on all of them together, and only what lies between the inputs and the final states is computed again for each
    part (`PromptedModel.answer_states`).
    """

    def __init__(self, tokens: int = TOKENS) -> None:
        self.tokens = tokens
        self._most = self._longest = 0
        self._reliefs: list[Callable[[], None]] = []

    @contextmanager
    def relieved_by(self, relief: Callable[[], None]) -> Iterator[None]:
        """Inside, `relief` is done once when even one example alone is too much, before giving up."""
        self._reliefs = [relief]
        try:
            yield
        finally:
            self._reliefs = []

    def cut(self, lengths: Sequence[int], *, reading: bool = False) -> list[list[int]]:
        """Positions of the examples with these lengths, in parts of at most `tokens` tokens each, fewer for reading.

        A part has at least one example. Several parts are of examples of like length, so that little is padding; one
        that holds all leaves them in their order.
        """
        most = min(self.tokens, READING_TOKENS) if reading else self.tokens
        whole = len(lengths) * max(lengths)
        self._longest, self._most = max(self._longest, *lengths, 0), max(self._most, min(whole, most))
        if whole <= most:
            return [list(range(len(lengths)))]
        parts: list[list[int]] = [[]]
        for position in sorted(range(len(lengths)), key=lengths.__getitem__):
            if parts[-1] and (len(parts[-1]) + 1) * lengths[position] > most:
                parts.append([])
            parts[-1].append(position)
        return parts

    def fit(self, work: Callable[[], T], device: torch.device) -> T:
        """What `work` gives, done again with half the tokens each time that it runs out of memory.

        Raises `OutOfMemory` when it does with one example at a time.
        """
        while True:
            self._most = self._longest = 0
            try:
                return work()
            except torch.OutOfMemoryError as error:
                said = str(error)
            # Out here nothing of the failed work is referred to any more, and its memory can be had again.
            if device.type == "cuda":
                torch.cuda.empty_cache()
            self._shrink(said, device)

    def _shrink(self, said: str, device: torch.device) -> None:
        """Half of what was tried. Raises `OutOfMemory` when that was one example already."""
        if self._most > self._longest > 0:
            self.tokens = max(self._most // 2, self._longest)
        elif self._reliefs:
            self._reliefs.pop()()
        else:
            raise out_of_memory(said, device, f"one example of {self._longest} tokens at a time")


def out_of_memory(said: str, device: torch.device, doing: str) -> OutOfMemory:
    """The error for whoever made the request. said: torch's words, of which the first sentences have the figures.

    doing: what did not fit.
    """
    needed = ". ".join(said.split(". ")[:2]).rstrip(".")  # "Tried to allocate 2.00 GiB" is the second of them
    held = ""
    if device.type == "cuda":
        free, total = torch.cuda.mem_get_info(device)
        peak = torch.cuda.max_memory_allocated(device)
        held = f" At most {peak / _GIB:.1f} GiB of {total / _GIB:.1f} were in use here; {free / _GIB:.1f} are free now."
    return OutOfMemory(
        f"{device} has too little memory for {doing}: {needed}.{held} "
        "What helps: more room on the device, another device, shorter items, a smaller forget_batch and retain_batch"
    )
