"""Decodes many prompts together: greedily, sampled by seeds, or held to one of several texts."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch

from adapters.evaluation.served import ServedModel
from adapters.models.frozen import shared_prefix
from adapters.models.hardware import Hardware

#: The part of a batch's rows that must have ended before they are dropped.
_ENDED = 0.2


@dataclass(frozen=True, slots=True)
class BatchLimits:
    """Of what is run together: so many rows, and so many tokens with their padding."""

    rows: int
    tokens: int

    @classmethod
    def of(cls, hardware: Hardware) -> BatchLimits:
        """What a device does well with."""
        return cls(512, 131_072) if hardware.is_accelerator else cls(64, 8192)

    def batches(self, lengths: Sequence[int]) -> Iterator[list[int]]:
        """Positions in batches, in the order of their lengths, and so with little padding."""
        batch: list[int] = []
        for position in sorted(range(len(lengths)), key=lambda position: lengths[position]):
            if batch and (len(batch) == self.rows or (len(batch) + 1) * lengths[position] > self.tokens):
                yield batch
                batch = []
            batch.append(position)
        if batch:
            yield batch


@dataclass(frozen=True, slots=True)
class DecodingTask:
    """A prompt, and how it is to be gone on with.

    temperature 0: greedily; else sampled by the seed, which draws one number a token, the same on every device and in
    every batch. choices: the answer is to be one of these, of whatever length; empty: it is free.
    """

    prompt: tuple[int, ...]
    max_tokens: int
    temperature: float = 0.0
    seed: int = 0
    choices: tuple[tuple[int, ...], ...] = ()


def decode(
    model: ServedModel, tasks: Sequence[DecodingTask], *, stop: int, limits: BatchLimits | None = None
) -> list[tuple[int, ...]]:
    """The answer to each task, in order, cut before `stop`. limits: None: those of the model's device."""
    limits = limits or BatchLimits.of(model.hardware)
    answers: dict[int, tuple[int, ...]] = {}
    for batch in limits.batches([len(task.prompt) + task.max_tokens for task in tasks]):
        answers.update(zip(batch, _decode(model, [tasks[position] for position in batch], stop), strict=True))
    return [answers[position] for position in range(len(tasks))]


class _Row:
    """A task that is being decoded."""

    def __init__(self, task: DecodingTask, stop: int) -> None:
        self.task = task
        self.tokens: list[int] = []
        self._stop = stop
        self._draws: list[float] = []
        if task.temperature:
            longest = max(map(len, task.choices), default=task.max_tokens) + 1
            generator = torch.Generator().manual_seed(task.seed)
            self._draws = torch.rand(longest, generator=generator, dtype=torch.float64).tolist()
        self.ended = self._is_complete()

    @property
    def allowed(self) -> list[int]:
        """The tokens that go on towards one of the choices; `stop` where one is complete."""
        said = len(self.tokens)
        possible = [choice for choice in self.task.choices if list(choice[:said]) == self.tokens]
        return sorted({choice[said] if len(choice) > said else self._stop for choice in possible})

    @property
    def draw(self) -> float:
        """The next token's number in [0, 1)."""
        return self._draws[len(self.tokens)]

    def take(self, token: int) -> None:
        if token == self._stop:
            self.ended = True
            return
        self.tokens.append(token)
        self.ended = self._is_complete()

    def _is_complete(self) -> bool:
        if self.task.choices:
            return self.allowed == [self._stop]
        return len(self.tokens) >= self.task.max_tokens


@torch.no_grad()
def _decode(model: ServedModel, tasks: Sequence[DecodingTask], stop: int) -> list[tuple[int, ...]]:
    device = model.hardware.device
    rows = [_Row(task, stop) for task in tasks]
    prompts = [task.prompt for task in tasks]
    shared = shared_prefix(prompts)
    caches = model.begin(torch.tensor(prompts[0][:shared], dtype=torch.long, device=device), len(prompts))
    # Left padding, after what is shared: every row goes on from its last column.
    width = max(map(len, prompts)) - shared
    padding = [width - (len(prompt) - shared) for prompt in prompts]
    ids = torch.tensor([(0,) * pad + prompt[shared:] for pad, prompt in zip(padding, prompts, strict=True)])
    mask = torch.ones(len(prompts), caches[0].get_seq_length() + width, dtype=torch.long)
    for number, pad in enumerate(padding):
        mask[number, mask.shape[1] - width : mask.shape[1] - width + pad] = 0
    ids, mask = ids.to(device), mask.to(device)
    batch = list(rows)  # those that are in the caches, ended or not
    while not all(row.ended for row in batch):
        states = [each[:, -1] for each in model.read(caches, ids, mask)]
        chosen = _choose(model.logits(states), batch)
        for row, token in zip(batch, chosen.tolist(), strict=True):
            if not row.ended:
                row.take(token)
        going = [number for number, row in enumerate(batch) if not row.ended]
        if going and len(batch) - len(going) >= _ENDED * len(batch):
            kept = torch.tensor(going, device=device)
            for cache in caches:
                cache.batch_select_indices(kept)
            batch = [batch[number] for number in going]
            chosen, mask = chosen[kept], mask[kept]
        ids = chosen[:, None]
        mask = torch.cat((mask, mask.new_ones(len(mask), 1)), dim=1)
    return [tuple(row.tokens) for row in rows]


def _choose(logits: torch.Tensor, rows: Sequence[_Row]) -> torch.Tensor:
    """The next token of each row, [rows]. logits [rows, vocabulary]."""
    for number, row in enumerate(rows):
        if row.task.choices and not row.ended:
            allowed = torch.tensor(row.allowed, device=logits.device)
            kept = logits[number, allowed]
            logits[number] = float("-inf")
            logits[number, allowed] = kept
    chosen = logits.argmax(-1)
    sampled = [number for number, row in enumerate(rows) if row.task.temperature and not row.ended]
    if sampled:
        where = torch.tensor(sampled, device=logits.device)
        heat = torch.tensor([rows[number].task.temperature for number in sampled], device=logits.device)
        draws = torch.tensor([rows[number].draw for number in sampled], dtype=torch.float64, device=logits.device)
        below = (logits[where] / heat[:, None]).softmax(-1).double().cumsum(-1)
        # The first token whose share of the distribution reaches beyond the draw; one of no probability never does.
        drawn = torch.searchsorted(below, (draws * below[:, -1])[:, None], right=True).squeeze(-1)
        chosen[where] = drawn
    return chosen
