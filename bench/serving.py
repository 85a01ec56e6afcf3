"""What the gateway costs: bare vLLM, the gateway with no adapter, with one SPUL adapter of 20 tokens, with one offset,
and with four offsets in turn, so that they meet in a batch; where `--methods` has lora, also with one on the target.

The gateway has its default pair, so its row without an adapter is the price of an idle pair; with --without-pair a
second gateway without any stands beside it. A pair of the first K of L layers cannot be faster than 1 / (1 + K / L) of
bare vLLM where it runs: that bound is printed beside the offsets. All servers run at once with the same engine
settings. In each round all are measured one after another, in turning order, and the ratio to bare vLLM is taken within
the round: this way a noisy machine blurs the figures and does not shift them.

    make bench                      the whole table
    python -m bench.serving --quick fewer rounds
    python -m bench.serving --methods spul,delta,lora    what it costs to offer LoRAs on the target, and to use one
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import httpx
import psutil
import torch
from rich.console import Console
from rich.table import Table
from transformers import AutoConfig, AutoModelForCausalLM

from adapters.artifact.artifact import OFFSET_HALF, TARGET
from adapters.artifact.spec import OffsetSpec, PairSpec, default_layers
from adapters.models.hardware import AUTO, Hardware
from bench.load import Figures, Target, measure, spread
from gateway.checkpoints.default_model import NAME
from gateway.service.supervisor import end_process_tree
from gateway.settings import Settings
from tests.engine.pairs import random_lora
from tests.engine.service import Service, free_port

#: The format the gateway picks on this machine, so that both servers compute in it.
DTYPE = str(Hardware.named(AUTO).compute_dtype(torch.bfloat16)).removeprefix("torch.")
ENGINE_ARGS = ("--max-model-len", "2048", "--dtype", DTYPE)
#: On a card two servers share: what is measured is how fast they compute, not how much they hold.
ON_A_CARD = ("--gpu-memory-utilization", "0.2", "--kv-cache-memory-bytes", str(4 << 30))
SOFT_TOKENS = 20
OUTPUT_TOKENS = 48
CONCURRENCY = (1, 8, 32)
REQUESTS = {1: 4, 8: 16, 32: 64, 128: 256}
BARE, NO_PAIR, IDLE, SPUL = "bare vLLM", "gateway, no pair", "gateway", f"gateway + SPUL {SOFT_TOKENS}"
OFFSET, OFFSETS, LORA = "gateway + δ", "gateway + 4 δ mixed", "gateway + lora"
RANK = 16


def main() -> None:
    """Start both servers, measure, print, end both."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--quick", action="store_true", help="two rounds")
    parser.add_argument("--methods", default="spul,delta", help="what the gateway offers, as `unlearn serve` takes it")
    parser.add_argument("--without-pair", action="store_true", help="also measure a gateway that has no pair")
    parser.add_argument("--concurrency", type=int, nargs="+", default=CONCURRENCY, choices=tuple(REQUESTS))
    parser.add_argument(
        "--model", help="a checkpoint's folder, as `python -m bench.shapes` makes one; else the default"
    )
    parser.add_argument("--json", type=Path, help="also write the figures there")
    options = parser.parse_args()
    rounds = 2 if options.quick else options.rounds

    folder = Path(tempfile.mkdtemp(prefix="ug-bench-"))
    settings = Settings(data_dir=folder, port=free_port(), worker=False, methods=options.methods, model=options.model)
    engine_args = (*ENGINE_ARGS, *(ON_A_CARD if torch.cuda.is_available() else ()))
    service = Service(settings, folder / "serve.log", engine_args=engine_args)
    no_pair: Service | None = None
    bare_port = free_port()
    bare: subprocess.Popen[bytes] | None = None
    console = Console()
    try:
        console.print("starting the gateway and bare vLLM …")
        bare = _launch_bare(service.checkpoint, bare_port, engine_args, folder / "bare.log")
        service.start()
        _wait_for_bare(bare, bare_port, folder / "bare.log")
        if options.without_pair:
            console.print("starting a gateway without a pair …")
            alone = settings.model_copy(
                update={"data_dir": folder / "no-pair", "port": free_port(), "methods": "spul", "offset_layers": 0}
            )
            no_pair = Service(alone, folder / "no-pair.log", engine_args=engine_args)
            no_pair.start()
        rows = (
            torch.randn(SOFT_TOKENS, service.hidden_size, generator=torch.Generator().manual_seed(0))
            .mul(0.1)
            .to(torch.bfloat16)
        )
        plan = f"candidate:{service.put_request(rows)}"
        offsets = [service.headers(f"candidate:{_put_offset(service, seed)}") for seed in range(4)]
        targets = [
            Target(BARE, f"http://127.0.0.1:{bare_port}", NAME),
            Target(IDLE, service.url, service.model),
            Target(SPUL, service.url, service.model, [service.headers(plan)]),
            Target(OFFSET, service.url, service.model, offsets[:1]),
            Target(OFFSETS, service.url, service.model, offsets),
        ]
        if no_pair is not None:
            targets.insert(1, Target(NO_PAIR, no_pair.url, no_pair.model))
        if "lora" in settings.offered:
            targets.append(
                Target(LORA, service.url, service.model, [service.headers(f"candidate:{_put_lora(service)}")])
            )
        bound = _bound(service.checkpoint)
        console.print(_machine())
        try:
            results = asyncio.run(_run(targets, options.concurrency, rounds, console, bound))
        except BrokeOff as error:
            raise SystemExit(f"{error}\n{_tail(folder / 'bare.log')}\n{service.log_tail()}") from error
    finally:
        service.end()
        if no_pair is not None:
            no_pair.end()
        if bare is not None:
            end_process_tree(bare.pid)
            bare.wait()
    if options.json:
        options.json.write_text(
            json.dumps({"machine": _machine(), "rounds": rounds, "results": _plain(results)}, indent=1)
        )


Results = dict[int, dict[str, list[Figures]]]


class BrokeOff(Exception):
    """A server ended a connection; says which, and under what load."""


async def _run(targets: list[Target], levels: Sequence[int], rounds: int, console: Console, bound: float) -> Results:
    """Every level in turn; its table is printed as soon as it is there."""
    for target in targets:
        await measure(target, concurrency=8, requests=8, output_tokens=OUTPUT_TOKENS, seed=-1)
    results: Results = {concurrency: {target.name: [] for target in targets} for concurrency in levels}
    for concurrency in levels:
        for turn in range(rounds):
            shift = turn % len(targets)
            for target in targets[shift:] + targets[:shift]:
                try:
                    figures = await measure(
                        target,
                        concurrency=concurrency,
                        requests=REQUESTS[concurrency],
                        output_tokens=OUTPUT_TOKENS,
                        seed=1000 * concurrency + turn,
                    )
                except httpx.TransportError as error:
                    raise BrokeOff(f"{target.name}, {concurrency} concurrent: {type(error).__name__}") from error
                results[concurrency][target.name].append(figures)
            console.print(f"{concurrency} concurrent, round {turn + 1} of {rounds} done")
        console.print(_table({concurrency: results[concurrency]}, bound))
    return results


def _put_offset(service: Service, seed: int) -> str:
    """A request whose offset has random LoRA matrices of the default rank: what is measured does not depend on them."""
    config = AutoConfig.from_pretrained(service.checkpoint)
    config.num_hidden_layers = layers = default_layers(config.num_hidden_layers)
    tensors = random_lora(_without_weights(config), OFFSET_HALF, RANK, seed, scale=0.01)
    return service.put_offset(tensors, OffsetSpec("delta", 1.0, RANK, PairSpec(layers)))


def _put_lora(service: Service) -> str:
    """A request with a random LoRA of the same rank on every layer of the target."""
    model = _without_weights(AutoConfig.from_pretrained(service.checkpoint))
    return service.put_lora(random_lora(model, TARGET, RANK, seed=0, scale=0.01), RANK)


def _without_weights(config: Any) -> Any:
    with torch.device("meta"):
        return AutoModelForCausalLM.from_config(config)


def _launch_bare(checkpoint: Path, port: int, engine_args: Sequence[str], log_path: Path) -> subprocess.Popen[bytes]:
    environment = {**os.environ, "HF_HUB_OFFLINE": "1", "VLLM_NO_USAGE_STATS": "1"}
    environment.setdefault("VLLM_CPU_KVCACHE_SPACE", "1")
    environment["VLLM_WORKER_MULTIPROC_METHOD"] = "spawn"
    environment["VLLM_PLUGINS"] = ""
    environment.setdefault("VLLM_USE_AOT_COMPILE", "0")  # as the gateway sets it; see gateway.engine.boot
    arguments = ["--model", str(checkpoint), "--served-model-name", NAME, "--host", "127.0.0.1", "--port", str(port)]
    with log_path.open("ab") as log:
        return subprocess.Popen(
            [sys.executable, "-m", "bench.bare_vllm", *arguments, *engine_args],
            env=environment,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )


def _wait_for_bare(process: subprocess.Popen[bytes], port: int, log_path: Path) -> None:
    for _ in range(1200):
        if process.poll() is not None:
            raise SystemExit(f"bare vLLM ended at start; see {log_path}")
        try:
            if httpx.get(f"http://127.0.0.1:{port}/health", timeout=2).status_code == 200:
                return
        except httpx.TransportError:
            pass
        time.sleep(0.5)
    raise SystemExit(f"bare vLLM is not ready; see {log_path}")


def _bound(checkpoint: Path) -> float:
    """The best ratio to bare vLLM that an offset of the default pair can have: L of L + K layers are the target's."""
    depth = int(AutoConfig.from_pretrained(checkpoint).num_hidden_layers)
    return depth / (depth + default_layers(depth))


def _table(results: Results, bound: float) -> Table:
    table = Table(title=f"{OUTPUT_TOKENS} output tokens; median over rounds (min – max) of the ratio to bare vLLM")
    for column in ("concurrent", "system", "tokens/s", "ratio", "bound", "first token ms", "ratio"):
        table.add_column(column, justify="right" if column != "system" else "left")
    for concurrency, systems in results.items():
        for name, rounds in systems.items():
            base = systems[BARE]
            speed = [ours.tokens_per_s / theirs.tokens_per_s for ours, theirs in zip(rounds, base, strict=True)]
            first = [ours.ttft_s / theirs.ttft_s for ours, theirs in zip(rounds, base, strict=True)]
            table.add_row(
                str(concurrency),
                name,
                f"{statistics.median(f.tokens_per_s for f in rounds):.1f}",
                spread(speed),
                f"{bound:.3f}" if name in (OFFSET, OFFSETS) else "",
                f"{1000 * statistics.median(f.ttft_s for f in rounds):.0f}",
                spread(first),
            )
        table.add_section()
    return table


def _plain(results: Results) -> dict[str, dict[str, list[list[float]]]]:
    return {
        str(concurrency): {name: [[f.tokens_per_s, f.ttft_s] for f in rounds] for name, rounds in systems.items()}
        for concurrency, systems in results.items()
    }


def _tail(log: Path, lines: int = 40) -> str:
    return "\n".join(log.read_text(errors="replace").splitlines()[-lines:])


def _machine() -> str:
    memory = psutil.virtual_memory().total / 2**30
    load = ", ".join(f"{value:.1f}" for value in os.getloadavg())
    card = f"{torch.cuda.get_device_name()}; " if torch.cuda.is_available() else ""
    processor = platform.processor() or platform.machine()
    return f"{card}{processor}, {os.cpu_count()} cores, {memory:.0f} GiB; load average {load}"


if __name__ == "__main__":
    main()
