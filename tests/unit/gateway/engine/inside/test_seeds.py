from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import torch

from gateway.engine.inside.seeds import keep_seeds


class Runner:
    """As much of vLLM's as samples: one number for each request, from its own generator where it has a seed."""

    def __init__(self, seeds: dict[int, int], requests: int) -> None:
        generators = {position: torch.Generator().manual_seed(seed) for position, seed in seeds.items()}
        self.input_batch = SimpleNamespace(generators=generators, num_reqs=requests)
        self.discard_request_mask = SimpleNamespace(np=np.zeros(8, dtype=bool))

    def _sample(self, logits: Any, metadata: Any) -> dict[int, float]:
        return {i: float(torch.rand((), generator=each)) for i, each in self.input_batch.generators.items()}

    def _bookkeeping_sync(self, *_: Any) -> str:
        for position in np.nonzero(self.discard_request_mask.np[: self.input_batch.num_reqs])[0]:
            generator = self.input_batch.generators.get(int(position))
            if generator is not None:
                generator.set_offset(generator.get_offset() - 4)
        return "kept"

    def step(self, *discarded: int) -> dict[int, float]:
        self.discard_request_mask.np[:] = np.isin(np.arange(8), discarded)
        sampled = self._sample(None, None)
        assert self._bookkeeping_sync() == "kept"
        return sampled


def test_a_prompt_of_several_steps_is_sampled_as_one_of_one_step() -> None:
    whole, parts = Runner({0: 7, 2: 9}, 3), Runner({0: 7, 2: 9}, 3)
    keep_seeds(parts)
    expected = [whole.step() for _ in range(3)]
    found = [parts.step(0), parts.step(0, 1), parts.step()]
    assert found[2][0] == expected[0][0], "the first of its own"
    assert [step[2] for step in found] == [step[2] for step in expected], "another is not disturbed"


def test_the_generators_are_where_they_were() -> None:
    runner = Runner({0: 7, 2: 9}, 3)
    before = dict(runner.input_batch.generators)
    keep_seeds(runner)
    runner.step(2, 0)
    assert runner.input_batch.generators == before


def test_what_lies_beyond_the_batch_is_nobodys() -> None:
    runner = Runner({0: 7}, 1)
    keep_seeds(runner)
    runner.step(0, 3, 5)
    assert runner.step() == Runner({0: 7}, 1).step()
