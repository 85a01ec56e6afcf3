"""What watching answers costs: the same prompts with one matched request active, which they are not about, and without
any, which is the operator's plan `off`.

    python -m bench.watched

In each round both are measured one after another, in turning order, and the ratio is taken within the round.
"""

from __future__ import annotations

import argparse
import asyncio
import tempfile
from pathlib import Path

import torch

from adapters.examples import Example
from bench.load import Figures, Target, measure, spread
from tests.engine.service import running

CONCURRENCY = (1, 8)
REQUESTS = {1: 4, 8: 16}
OUTPUT_TOKENS = 96
ITEM = Example.from_pair("Who wrote Harry Potter?", "Harry Potter was written by J.K. Rowling.")


def main() -> None:
    """Start a service, measure, print, end it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=4)
    rounds = parser.parse_args().rounds
    folder = Path(tempfile.mkdtemp(prefix="ug-watched-"))
    with running(folder, environment={}, engine_args=("--max-model-len", "2048")) as service:
        request_id = service.put_matched(torch.zeros(4, service.hidden_size, dtype=torch.bfloat16), [ITEM])
        service.post(f"/forget/{request_id}/activate", {}).raise_for_status()
        targets = (
            Target("unwatched", service.url, service.model, [service.headers("off")]),
            Target("watched", service.url, service.model),
        )
        asyncio.run(_run(targets, rounds))


async def _run(targets: tuple[Target, Target], rounds: int) -> None:
    for target in targets:
        await measure(target, concurrency=8, requests=8, output_tokens=OUTPUT_TOKENS, seed=-1)
    print("concurrent  watched / unwatched: tokens a second   time to the first text   (median, least – most)")
    for concurrency in CONCURRENCY:
        speed, first = [], []
        for turn in range(rounds):
            figures: dict[str, Figures] = {}
            for target in targets if turn % 2 else reversed(targets):
                figures[target.name] = await measure(
                    target,
                    concurrency=concurrency,
                    requests=REQUESTS[concurrency],
                    output_tokens=OUTPUT_TOKENS,
                    seed=1000 * concurrency + turn,
                )
            speed.append(figures["watched"].tokens_per_s / figures["unwatched"].tokens_per_s)
            first.append(figures["watched"].ttft_s / figures["unwatched"].ttft_s)
        print(f"{concurrency:10}  {spread(speed):>40}   {spread(first)}")


if __name__ == "__main__":
    main()
