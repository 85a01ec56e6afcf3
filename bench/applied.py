"""What it costs to ask the worker for each answer which adapters it applied, against the stamp that comes with outputs.

    python -m bench.applied [--rounds 5]

One engine; requests of 16 tokens, 1, 8 and 32 at a time. `asked` are the same generations whose first output waits for
a call to the workers. In each round both are measured, in turning order, and the ratio is taken within the round.
The last line is the time of one step's stamps in the worker, 32 requests with 24 soft rows each.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import statistics
import time
from collections.abc import AsyncIterator
from types import SimpleNamespace
from typing import Any

from prometheus_client import CollectorRegistry

from bench.load import spread
from bench.serving import ENGINE_ARGS
from gateway.checkpoints.default_model import NAME, prepare
from gateway.engine import boot
from gateway.engine.planning import plan_engine
from gateway.service.metrics import GatewayMetrics
from gateway.settings import Settings

REQUESTS = {1: 8, 8: 32, 32: 64}
PROMPT = list(range(1000, 1040))
OUTPUT_TOKENS = 16
_numbers = itertools.count()


async def generate(check: Any, llm: Any, *, asked: bool) -> float:
    """Seconds to the first output of one generation."""
    from vllm.sampling_params import RequestOutputKind, SamplingParams

    number = next(_numbers)
    params = SamplingParams(
        max_tokens=OUTPUT_TOKENS, ignore_eos=True, temperature=0.0, output_kind=RequestOutputKind.DELTA
    )
    prompt = {"type": "token", "prompt_token_ids": PROMPT, "cache_salt": f"bench-{number}"}
    started, first = time.perf_counter(), 0.0
    outputs: AsyncIterator[Any] = check.generate((), prompt, params, f"bench-{number}")
    async for _ in outputs:
        if not first:
            if asked:
                await llm.collective_rpc("applied_to", args=([f"bench-{number}"],))
            first = time.perf_counter() - started
    return first


async def measure(check: Any, llm: Any, concurrency: int, *, asked: bool) -> tuple[float, float]:
    """(tokens a second, median seconds to the first output)."""
    left = iter(range(REQUESTS[concurrency]))
    firsts: list[float] = []

    async def run() -> None:
        for _ in left:
            firsts.append(await generate(check, llm, asked=asked))

    started = time.perf_counter()
    await asyncio.gather(*(run() for _ in range(concurrency)))
    return len(firsts) * OUTPUT_TOKENS / (time.perf_counter() - started), statistics.median(firsts)


def step_seconds(requests: int = 32, rows: int = 24) -> float:
    """What the stamps of a step take in the worker."""
    import torch

    from gateway.engine.inside.applied import AppliedRecord
    from gateway.engine.inside.soft_table import SoftTable

    table = SoftTable(256, 8, 100, torch.float32)
    table.install(list(range(rows)), torch.ones(rows, 8), "0" * 64)
    names = [f"r{number}" for number in range(requests)]
    runner: Any = SimpleNamespace(
        execute_model=lambda _: None,
        sample_tokens=lambda _: SimpleNamespace(num_nans_in_logits={}),
        input_batch=SimpleNamespace(
            request_lora_mapping=[1] * requests, req_id_to_index=dict(zip(names, range(requests), strict=True))
        ),
    )
    loras: Any = SimpleNamespace(active=lambda: {1: "1" * 64})
    AppliedRecord(runner, table, loras)
    prompt = list(range(100, 100 + rows))
    new = [SimpleNamespace(req_id=name, prompt_token_ids=prompt) for name in names]
    counts = dict.fromkeys(names, 1)
    runner.execute_model(SimpleNamespace(finished_req_ids=set(), scheduled_new_reqs=new, num_scheduled_tokens=counts))
    step = SimpleNamespace(finished_req_ids=set(), scheduled_new_reqs=[], num_scheduled_tokens=counts)
    started = time.perf_counter()
    for _ in range(1000):
        runner.execute_model(step)
        runner.sample_tokens(None)
    return (time.perf_counter() - started) / 1000


async def main() -> None:
    """Start the engine, measure, print, end it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    settings = Settings()
    folder = prepare(settings.cache_dir)
    boot.set_environment(local_model=True)
    plan = plan_engine(str(folder), served_name=NAME, settings=settings, extra_args=ENGINE_ARGS, default_model=True)
    llm = await boot.start_engine(plan)
    from gateway.engine.applied import AppliedCheck

    holdings: Any = None
    check = AppliedCheck(llm, holdings, GatewayMetrics(CollectorRegistry()))
    try:
        await measure(check, llm, 8, asked=False)
        for concurrency in REQUESTS:
            ratios = [await _round(check, llm, concurrency, turn) for turn in range(options.rounds)]
            speed, first = zip(*ratios, strict=True)
            print(f"{concurrency:3} at a time: asked / stamped: tokens/s {spread(speed)}, first output {spread(first)}")
    finally:
        llm.shutdown()
    print(f"stamps of a step: {1e6 * step_seconds():.0f} µs")


async def _round(check: Any, llm: Any, concurrency: int, turn: int) -> tuple[float, float]:
    found = {}
    for asked in (False, True) if turn % 2 else (True, False):
        found[asked] = await measure(check, llm, concurrency, asked=asked)
    return found[True][0] / found[False][0], found[True][1] / found[False][1]


if __name__ == "__main__":
    asyncio.run(main())
