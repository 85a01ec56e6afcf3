"""Seeded sampling on a CPU: what was drawn for a token that is thrown away is taken back. Plain torch.

Where a prompt is computed in several steps, vLLM samples after each and throws all but the last away. It takes back
what a request's generator drew by moving its offset. A CPU generator has none and raises, which ends the engine.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch


def keep_seeds(runner: Any) -> None:
    """Have vLLM's model runner take the draws back by the generator's state instead."""
    sample, keep_books = runner._sample, runner._bookkeeping_sync
    runner._sample = lambda *args: _taken_back(runner, lambda: sample(*args))
    runner._bookkeeping_sync = lambda *args: _out_of_sight(runner, lambda: keep_books(*args))


def _taken_back(runner: Any, sample: Callable[[], Any]) -> Any:
    """What is sampled; the generators of those that go on with their prompt are left as they were."""
    states = [(generator, generator.get_state()) for generator in _thrown_away(runner).values()]
    sampled = sample()
    for generator, state in states:
        generator.set_state(state)
    return sampled


def _out_of_sight(runner: Any, keep_books: Callable[[], Any]) -> Any:
    """What the books say, kept while none is there whose offset could be moved."""
    hidden = _thrown_away(runner)
    for position in hidden:
        del runner.input_batch.generators[position]
    try:
        return keep_books()
    finally:
        runner.input_batch.generators.update(hidden)


def _thrown_away(runner: Any) -> dict[int, torch.Generator]:
    """By their positions in the batch, the generators of the requests whose sampled token is none of the answer."""
    generators = runner.input_batch.generators
    discarded = np.nonzero(runner.discard_request_mask.np[: runner.input_batch.num_reqs])[0]
    return {int(position): generators[int(position)] for position in discarded if int(position) in generators}
