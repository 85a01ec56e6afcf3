"""Holds every answer to what the worker says it applied: what does not match the plan ends the request.

The gateway's own books say which adapter is where. A worker may know better: rows that were written over, a LoRA that
vLLM has loaded again from a folder that is no longer what it was. So no output counts before its stamp is compared.
"""

from __future__ import annotations

import logging
import time
from collections.abc import AsyncGenerator, Sequence
from contextvars import ContextVar
from typing import Any
from weakref import WeakKeyDictionary

from vllm.outputs import RequestOutput
from vllm.sampling_params import SamplingParams
from vllm.v1.engine import EngineCoreOutput
from vllm.v1.engine.async_llm import AsyncLLM
from vllm.v1.engine.exceptions import EngineGenerateError

from gateway.engine.residency.holdings import Holdings
from gateway.engine.statement import Statement, unpack
from gateway.errors import AdaptersNotApplied, AdapterUnavailable
from gateway.policy.plan import AdapterRef
from gateway.service.metrics import GatewayMetrics

logger = logging.getLogger(__name__)

#: Between two repairs of the same adapters.
REPAIR_S = 5.0
#: What the generation that is being started needs; vLLM gives a request its number somewhere below.
_wanted: ContextVar[Statement | None] = ContextVar("unlearning_wanted_statement", default=None)


class NotAsPlanned(Exception):
    """A worker's output does not carry the stamp of the plan."""

    def __init__(self, request: str, wanted: Statement | None) -> None:
        super().__init__(request)
        self.request = request
        self.wanted = wanted


class AppliedCheck:
    """Compares the stamp of each output before vLLM makes an answer of it.

    Make it after everything else that looks at the outputs: it takes the stamps out of them. Adapters that were not
    applied are brought in once more, so that the next request may have them.

    Attributes:
        mismatches: how many outputs were not as planned. What was cached before the last of them may have been computed
            without its adapters, under the salt of those that have them.
    """

    def __init__(self, engine: AsyncLLM, holdings: Holdings, metrics: GatewayMetrics) -> None:
        processor = engine.output_processor
        self._engine = engine
        self._holdings = holdings
        self._repaired: dict[Statement, float] = {}
        self.mismatches = 0
        self._metrics = metrics
        self._states = processor.request_states
        self._wanted: WeakKeyDictionary[Any, Statement] = WeakKeyDictionary()
        self._add, self._process = processor.add_request, processor.process_outputs
        processor.add_request, processor.process_outputs = self._added, self._checked

    async def generate(
        self, adapters: Sequence[AdapterRef], prompt: Any, params: SamplingParams, request_id: str, **kwargs: Any
    ) -> AsyncGenerator[RequestOutput, None]:
        """`AsyncLLM.generate`, of which nothing comes back that these adapters, in plan order, were not applied to.

        Raises `AdaptersNotApplied` for the first output that they were not.
        """
        # Read when the request is added, which is before the first output and in the same task.
        _wanted.set(Statement.expected(adapters))
        outputs = self._engine.generate(prompt, params, request_id, **kwargs)
        try:
            async for output in outputs:
                yield output
        except EngineGenerateError as error:
            if isinstance(error.__cause__, NotAsPlanned):
                raise await self._refusal(error.__cause__, adapters) from error
            raise
        finally:
            await outputs.aclose()

    def _added(self, request: Any, *args: Any, **kwargs: Any) -> None:
        self._add(request, *args, **kwargs)
        wanted = _wanted.get()
        if wanted is not None:
            self._wanted[self._states[request.request_id]] = wanted

    def _checked(self, outputs: list[EngineCoreOutput], *args: Any, **kwargs: Any) -> Any:
        return self._process([output for output in outputs if self._as_planned(output)], *args, **kwargs)

    def _as_planned(self, output: EngineCoreOutput) -> bool:
        stamp, has_nan = unpack(output.num_nans_in_logits)
        output.num_nans_in_logits = int(has_nan)
        state = self._states.get(output.request_id)
        if state is None or not (output.new_token_ids or output.new_prompt_logprobs_tensors is not None):
            return True  # nobody waits for it, or it says nothing
        wanted = self._wanted.get(state)
        if wanted is not None and stamp == wanted.stamp:
            return True
        self.mismatches += 1
        if state.queue is not None:
            state.queue.put(NotAsPlanned(output.request_id, wanted))
        return False

    async def _refusal(self, found: NotAsPlanned, adapters: Sequence[AdapterRef]) -> AdaptersNotApplied:
        said = await self._engine.collective_rpc("applied_to", args=([found.request],))
        self._metrics.not_applied.inc()
        logger.critical(
            "a worker did not apply the plan request=%s wanted=%s workers=%s",
            found.request,
            found.wanted,
            [each.get(found.request, "unknown") for each in said],
        )
        await self._repair(adapters)
        return AdaptersNotApplied("the engine did not apply the adapters that this request needs; it is not answered")

    async def _repair(self, adapters: Sequence[AdapterRef]) -> None:
        now = time.monotonic()
        self._repaired = {each: at for each, at in self._repaired.items() if now - at < REPAIR_S}
        statement = Statement.expected(adapters)
        if statement in self._repaired:
            return
        self._repaired[statement] = now
        try:
            await self._holdings.repair(adapters)
        except AdapterUnavailable as error:
            logger.error("adapters cannot be brought in again wanted=%s reason=%s", statement, error.message)
