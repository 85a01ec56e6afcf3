"""The one door to the model: vLLM's `EngineClient`, with the plan of the request applied.

Every route of vLLM's, present or future, reaches the model through `generate`. It takes the policy context that the
middleware bound, holds the plan's adapters, puts their virtual tokens in front of the prompt, salts the cache, and
takes the virtual tokens out of everything that goes back. What the model says is matched as well as what it is asked.
"""

from __future__ import annotations

import copy
import time
from collections.abc import AsyncGenerator, Callable, Sequence
from http import HTTPStatus
from typing import Any

from vllm.engine.protocol import EngineClient
from vllm.exceptions import GracefulHTTPError, VLLMValidationError
from vllm.outputs import RequestOutput
from vllm.sampling_params import RequestOutputKind, SamplingParams
from vllm.v1.engine.async_llm import AsyncLLM
from vllm.v1.engine.exceptions import EngineGenerateError

from gateway.engine.applied import AppliedCheck
from gateway.engine.faults import FaultWatch, LogitsNotFinite, check_prompt, is_fault
from gateway.engine.grammars import GrammarCheck
from gateway.engine.guard import filtered
from gateway.engine.layout import Layout
from gateway.engine.residency.holdings import Holding, Holdings
from gateway.engine.residency.rpc import lora_request
from gateway.engine.sampling import check_encodable, check_sampling
from gateway.engine.trim import shift_sampling_params, trim_output
from gateway.engine.watch import AnswerWatch
from gateway.errors import ForbiddenField, ForbiddenToken, GatewayError, InvalidRequest, LogitsFault
from gateway.policy import context as policy_context
from gateway.policy.plan import Plan, PlanBuilder
from gateway.service.metrics import GatewayMetrics


def refusal(error: GatewayError) -> GracefulHTTPError:
    """The error in the form that vLLM's routes turn into a status, also in the middle of a stream."""
    return GracefulHTTPError(error.message, HTTPStatus(error.status))


def _invalid(error: VLLMValidationError) -> InvalidRequest:
    """What vLLM has against a request, as ours."""
    message = error.args[0] if error.args else error
    return InvalidRequest(str(message), param=error.parameter)


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
        salts: mixes a client's own cache salt into the plan's.
        holdings: brings in the adapters of what a prompt is about.
        reserved_tokens: context kept free for virtual tokens; routes are told a context shorter by this much, so that
            what a caller may send does not depend on what is active.
        watches: whether answers are matched as well as prompts.
    """

    def __init__(
        self,
        engine: AsyncLLM,
        layout: Layout,
        salts: PlanBuilder,
        holdings: Holdings,
        metrics: GatewayMetrics,
        *,
        reserved_tokens: int,
        watches: bool = True,
    ) -> None:
        self.engine = engine
        self._watches = watches
        self._holdings = holdings
        self._faults = FaultWatch(engine)
        self._applied = AppliedCheck(engine, holdings, metrics)
        self._grammars = GrammarCheck(engine)
        self._layout = layout
        self._salts = salts
        self._metrics = metrics
        metrics.engine_requests.set_function(self.get_num_unfinished_requests)
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
        except GatewayError as error:
            self._metrics.refusals.labels(error.code).inc()
            raise refusal(error) from error
        try:
            self._check(prompt, sampling_params, request_id, kwargs)
        except GatewayError as error:
            raise self._refuse(context, error) from error
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
        def run(plan: Plan, said: Sequence[int], params: SamplingParams) -> AsyncGenerator[RequestOutput, None]:
            longer = {**prompt, "prompt_token_ids": [*prompt["prompt_token_ids"], *said]}
            if plan.guards:
                return self._filtered(context, longer, params, request_id, goes_on=bool(said))
            return self._run(context, plan, longer, params, request_id, kwargs)

        try:
            plan, text = context.plan, ""
            if context.matched is not None:
                text = self._decode(prompt["prompt_token_ids"])
                plan = await context.matched.plan(text)
                self._apply(context, plan, "prompt")
            context.usage.ask(len(prompt["prompt_token_ids"]))
            context.overhead_s += time.perf_counter() - started
            if context.matched is None or plan.guards or not self._watches:
                outputs = run(plan, (), sampling_params)
            else:
                watch = AnswerWatch(context.matched, self._decode, lambda newer: self._apply(context, newer, "answer"))
                outputs = watch.answer(text, plan, sampling_params, run)
            more = sampling_params.output_kind is RequestOutputKind.DELTA
            try:
                async for output in outputs:
                    context.answering = True
                    for part in output.outputs:
                        context.usage.answer((request_id, part.index), len(part.token_ids), more=more)
                    yield output
            finally:
                await outputs.aclose()
        except GatewayError as error:
            raise self._refuse(context, error) from error

    async def _run(
        self,
        context: policy_context.PolicyContext,
        plan: Plan,
        prompt: Any,
        sampling_params: SamplingParams,
        request_id: str,
        kwargs: dict[str, Any],
    ) -> AsyncGenerator[RequestOutput, None]:
        """What the engine says under a plan. Raises `GatewayError` for what is refused."""
        waiting = time.perf_counter()
        holding = await self._hold(context, plan)
        try:
            virtual = self._layout.virtual_ids(holding.rows)
            prompt = {
                **prompt,
                "prompt_token_ids": virtual + list(prompt["prompt_token_ids"]),
                "cache_salt": self._salt(plan, prompt.get("cache_salt")),
            }
            params = shift_sampling_params(sampling_params, len(virtual))
            kwargs = {**kwargs, "lora_request": None if holding.lora is None else lora_request(holding.lora)}
            context.overhead_s += time.perf_counter() - waiting
            if not context.answering:
                self._metrics.overhead.observe(context.overhead_s)
            outputs = self._applied.generate(plan.adapters, prompt, params, request_id, **kwargs)
            try:
                async for output in outputs:
                    check_prompt(output)
                    await self._check_grammar(params, output)
                    context.confirm(plan)
                    yield trim_output(output, len(virtual))
            except (EngineGenerateError, LogitsNotFinite) as error:
                if not is_fault(error):
                    raise
                await outputs.aclose()  # the request ends before its blocks are cleaned
                raise await self._fault(holding) from error
            except VLLMValidationError as error:
                raise _invalid(error) from error
            finally:
                await outputs.aclose()
        finally:
            await holding.release()

    async def _filtered(
        self,
        context: policy_context.PolicyContext,
        prompt: Any,
        params: SamplingParams,
        request_id: str,
        *,
        goes_on: bool,
    ) -> AsyncGenerator[RequestOutput, None]:
        """A refusal, of what a request guards."""
        context.refused = True
        self._metrics.guarded.inc()
        yield filtered(prompt, params, request_id, self.renderer.get_tokenizer(), goes_on=goes_on)

    def _decode(self, ids: Sequence[int]) -> str:
        return str(self.renderer.get_tokenizer().decode(ids, skip_special_tokens=True))

    def _apply(self, context: policy_context.PolicyContext, plan: Plan, where: str) -> None:
        """Note what applies to a prompt, and where it was seen to."""
        context.apply(plan)
        if plan.requests != context.plan.requests:
            self._metrics.matched.labels(where).inc()

    async def _hold(self, context: policy_context.PolicyContext, plan: Plan) -> Holding:
        """A reference of its own to the adapters: a generation may outlive the request that the middleware holds them
        for. Raises `AdapterUnavailable`."""
        if plan.adapters == context.plan.adapters:
            return context.holding.share()
        return await self._holdings.acquire(plan.adapters)

    def _refuse(self, context: policy_context.PolicyContext, error: GatewayError) -> GracefulHTTPError:
        """The error to raise. Before the first output the middleware answers with it, whatever the route would."""
        self._metrics.refusals.labels(error.code).inc()
        if not context.answering:
            context.refusal = error
        return refusal(error)

    def _salt(self, plan: Plan, own: str | None) -> str:
        """The plan's salt; with a client's own, and apart from what was cached before a cleaning, or before something
        else than a plan was applied."""
        parts = [plan.cache_salt, *([own] if own else [])]
        if self._faults.scrubs or self._applied.mismatches:
            parts.append(f"{self._faults.scrubs}+{self._applied.mismatches}")
        return self._salts.salt("|".join(parts)) if len(parts) > 1 else plan.cache_salt

    async def _fault(self, holding: Holding) -> GatewayError:
        await self._faults.scrub()
        if holding.lora is not None:
            return holding.take_out()
        return LogitsFault("the model's logits are not finite")

    async def _check_grammar(self, params: SamplingParams, output: RequestOutput) -> None:
        """Raises `InvalidRequest` where an answer failed because its grammar is refused."""
        wanted = params.structured_outputs
        if wanted is not None and any(part.finish_reason == "error" for part in output.outputs):
            reason = await self._grammars.refusal(wanted)
            raise InvalidRequest(f"the grammar is refused: {reason}", param="structured_outputs")

    def _check(self, prompt: Any, params: SamplingParams, request_id: str, kwargs: dict[str, Any]) -> None:
        """Refuse what could reach the model around the plan, name a virtual token, or not get to the engine whole."""
        if not isinstance(prompt, dict) or prompt.get("type") != "token":
            raise ForbiddenField("only token prompts are served; embeddings, audio and streamed inputs are not")
        if kwargs.get("lora_request") is not None:
            raise ForbiddenField("clients cannot choose adapters", param="model")
        if params.extra_args:
            raise ForbiddenField("vllm_xargs and kv_transfer_params are not served", param="vllm_xargs")
        self._check_ids("prompt", prompt["prompt_token_ids"])
        self._check_ids("logit_bias", params.logit_bias or ())
        self._check_ids("allowed_token_ids", params.allowed_token_ids or ())
        self._check_ids("stop_token_ids", params.stop_token_ids or ())
        self._check_ids("logprob_token_ids", getattr(params, "logprob_token_ids", None) or ())
        check_sampling(params)
        check_encodable({"request_id": request_id, "sampling_params": params, **kwargs, "prompt_text": None})

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
