"""Says with every output of a request which adapters this worker applied to it, from the worker's own state.

vLLM 0.32 has two model runners. Both take new requests from the scheduler's output in `execute_model`, and answer in
`sample_tokens`; what differs is where they keep the LoRA of a row.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from vllm.v1.outputs import AsyncModelRunnerOutput

from gateway.engine.inside.loaded_loras import LoadedLoras
from gateway.engine.inside.soft_table import SoftTable
from gateway.engine.statement import UNKNOWN, Statement, pack

#: Statements about requests that are over, kept for whoever asks why one was refused.
_KEPT = 4096


#: Of a request that was computed with one thing in one step and with another in the next, and from then on: its keys
#: and values are neither's.
_MIXED = Statement((UNKNOWN,))


class UnknownRunner(Exception):
    """A model runner that cannot be asked which LoRA a row has."""


def lora_ids(runner: Any) -> Callable[[str], int]:
    """A function: the LoRA that the runner gives the rows of a request, 0 for none. Raises `UnknownRunner`."""
    batch = getattr(runner, "input_batch", None)
    if hasattr(batch, "request_lora_mapping"):  # V1; the batch may be made anew, so it is looked up each time
        return lambda request: int(runner.input_batch.request_lora_mapping[runner.input_batch.req_id_to_index[request]])
    if hasattr(getattr(runner, "lora_state", None), "lora_ids") and hasattr(runner, "req_states"):  # V2
        return lambda request: int(runner.lora_state.lora_ids[runner.req_states.req_id_to_index[request]])
    raise UnknownRunner(f"{type(runner).__module__}.{type(runner).__qualname__} keeps LoRAs in no place known here")


@dataclass(frozen=True, slots=True)
class _Said:
    """A statement, and what it was made from: the table's version and the name of the LoRA."""

    version: int
    lora: str | None
    statement: Statement
    stamp: int


class AppliedRecord:
    """Watches a model runner, and stamps what it gives back."""

    def __init__(self, runner: Any, table: SoftTable, loras: LoadedLoras) -> None:
        """Raises `UnknownRunner`."""
        self._table = table
        self._loras = loras
        self._lora_of = lora_ids(runner)
        self._rows: dict[str, tuple[int, ...]] = {}
        self._said: dict[str, _Said] = {}
        self._over: OrderedDict[str, Statement] = OrderedDict()
        self._step: dict[str, int] = {}
        self._execute, self._sample = runner.execute_model, runner.sample_tokens
        runner.execute_model, runner.sample_tokens = self._executed, self._sampled

    def of(self, requests: Iterable[str]) -> dict[str, str]:
        """What was last said about each of these engine requests, those forgotten left out."""
        known = {**self._over, **{request: said.statement for request, said in self._said.items()}}
        return {request: str(known[request]) for request in requests if request in known}

    def _executed(self, scheduled: Any, *args: Any, **kwargs: Any) -> Any:
        for request in scheduled.finished_req_ids:
            self._forget(request)
        for new in scheduled.scheduled_new_reqs:  # once more for one that was preempted, under the second runner
            self._rows[new.req_id] = self._virtual(new.prompt_token_ids or ())
        output = self._execute(scheduled, *args, **kwargs)
        names = self._loras.active()
        known = [request for request in scheduled.num_scheduled_tokens if request in self._rows]
        self._step = {request: self._stamp(request, names) for request in known}
        return output

    def _sampled(self, *args: Any, **kwargs: Any) -> Any:
        output, stamps = self._sample(*args, **kwargs), self._step
        if isinstance(output, AsyncModelRunnerOutput):
            # Another step may have begun by the time that the output is waited for.
            wait: Callable[[], Any] = output.get_output
            output.get_output = lambda: _stamped(wait(), stamps)
            return output
        return _stamped(output, stamps)

    def _stamp(self, request: str, names: Mapping[int, str]) -> int:
        lora = self._lora_of(request)
        name = names.get(lora, UNKNOWN) if lora > 0 else None
        said = self._said.get(request)
        if said is None or said.version != self._table.version or said.lora != name:
            statement = Statement(self._table.digests_at(self._rows[request]), name)
            if said is not None and said.statement != statement:
                statement = _MIXED
            said = self._said[request] = _Said(self._table.version, name, statement, statement.stamp)
        return said.stamp

    def _virtual(self, prompt: Iterable[int]) -> tuple[int, ...]:
        """Rows of the table that a prompt begins with; no virtual token is let through anywhere else."""
        rows = []
        for token in prompt:
            if token < self._table.vocab_size:
                break
            rows.append(token - self._table.vocab_size)
        return tuple(rows)

    def _forget(self, request: str) -> None:
        self._rows.pop(request, None)
        last = self._said.pop(request, None)
        if last is not None:
            self._over[request] = last.statement
            while len(self._over) > _KEPT:
                self._over.popitem(last=False)


def _stamped(output: Any, stamps: dict[str, int]) -> Any:
    """The runner's output with a stamp in each request's count of NaN; see `gateway.engine.statement`."""
    if output is not None and stamps:
        counts = output.num_nans_in_logits or {}
        output.num_nans_in_logits = {
            request: pack(stamp, has_nan=bool(counts.get(request))) for request, stamp in stamps.items()
        }
    return output
