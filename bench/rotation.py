"""What many different sets of adapters in rotation cost: throughput and time to the first token against one set.

    python -m bench.rotation [--sets 1 4 8 64 512] [--rounds 3] [--offset-sets 64] [--offset-slots 4]

Matched requests about invented names, each with a small random offset, are active together. A prompt names two of them,
so its set is a merge of two offsets. In each round every number of sets is measured once, in turning order; within a
round the ratio is taken to the one set. Before a number of sets that can stay loaded each of them is asked for once;
beyond, each round goes on to sets that were not asked for yet, so that every request has its set merged and loaded
(`brought in`). More sets than slots cannot be in one batch: of the 8 concurrent requests, those of 4 sets run.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import random
import statistics
import string
import tempfile
from collections.abc import Sequence
from pathlib import Path

import httpx
import torch
from prometheus_client.parser import text_string_to_metric_families
from rich.console import Console
from rich.table import Table
from transformers import AutoConfig, AutoModelForCausalLM

from adapters.artifact.artifact import OFFSET_HALF
from adapters.artifact.spec import OffsetSpec, PairSpec, default_layers
from adapters.examples import Example
from bench.load import Figures, Target, measure, spread
from gateway.settings import Settings
from tests.engine.pairs import random_lora
from tests.engine.service import Service, free_port

ENGINE_ARGS = ("--max-model-len", "1024")
RANK = 4
CONCURRENCY = 8
OUTPUT_TOKENS = 16


def names(count: int) -> list[str]:
    """Of nobody: two words each, none of which comes twice."""
    draw, made = random.Random(7), dict[str, None]()
    while len(made) < 2 * count:
        made["".join(draw.choices(string.ascii_lowercase, k=8)).capitalize()] = None
    words = list(made)
    return [f"{first} {last}" for first, last in zip(words[::2], words[1::2], strict=True)]


def questions(people: Sequence[str], count: int) -> list[str]:
    """One for each of the first `count` pairs; two that follow each other share nobody where that can be."""
    pairs = list(itertools.combinations(people, 2))
    random.Random(3).shuffle(pairs)
    return [f"What do {first} and {second} have in common?" for first, second in pairs[:count]]


def put_requests(service: Service, people: Sequence[str]) -> None:
    """An active matched request about each, with an offset of its own."""
    config = AutoConfig.from_pretrained(service.checkpoint)
    config.num_hidden_layers = layers = default_layers(config.num_hidden_layers)
    with torch.device("meta"):
        model = AutoModelForCausalLM.from_config(config)
    spec = OffsetSpec("delta", 1.0, RANK, PairSpec(layers))
    for seed, name in enumerate(people):
        items = [Example.from_pair(f"Who is {name}?", f"{name} is a baker.")]
        request = service.put_matched_offset(random_lora(model, OFFSET_HALF, RANK, seed, scale=0.01), spec, items)
        service.post(f"/forget/{request}/activate", {}).raise_for_status()


def loads(service: Service) -> float:
    """How many sets were brought into the engine so far."""
    for family in text_string_to_metric_families(service.get("/metrics").text):
        if family.name == "unlearning_adapter_installs":
            return float(next(each.value for each in family.samples if each.name.endswith("_total")))
    raise LookupError("unlearning_adapter_installs")


def ask_each(service: Service, asked: Sequence[str]) -> None:
    """Once, and look whether both requests apply."""
    for question in asked:
        body = {"model": service.model, "messages": [{"role": "user", "content": question}], "max_tokens": 1}
        answer = service.post("/v1/chat/completions", body)
        answer.raise_for_status()
        if len(answer.headers["x-unlearning-digests"].split(",")) != 2:
            raise SystemExit(f"{question} is not about two requests: {answer.headers['x-unlearning-applied']}")


def main() -> None:
    """Start the service, measure, print, end it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sets", type=int, nargs="+", default=[1, 4, 8, 64, 512])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--requests", type=int, default=64, help="in each round, for each number of sets")
    parser.add_argument("--offset-sets", type=int, default=Settings.model_fields["offset_sets"].default)
    parser.add_argument("--offset-slots", type=int, default=Settings.model_fields["offset_slots"].default)
    options = parser.parse_args()

    folder = Path(tempfile.mkdtemp(prefix="ug-rotation-"))
    room = {"offset_sets": options.offset_sets, "offset_slots": options.offset_slots}
    settings = Settings(data_dir=folder, port=free_port(), worker=False, watch=False, **room)
    service = Service(settings, folder / "serve.log", engine_args=ENGINE_ARGS)
    console = Console()
    most = max(options.sets)
    people = names(next(n for n in itertools.count(2) if n * (n - 1) // 2 >= most))
    asked = questions(people, most)
    try:
        console.print("starting the service …")
        service.start()
        put_requests(service, people)
        ask_each(service, asked[:2])
        figures: dict[int, list[tuple[Figures, float]]] = {count: [] for count in options.sets}
        for turn in range(options.rounds):
            shift = turn % len(options.sets)
            for count in options.sets[shift:] + options.sets[:shift]:
                if count <= options.offset_sets:
                    turns = asked[:count]
                    ask_each(service, turns)
                else:
                    start = options.offset_sets + turn * options.requests
                    turns = [asked[number % count] for number in range(start, start + count)]
                figures[count].append(_measure(service, turns, options.requests, seed=1000 * count + turn))
            console.print(f"round {turn + 1} of {options.rounds}", _table(figures))
    except httpx.HTTPError as error:
        raise SystemExit(f"{error}\n{service.log_tail()}") from error
    finally:
        service.end()


def _measure(service: Service, asked: Sequence[str], requests: int, *, seed: int) -> tuple[Figures, float]:
    """Figures of these questions in turn, and the share of the requests whose set had to be brought in."""
    target = Target("rotation", service.url, service.model, questions=asked)
    before = loads(service)
    figures = asyncio.run(
        measure(target, concurrency=CONCURRENCY, requests=requests, output_tokens=OUTPUT_TOKENS, seed=seed)
    )
    return figures, (loads(service) - before) / requests


def _table(figures: dict[int, list[tuple[Figures, float]]]) -> Table:
    table = Table(title=f"{CONCURRENCY} concurrent, {OUTPUT_TOKENS} output tokens; median over rounds (min – max)")
    for column in ("sets", "tokens/s", "ratio to one", "first token ms", "ratio to one", "brought in"):
        table.add_column(column, justify="right")
    base = [each for each, _ in figures[min(figures)]]
    for count, rounds in figures.items():
        ours = [each for each, _ in rounds]
        table.add_row(
            str(count),
            f"{statistics.median(each.tokens_per_s for each in ours):.1f}",
            spread([a.tokens_per_s / b.tokens_per_s for a, b in zip(ours, base, strict=True)]),
            f"{1000 * statistics.median(each.ttft_s for each in ours):.0f}",
            spread([a.ttft_s / b.ttft_s for a, b in zip(ours, base, strict=True)]),
            f"{statistics.median(share for _, share in rounds):.2f}",
        )
    return table


if __name__ == "__main__":
    main()
