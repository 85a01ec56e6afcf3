"""A bounded load on one loopback endpoint: n requests at a time, streamed, with time to first token."""

from __future__ import annotations

import asyncio
import itertools
import json
import statistics
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import httpx

_QUESTION = "Describe a day at the sea in summer, from the early morning to the late evening."


@dataclass(frozen=True, slots=True)
class Target:
    """One thing to measure. Requests take turns with the `headers`, and so with the plans they name, and with the
    `questions`."""

    name: str
    url: str
    model: str
    headers: Sequence[Mapping[str, str]] = ({},)
    questions: Sequence[str] = (_QUESTION,)


@dataclass(frozen=True, slots=True)
class Figures:
    """One round. `tokens_per_s` is output tokens of all requests over the wall time; `ttft_s` the median."""

    tokens_per_s: float
    ttft_s: float


def spread(ratios: Sequence[float]) -> str:
    """The median of a row's ratios, with the least and the greatest."""
    return f"{statistics.median(ratios):.3f} ({min(ratios):.2f} – {max(ratios):.2f})"


async def measure(target: Target, *, concurrency: int, requests: int, output_tokens: int, seed: int) -> Figures:
    """Send `requests` chat requests, `concurrency` at a time. Each prompt is new, so no prefix is cached."""
    numbers = itertools.count()
    times_to_first: list[float] = []
    limits = httpx.Limits(max_connections=concurrency)
    async with httpx.AsyncClient(base_url=target.url, timeout=300, limits=limits) as client:

        async def run() -> None:
            while (number := next(numbers)) < requests:
                headers = target.headers[number % len(target.headers)]
                question = f"[{seed}-{number}] {target.questions[number % len(target.questions)]}"
                times_to_first.append(await _one(client, target.model, headers, question, output_tokens))

        started = time.perf_counter()
        await asyncio.gather(*(run() for _ in range(concurrency)))
        wall = time.perf_counter() - started
    return Figures(requests * output_tokens / wall, statistics.median(times_to_first))


async def _one(
    client: httpx.AsyncClient, model: str, headers: Mapping[str, str], question: str, output_tokens: int
) -> float:
    body = {
        "model": model,
        "messages": [{"role": "user", "content": question}],
        "max_tokens": output_tokens,
        "ignore_eos": True,
        "temperature": 0,
        "stream": True,
    }
    started = time.perf_counter()
    first = 0.0
    async with client.stream("POST", "/v1/chat/completions", json=body, headers=headers) as response:
        response.raise_for_status()
        async for line in response.aiter_lines():
            if first == 0.0 and line.startswith("data: ") and _has_content(line):
                first = time.perf_counter() - started
    return first


def _has_content(line: str) -> bool:
    if line == "data: [DONE]":
        return False
    choices = json.loads(line[6:])["choices"]
    return bool(choices and choices[0]["delta"].get("content"))
