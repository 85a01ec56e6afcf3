"""Which examples each step sees."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from typing import TypeVar

from adapters.data.dataset import Dataset, ForgetExample
from adapters.models.tokens import TokenizedExample
from adapters.training.settings import TrainingSettings

T = TypeVar("T")


def _cycle(examples: Sequence[T], rng: random.Random) -> Iterator[T]:
    """The examples in random order, again and again, each once before any comes again."""
    while examples:
        yield from rng.sample(examples, len(examples))


class BatchSampler:
    """Endless batches of fixed composition, so that no step lacks forget examples or hard neighbours."""

    def __init__(
        self,
        dataset: Dataset,
        *,
        forget: int,
        retain: int,
        hard_fraction: float,
        seed: int,
        taught: int = 0,
        choices: int = 0,
    ) -> None:
        """forget, retain, taught, choices: examples of each in a batch, fewer where there are not so many."""
        rng = random.Random(seed)
        wanted = {"direct": forget, "taught": taught, "choice": choices}
        by_kind = {kind: [example for example in dataset.forget if example.kind == kind] for kind in wanted}
        self._forget = [(_cycle(by_kind[kind], rng), min(count, len(by_kind[kind]))) for kind, count in wanted.items()]
        self._hard = _cycle(dataset.hard, rng)
        self._general = _cycle(dataset.general, rng)
        self.forget_count = sum(count for _, count in self._forget)
        hard = round(retain * hard_fraction) if dataset.general else retain
        general = retain - hard if dataset.hard else retain
        self.hard_count = min(hard, len(dataset.hard))
        self.general_count = min(general, len(dataset.general))

    @classmethod
    def of(cls, dataset: Dataset, settings: TrainingSettings) -> BatchSampler:
        """As a method's settings have it."""
        return cls(
            dataset,
            forget=settings.forget_batch,
            retain=settings.retain_batch,
            hard_fraction=settings.hard_fraction,
            seed=settings.seed,
            taught=settings.taught_batch,
            choices=settings.choice_batch,
        )

    def draw(self) -> tuple[list[ForgetExample], list[TokenizedExample]]:
        """(forget examples, retain examples) of the next step."""
        forget = [next(examples) for examples, count in self._forget for _ in range(count)]
        retain = [next(self._hard) for _ in range(self.hard_count)]
        retain += [next(self._general) for _ in range(self.general_count)]
        return forget, retain
