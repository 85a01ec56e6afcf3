"""Rows whose logits are not finite: known by vLLM's own count of NaN, which nothing a caller asks for can hide.

The model makes such a row NaN throughout (`UnlearningForCausalLM`). Grammars, allowed tokens, biases, penalties and
logits processors can only take entries out of a row: what is left of this one is still NaN. vLLM counts them in each
row, with `VLLM_COMPUTE_NANS_IN_LOGITS`, and sends the number along with the row's token.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

from vllm.outputs import RequestOutput
from vllm.v1.engine import EngineCoreOutput
from vllm.v1.engine.async_llm import AsyncLLM
from vllm.v1.engine.exceptions import EngineGenerateError


class LogitsNotFinite(Exception):
    """The engine has no answer for this request."""


class FaultWatch:
    """Ends requests at their first such row, before anything of it becomes an answer; cleans up behind them.

    `AsyncLLM.generate` raises `EngineGenerateError` from `LogitsNotFinite` for them.
    """

    def __init__(self, engine: AsyncLLM) -> None:
        self._engine = engine
        self._states = engine.output_processor.request_states
        self._process = engine.output_processor.process_outputs
        engine.output_processor.process_outputs = self._checked
        self._scrubbing = asyncio.Lock()
        self._asked = 0
        self.scrubs = 0

    def _checked(self, outputs: list[EngineCoreOutput], *args: Any, **kwargs: Any) -> Any:
        for output in outputs:
            state = self._states.get(output.request_id) if output.num_nans_in_logits else None
            if state is not None and state.queue is not None:
                state.queue.put(LogitsNotFinite())
        return self._process([output for output in outputs if not output.num_nans_in_logits], *args, **kwargs)

    async def scrub(self) -> None:
        """Make finite what the caches hold: a reused block is read as a whole, masked positions too.

        Call it when the request has ended. One scrub serves all that ask while another runs.
        """
        self._asked += 1
        wanted = self._asked
        async with self._scrubbing:
            if self.scrubs < wanted:
                self.scrubs = self._asked
                await self._engine.collective_rpc("scrub_cache")


def is_fault(error: BaseException) -> bool:
    """Whether a request failed because its logits were not finite."""
    cause = error.__cause__ if isinstance(error, EngineGenerateError) else error
    return isinstance(cause, LogitsNotFinite)


def check_prompt(output: RequestOutput) -> None:
    """Raises `LogitsNotFinite` where a prompt token's log-probability is NaN: vLLM counts in sampled rows alone."""
    entries: Sequence[Any] = output.prompt_logprobs or ()
    if any(each.logprob != each.logprob for entry in entries if entry for each in entry.values()):
        raise LogitsNotFinite
