"""The self-check's way to the model: `UnlearningEngine.generate`, as every route goes."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Sequence
from typing import Any

from vllm.exceptions import GracefulHTTPError
from vllm.outputs import RequestOutput
from vllm.sampling_params import RequestOutputKind, SamplingParams, StructuredOutputsParams

from gateway.engine.door import UnlearningEngine
from gateway.engine.grammars import FIRST_SCHEMA
from gateway.engine.residency.holdings import Holdings
from gateway.errors import AdapterUnavailable
from gateway.policy import context as policy_context
from gateway.policy.plan import PlanBuilder, PlanMode
from gateway.selfcheck.asker import Adapters, Generated

_SEED = 1
_SAMPLING: tuple[dict[str, Any], ...] = (
    {"temperature": 0.0, "logprobs": 5},
    {"temperature": 1.0, "seed": _SEED},
    {"temperature": 1.0, "top_p": 0.9, "top_k": 20, "min_p": 0.01},
    {"temperature": 0.0, "presence_penalty": 0.5, "frequency_penalty": 0.5, "repetition_penalty": 1.1},
    {"temperature": 0.0, "logit_bias": {5: 1.0}, "min_tokens": 1},
    {"temperature": 0.0, "bad_words": ["never"]},
    {"temperature": 0.0, "structured_outputs": {"json": FIRST_SCHEMA}},
)


class EngineAsker:
    """See `gateway.selfcheck.asker.Asker`."""

    def __init__(self, engine: UnlearningEngine, holdings: Holdings, plans: PlanBuilder) -> None:
        self._engine = engine
        self._holdings = holdings
        self._plans = plans
        self._numbers = itertools.count()

    async def score(self, adapters: Adapters, ids: Sequence[int]) -> list[float]:
        output = await self._ask(adapters, ids, SamplingParams(temperature=0.0, max_tokens=1, prompt_logprobs=0))
        entries = output.prompt_logprobs or []
        return [entry[token].logprob for entry, token in zip(entries[1:], ids[1:], strict=True) if entry is not None]

    async def generate(self, adapters: Adapters, ids: Sequence[int], count: int) -> Generated:
        params = SamplingParams(temperature=0.0, max_tokens=count, min_tokens=count, ignore_eos=True, logprobs=0)
        (part,) = (await self._ask(adapters, ids, params)).outputs
        tokens = tuple(part.token_ids)
        return Generated(tokens, tuple(entry[t].logprob for entry, t in zip(part.logprobs or (), tokens, strict=True)))

    async def choices(self, adapters: Adapters, ids: Sequence[int], candidates: Sequence[int]) -> list[float]:
        params = SamplingParams(temperature=0.0, max_tokens=1, logprob_token_ids=list(candidates))
        (part,) = (await self._ask(adapters, ids, params)).outputs
        assert part.logprobs is not None
        return [part.logprobs[0][token].logprob for token in candidates]

    async def sample(self, adapters: Adapters, ids: Sequence[int]) -> None:
        for options in _SAMPLING:
            if structure := options.get("structured_outputs"):
                options = {**options, "structured_outputs": StructuredOutputsParams(**structure)}
            await self._ask(adapters, ids, SamplingParams(max_tokens=2, **options))

    async def _ask(self, adapters: Adapters, ids: Sequence[int], params: SamplingParams) -> RequestOutput:
        # A task of its own, so that the plan is bound for this question alone.
        return await asyncio.create_task(self._last(adapters, ids, params))

    async def _last(self, adapters: Adapters, ids: Sequence[int], params: SamplingParams) -> RequestOutput:
        plan = self._plans.build(PlanMode.CANDIDATE, adapters)
        params.output_kind = RequestOutputKind.FINAL_ONLY
        prompt = {"type": "token", "prompt_token_ids": list(ids), "cache_salt": f"selfcheck-{next(self._numbers)}"}
        last: RequestOutput | None = None
        async with self._holdings.hold(plan.adapters) as holding:
            policy_context.bind(policy_context.PolicyContext(plan, holding))
            try:
                async for output in self._engine.generate(prompt, params, f"selfcheck-{next(self._numbers)}"):
                    last = output
            except GracefulHTTPError as error:
                raise AdapterUnavailable(str(error)) from error
        assert last is not None
        return last
