"""The one door to the model: vLLM's `EngineClient`, with the plan of the request applied.

Every route of vLLM's, present or future, reaches the model through `generate`. It takes the policy context that the
middleware bound, holds the plan's adapters, puts their virtual tokens in front of the prompt, salts the cache, and
takes the virtual tokens out of everything that goes back.
"""

from __future__ import annotations

import copy
import time
from collections.abc import AsyncGenerator, Callable, Sequence
from http import HTTPStatus
from typing import Any

from vllm.engine.protocol import EngineClient
from vllm.exceptions import GracefulHTTPError
from vllm.lora.request import LoRARequest
from vllm.outputs import RequestOutput
from vllm.sampling_params import SamplingParams
from vllm.v1.engine.async_llm import AsyncLLM

from gateway.engine.layout import Layout
from gateway.engine.residency.holdings import Holdings
from gateway.engine.residency.lora_folder import changes_target
from gateway.engine.residency.loras import Offset
from gateway.engine.trim import shift_sampling_params, stopping_at, trim_output
from gateway.errors import AdapterUnavailable, ForbiddenField, ForbiddenToken, GatewayError, InvalidRequest
from gateway.policy import context as policy_context
from gateway.policy.plan import PlanBuilder
from gateway.service.metrics import GatewayMetrics


def refusal(error: GatewayError) -> GracefulHTTPError:
    """The error in the form that vLLM's routes turn into a status, also in the middle of a stream."""
    return GracefulHTTPError(error.message, HTTPStatus(error.status))


def _delegate(name: str) -> Callable[..., Any]:
    def call(self: UnlearningEngine, *args: Any, **kwargs: Any) -> Any:
        return getattr(self.engine, name)(*args, **kwargs)

    call.__name__ = name
    return call


class UnlearningEngine(EngineClient):
    """Wraps `AsyncLLM`. What is not listed here cannot be reached from a route.

    Args:
        engine: the running vLLM engine around `UnlearningForCausalLM`.
        layout: vocabulary and table sizes.
        holdings: holds adapters in the engine.
        salts: mixes a client's own cache salt into the plan's.
        reserved_tokens: context kept free for virtual tokens; routes are told a context shorter by this much, so that
            what a caller may send does not depend on what is active.
    """

    def __init__(
        self,
        engine: AsyncLLM,
        layout: Layout,
        holdings: Holdings,
        salts: PlanBuilder,
        metrics: GatewayMetrics,
        *,
        reserved_tokens: int,
    ) -> None:
        self.engine = engine
        self._holdings = holdings
        self._layout = layout
        self._salts = salts
        self._metrics = metrics
        self.renderer = engine.renderer
        self.input_processor = engine.input_processor
        self.model_config = copy.copy(engine.model_config)
        self.model_config.max_model_len = engine.model_config.max_model_len - reserved_tokens
        self.vllm_config = copy.copy(engine.vllm_config)
        self.vllm_config.model_config = self.model_config

    def generate(
        self,
        prompt: Any,
        sampling_params: SamplingParams,
        request_id: str,
        **kwargs: Any,
    ) -> AsyncGenerator[RequestOutput, None]:
        """Generate with the adapters of the request's plan.

        The context is read here, when the route calls, and not at the first iteration, which may happen in
        another task. Raises vLLM's `GracefulHTTPError` for everything that is refused.
        """
        started = time.perf_counter()
        try:
            context = policy_context.require()
            self._check(prompt, sampling_params, kwargs.get("lora_request"))
        except GatewayError as error:
            self._metrics.refusals.labels(error.code).inc()
            raise refusal(error) from error
        return self._generate(context, started, prompt, sampling_params, request_id, kwargs)

    async def _generate(
        self,
        context: policy_context.PolicyContext,
        started: float,
        prompt: Any,
        sampling_params: SamplingParams,
        request_id: str,
        kwargs: dict[str, Any],
    ) -> AsyncGenerator[RequestOutput, None]:
        plan = context.plan
        try:
            holding = await self._holdings.acquire(plan.adapters)
        except GatewayError as error:
            self._metrics.refusals.labels(error.code).inc()
            raise refusal(error) from error
        try:
            virtual = self._layout.virtual_ids(holding.lease.rows)
            salt = plan.cache_salt
            if own := prompt.get("cache_salt"):
                salt = self._salts.salt(f"{salt}|{own}")
            prompt = {
                **prompt,
                "prompt_token_ids": virtual + list(prompt["prompt_token_ids"]),
                "cache_salt": salt,
            }
            params = shift_sampling_params(sampling_params, len(virtual))
            context.overhead_s += time.perf_counter() - started
            self._metrics.overhead.observe(context.overhead_s)
            if holding.offset is not None:
                params = stopping_at(params, self._layout.fault_id)
            kwargs["lora_request"] = None if holding.offset is None else lora_request(holding.offset)
            outputs = self.engine.generate(prompt, params, request_id, **kwargs)
            try:
                async for output in outputs:
                    if holding.offset is not None and self._is_fault(output):
                        raise refusal(await self._holdings.take_out(holding.offset))
                    yield trim_output(output, len(virtual))
            finally:
                await outputs.aclose()
        finally:
            await self._holdings.release(holding)

    def _is_fault(self, output: RequestOutput) -> bool:
        """Whether a row of the request was silenced: its last token is the fault id, at which it stops."""
        fault = self._layout.fault_id
        return any(bool(part.token_ids) and part.token_ids[-1] == fault for part in output.outputs)

    def _check(self, prompt: Any, params: SamplingParams, lora_request: Any) -> None:
        """Refuse what could reach the model around the plan, or name a virtual token."""
        if not isinstance(prompt, dict) or prompt.get("type") != "token":
            raise ForbiddenField("only token prompts are served; embeddings, audio and streamed inputs are not")
        if lora_request is not None:
            raise ForbiddenField("clients cannot choose adapters", param="model")
        if params.extra_args:
            raise ForbiddenField("vllm_xargs and kv_transfer_params are not served", param="vllm_xargs")
        self._check_ids("prompt", prompt["prompt_token_ids"])
        self._check_ids("logit_bias", params.logit_bias or ())
        self._check_ids("allowed_token_ids", params.allowed_token_ids or ())
        self._check_ids("stop_token_ids", params.stop_token_ids or ())
        self._check_ids("logprob_token_ids", getattr(params, "logprob_token_ids", None) or ())

    def _check_ids(self, field: str, ids: Any) -> None:
        if ids and not (min(ids) >= 0 and max(ids) < self._layout.vocab_size):
            raise ForbiddenToken(
                f"{field} holds a token id outside this model's vocabulary of {self._layout.vocab_size}",
                param=field,
            )

    def encode(self, *_args: Any, **_kwargs: Any) -> Any:
        """Pooling is not served: it would read hidden states, which no plan covers."""
        raise refusal(InvalidRequest("pooling is not served"))

    async def collective_rpc(self, *_args: Any, **_kwargs: Any) -> Any:
        """Closed: nothing behind a route may reach into the workers."""
        raise refusal(InvalidRequest("collective_rpc is not served"))

    async def add_lora(self, *_args: Any, **_kwargs: Any) -> bool:
        """Closed: adapters come through unlearning requests."""
        raise refusal(InvalidRequest("loading LoRAs is not served"))

    async def is_tracing_enabled(self) -> bool:
        return await self.engine.is_tracing_enabled()

    @property
    def is_running(self) -> bool:
        return self.engine.is_running

    @property
    def is_stopped(self) -> bool:
        return self.engine.is_stopped

    @property
    def errored(self) -> bool:
        return self.engine.errored

    @property
    def dead_error(self) -> BaseException:
        return self.engine.dead_error

    def get_num_unfinished_requests(self) -> int:
        """Sequences the engine is working on, for draining."""
        return int(self.engine.get_num_unfinished_requests())

    abort = _delegate("abort")
    check_admission = _delegate("check_admission")
    check_health = _delegate("check_health")
    do_log_stats = _delegate("do_log_stats")
    get_supported_tasks = _delegate("get_supported_tasks")
    is_paused = _delegate("is_paused")
    is_sleeping = _delegate("is_sleeping")
    notify_kv_transfer_request_rejected = _delegate("notify_kv_transfer_request_rejected")
    pause_generation = _delegate("pause_generation")
    release_kv_cache_memory = _delegate("release_kv_cache_memory")
    reset_encoder_cache = _delegate("reset_encoder_cache")
    reset_mm_cache = _delegate("reset_mm_cache")
    reset_prefix_cache = _delegate("reset_prefix_cache")
    resume_generation = _delegate("resume_generation")
    shutdown = _delegate("shutdown")
    sleep = _delegate("sleep")
    start_profile = _delegate("start_profile")
    stop_profile = _delegate("stop_profile")
    wake_up = _delegate("wake_up")


def lora_request(offset: Offset) -> LoRARequest:
    """vLLM's name for a loaded offset; its cache blocks are keyed by the digest."""
    return LoRARequest(lora_name=offset.name, lora_int_id=offset.id, lora_path=str(offset.folder))


class EngineOffsets:
    """Loads LoRAs in every worker of the engine; see `offsets.OffsetEngine`."""

    def __init__(self, engine: AsyncLLM) -> None:
        self._engine = engine
        self._not_plain: set[int] = set()
        self._without_offset: set[int] = set()

    async def add(self, offset: Offset, modules: Sequence[str], *, plain_sum: bool) -> None:
        """Load a LoRA folder. Raises `AdapterUnavailable` with the engine's reason."""
        for unknown in await self._engine.collective_rpc("unknown_offset_modules", args=(list(modules),)):
            if unknown:
                part = "target takes no LoRA on" if changes_target(unknown[0]) else "pair has not"
                raise AdapterUnavailable(f"the adapter changes {len(unknown)} modules that the {part}: {unknown[0]}")
        if not plain_sum:
            self._not_plain.add(offset.id)
            await self._tell()
        if all(changes_target(module) for module in modules):
            self._without_offset.add(offset.id)
            await self._tell_without_offset()
        try:
            loaded = await self._engine.add_lora(lora_request(offset))
        except (ValueError, RuntimeError) as error:
            raise AdapterUnavailable(f"the engine refused the adapter: {error}") from error
        if not loaded:
            raise AdapterUnavailable("the engine refused the adapter")

    async def remove(self, offset: Offset) -> None:
        """Forget it."""
        await self._engine.remove_lora(offset.id)
        if offset.id in self._not_plain:
            self._not_plain.discard(offset.id)
            await self._tell()
        if offset.id in self._without_offset:
            self._without_offset.discard(offset.id)
            await self._tell_without_offset()

    async def scrub(self) -> None:
        """Make finite what the caches hold: a reused block is read as a whole, masked positions too."""
        await self._engine.collective_rpc("scrub_cache")

    async def _tell(self) -> None:
        await self._engine.collective_rpc("set_needs_both_logits", args=(bool(self._not_plain),))

    async def _tell_without_offset(self) -> None:
        await self._engine.collective_rpc("set_without_offset", args=(sorted(self._without_offset),))


class EngineRowWriter:
    """Writes soft rows in every worker of the engine."""

    def __init__(self, engine: AsyncLLM) -> None:
        self._engine = engine

    async def install(self, rows: Sequence[int], artifact: bytes) -> None:
        """See `residency.RowWriter`."""
        reasons = await self._engine.collective_rpc("install_soft_prompt", args=(list(rows), artifact))
        for reason in reasons:
            if reason is not None:
                raise AdapterUnavailable(f"the engine refused the adapter: {reason}")

    async def evict(self, rows: Sequence[int]) -> None:
        """See `residency.RowWriter`."""
        await self._engine.collective_rpc("evict_soft_prompt", args=(list(rows),))
