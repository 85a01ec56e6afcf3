"""The engine's edge: what `AsyncLLM` looks like from the door, over a model of the worker.

The worker knows adapters by what was written into it, and never by what the gateway calls them: rows by the artifact
that came with them, a LoRA by the weights in its folder. Of each generation it notes what its prompt was computed with.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from hashlib import sha256
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors.torch import load, load_file
from vllm.lora.request import LoRARequest
from vllm.outputs import CompletionOutput, RequestOutput
from vllm.sampling_params import RequestOutputKind, SamplingParams
from vllm.v1.engine.exceptions import EngineGenerateError

from gateway.engine.inside.extension import TENSOR
from gateway.engine.residency.lora_folder import read_contents
from gateway.engine.statement import UNKNOWN, Statement, pack

#: Token ids are Latin-1: text and ids are each other's in one step.
VOCABULARY = 256
CONTEXT = 4096
#: Prompts whose keys and values are kept.
_CACHED = 4096


class Latin1:
    """The tokenizer."""

    def encode(self, text: str, add_special_tokens: bool = False) -> list[int]:
        return list(text.encode("latin-1", "replace"))

    def decode(self, ids: Sequence[int], skip_special_tokens: bool = False) -> str:
        return bytes(ids).decode("latin-1")


@dataclass(frozen=True, slots=True)
class Applied:
    """What a prompt was computed with. rows: digest and place in it of each row in front of the prompt, None for one
    that holds nothing. lora: the LoRA's change of one layer, flat."""

    rows: tuple[tuple[str, int] | None, ...]
    lora: tuple[float, ...] | None


@dataclass(slots=True)
class Run:
    """What the engine gave in one go. start, end: characters of the script. steps: one for each part of it."""

    start: int
    end: int
    steps: list[Applied] = field(default_factory=list)


@dataclass(slots=True)
class Generation:
    """All of one answer. script: what the model says. runs: of the same request, each going on where the door had it
    stopped."""

    prompt: str
    script: str
    runs: list[Run] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class LoadedLora:
    """name: as its folder has it. change: see `change_of`."""

    folder: Path
    name: str
    change: tuple[float, ...]


class Worker:
    """What is in the engine's process."""

    def __init__(self) -> None:
        self.table: dict[int, tuple[str, int]] = {}
        self.loras: dict[int, LoadedLora] = {}
        self._cache: OrderedDict[tuple[str, str, tuple[int, ...]], Applied] = OrderedDict()

    def install_soft_prompt(self, rows: Sequence[int], artifact: bytes) -> tuple[str, None]:
        digest = sha256(artifact).hexdigest()
        assert len(load(artifact)[TENSOR]) == len(rows), "an adapter gets as many rows as it has"
        self.table |= {row: (digest, place) for place, row in enumerate(rows)}
        return digest, None

    def evict_soft_prompt(self, rows: Sequence[int]) -> None:
        for row in rows:
            self.table.pop(row, None)

    def unknown_lora_modules(self, names: Sequence[str]) -> list[str]:
        return []

    def set_needs_both_logits(self, needed: bool) -> None: ...

    def set_without_offset(self, ids: Sequence[int]) -> None: ...

    def applied_to(self, requests: Sequence[str]) -> dict[str, str]:
        return {}

    def load_lora(self, lora: LoRARequest) -> None:
        folder = Path(lora.lora_path)
        self.loras[lora.lora_int_id] = LoadedLora(
            folder, read_contents(folder).name, change_of(load_file(_weights(folder)))
        )

    def step(self, ids: Sequence[int], salt: str, lora: LoRARequest | None) -> Applied:
        """Compute a prompt, or take it from the cache."""
        key = (salt, "" if lora is None else lora.lora_name, tuple(ids))
        if key not in self._cache:
            self._cache[key] = self.computed(ids, lora)
            while len(self._cache) > _CACHED:
                self._cache.popitem(last=False)
        return self._cache[key]

    def computed(self, ids: Sequence[int], lora: LoRARequest | None) -> Applied:
        """Compute a prompt, as it also is when a request was pushed out of memory and begins anew."""
        rows = tuple(self.table.get(token - VOCABULARY) for token in ids if token >= VOCABULARY)
        if lora is None:
            return Applied(rows, None)
        loaded = self.loras[lora.lora_int_id]
        assert _weights(loaded.folder).exists(), "the engine may read a LoRA again for as long as a request has it"
        return Applied(rows, loaded.change)

    def stamp(self, ids: Sequence[int], lora: LoRARequest | None) -> int:
        """What it says it applies to a request, as the engine's own worker says it: by what it holds at its start."""
        rows = self.computed(ids, lora).rows
        named = tuple(UNKNOWN if row is None else row[0] for row in rows if row is None or row[1] == 0)
        return Statement(named, None if lora is None else self.loras[lora.lora_int_id].name).stamp


def _weights(folder: Path) -> Path:
    return folder / "adapter_model.safetensors"


def change_of(tensors: Mapping[str, Any]) -> tuple[float, ...]:
    """What an offset, or several merged ones, changes of its first layer: B A, flat. Equal for equal sets of them."""
    low = next(name for name in sorted(tensors) if "offset.model" in name and "lora_A" in name)
    high = low.replace("lora_A", "lora_B")
    product: NDArray[np.float32] = (tensors[high].float() @ tensors[low].float()).numpy()
    return tuple(product.ravel().tolist())


class State:
    """Of one request. queue: what its generation is to give, or to fail with."""

    def __init__(self) -> None:
        self.queue = SimpleNamespace(put=self.given.append)

    @cached_property
    def given(self) -> list[Any]:
        return []


class OutputProcessor:
    """Hands the engine's outputs to their requests: what looks at them stands in front of these two methods."""

    def __init__(self) -> None:
        self.request_states: dict[str, State] = {}

    def add_request(self, request: Any) -> None:
        self.request_states[request.request_id] = State()

    def process_outputs(self, outputs: Sequence[Any]) -> None:
        for output in outputs:
            self.request_states[output.request_id].queue.put(output.whole)


class Engine:
    """`AsyncLLM`, whose model says what `scripts` has for a request, a sentence at a time.

    One whose request id begins with `held` waits after the second part of a run, and after each further one, until
    `go_on`.
    """

    def __init__(self) -> None:
        self.worker = Worker()
        self.scripts: dict[str, str] = {}
        self.generations: dict[str, Generation] = {}
        self.waiting: dict[str, asyncio.Event] = {}
        self.running = 0
        self.errored, self.is_running, self.is_stopped = False, True, False
        tokenizer = Latin1()
        self.renderer = SimpleNamespace(get_tokenizer=lambda: tokenizer)
        self.input_processor = None
        self.model_config = SimpleNamespace(max_model_len=CONTEXT)
        self.vllm_config = SimpleNamespace(model_config=self.model_config)
        self.output_processor = OutputProcessor()

    def go_on(self, request_id: str) -> None:
        """With the next part of what waits."""
        self.waiting.pop(request_id).set()

    def get_num_unfinished_requests(self) -> int:
        return self.running

    async def collective_rpc(self, method: str, args: tuple[Any, ...] = ()) -> list[Any]:
        await asyncio.sleep(0)
        return [getattr(self.worker, method)(*args)]

    async def add_lora(self, lora: LoRARequest) -> bool:
        await asyncio.sleep(0)
        self.worker.load_lora(lora)
        return True

    async def remove_lora(self, lora_id: int) -> bool:
        await asyncio.sleep(0)
        return self.worker.loras.pop(lora_id, None) is not None

    async def generate(
        self,
        prompt: dict[str, Any],
        params: SamplingParams,
        request_id: str,
        *,
        lora_request: LoRARequest | None = None,
        **_: Any,
    ) -> AsyncIterator[RequestOutput]:
        ids = prompt["prompt_token_ids"]
        text = self.renderer.get_tokenizer().decode([token for token in ids if token < VOCABULARY])
        if request_id not in self.generations:
            self.generations[request_id] = Generation(text, self.scripts[request_id])
        generation = self.generations[request_id]
        said = text.removeprefix(generation.prompt)
        assert generation.script.startswith(said), "it goes on from what it said"
        run = Run(len(said), len(said))
        generation.runs.append(run)
        self.running += 1
        processor = self.output_processor
        processor.add_request(SimpleNamespace(request_id=request_id))
        state, stamp = processor.request_states[request_id], self.worker.stamp(ids, lora_request)
        try:
            while run.end < len(generation.script):
                if request_id.startswith("held") and len(run.steps) > 1:
                    await self.waiting.setdefault(request_id, asyncio.Event()).wait()
                await asyncio.sleep(0)
                step = (
                    self.worker.computed(ids, lora_request)
                    if run.steps
                    else self.worker.step(ids, prompt["cache_salt"], lora_request)
                )
                end = generation.script.find(". ", run.end) + 2
                first = run.end if params.output_kind is RequestOutputKind.DELTA else run.start
                whole = _output(request_id, ids, generation.script[first:end], end == len(generation.script))
                said = SimpleNamespace(
                    request_id=request_id,
                    num_nans_in_logits=pack(stamp, has_nan=False),
                    new_token_ids=whole.outputs[0].token_ids,
                    new_prompt_logprobs_tensors=None,
                    whole=whole,
                )
                processor.process_outputs([said])
                (given,) = state.given
                state.given.clear()
                if isinstance(given, Exception):
                    raise EngineGenerateError from given
                run.steps.append(step)
                run.end = end
                yield given
        finally:
            self.running -= 1
            del processor.request_states[request_id]
            self.waiting.pop(request_id, None)


def _output(request_id: str, ids: list[int], text: str, finished: bool) -> RequestOutput:
    part = CompletionOutput(
        0, text, list(text.encode("latin-1")), None, None, finish_reason="stop" if finished else None
    )
    return RequestOutput(request_id, None, ids, None, [part], finished)
