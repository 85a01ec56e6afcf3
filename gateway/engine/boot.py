"""Starts vLLM as planned, and the app with vLLM's own OpenAI routes."""

from __future__ import annotations

import asyncio
import json
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

from fastapi import FastAPI

from adapters.artifact.spec import PairSpec
from adapters.examples import Example
from adapters.models.tokens import encode_pair
from gateway.checkpoints.digests import CheckpointDigests
from gateway.engine.layout import Layout
from gateway.engine.planning import EnginePlan, InvalidEngineArguments, is_cpu_build


def set_environment(local_model: bool) -> None:
    """vLLM reads these at import: set them first, and leave alone what the operator may set."""
    defaults = {
        "VLLM_WORKER_MULTIPROC_METHOD": "spawn",
        "VLLM_NO_USAGE_STATS": "1",  # a service that forgets does not phone home
        "VLLM_CPU_KVCACHE_SPACE": "1",
    }
    if local_model:
        defaults["HF_HUB_OFFLINE"] = "1"
    if is_cpu_build():
        # On CPU vLLM 0.32 writes its ahead-of-time artifact but cannot read it back, and compiles anew at every
        # start; without it, inductor's own cache is used (engine start 72 s against 16 s).
        defaults["VLLM_USE_AOT_COMPILE"] = "0"
    for name, value in defaults.items():
        os.environ.setdefault(name, value)
    # `faults` lives by vLLM's count of NaN; an engine that died of one would take every other request with it.
    os.environ.update({"VLLM_COMPUTE_NANS_IN_LOGITS": "1", "VLLM_RAISE_ON_LOGIT_NANS": "0"})
    # vLLM would log every answer, those of evaluations too, which say what is to be forgotten.
    os.environ["VLLM_DEBUG_LOG_API_SERVER_RESPONSE"] = "false"
    # A row of NaN is sampled before its request is ended. FlashInfer defines no result for one.
    os.environ["VLLM_USE_FLASHINFER_SAMPLER"] = "0"


async def start_engine(plan: EnginePlan) -> Any:
    """Start vLLM; minutes on a cold compile cache. Returns the `AsyncLLM`. Raises `InvalidEngineArguments` where its
    workers cannot say what they apply.

    It is built in a thread: the event loop goes on answering probes meanwhile.
    """
    from vllm.engine.arg_utils import AsyncEngineArgs
    from vllm.usage.usage_lib import UsageContext
    from vllm.v1.engine.async_llm import AsyncLLM
    from vllm.v1.executor import Executor

    from gateway.engine.inside.plugin import register

    register()
    engine_args = AsyncEngineArgs.from_cli_args(plan.args)

    def build() -> AsyncLLM:
        config = engine_args.create_engine_config(UsageContext.OPENAI_API_SERVER)
        if keeps_target_compiled(plan.layout):
            keep_target_compiled(config)
        if on_one_host(config.parallel_config):
            keep_to_loopback()
        return AsyncLLM(
            vllm_config=config,
            executor_class=Executor.get_class(config),
            log_requests=engine_args.enable_log_requests,
            log_stats=not engine_args.disable_log_stats,
            usage_context=UsageContext.OPENAI_API_SERVER,
        )

    engine = await asyncio.to_thread(build)
    if is_cpu_build():
        await engine.collective_rpc("keep_seeds")
    try:
        await record_applied(engine)
    except InvalidEngineArguments:
        engine.shutdown()
        raise
    return engine


async def record_applied(engine: Any) -> None:
    """Have every worker say with each output which adapters it applied. Raises `InvalidEngineArguments` where one
    cannot: no answer could be held to its plan."""
    for reason in await engine.collective_rpc("record_applied"):
        if reason is not None:
            raise InvalidEngineArguments(f"a worker cannot say which adapters it applied: {reason}")


def keeps_target_compiled(layout: Layout) -> bool:
    """Whether LoRAs change the pair alone, and the model builds its target compiled and its pair not."""
    return layout.pair is not None and not layout.target_lora


def keep_target_compiled(config: Any) -> None:
    """Undo what vLLM's CPU platform does for LoRA: it turns compilation off for the whole model."""
    from vllm.config import CompilationMode
    from vllm.platforms import current_platform

    if current_platform.is_cpu() and not config.model_config.enforce_eager:
        config.compilation_config.mode = CompilationMode.DYNAMO_TRACE_ONCE


def on_one_host(parallel: Any) -> bool:
    """Whether vLLM's processes, as its `ParallelConfig` spreads them, are all on this host."""
    return (
        parallel.nnodes == 1
        and parallel.data_parallel_size == parallel.data_parallel_size_local
        and parallel.distributed_executor_backend in (None, "uni", "mp")
    )


def keep_to_loopback() -> None:
    """Have the engine's processes talk over loopback, unless the operator has named an interface.

    Gloo, which torch makes a group of even for a single process, listens on the address that the host's name stands
    for: in a container that is one which others reach.
    """
    os.environ.setdefault("GLOO_SOCKET_IFNAME", "lo")


async def build_vllm_app(plan: EnginePlan, engine: Any) -> FastAPI:
    """vLLM's own app and routes over `engine` (an `UnlearningEngine`)."""
    from vllm.entrypoints.launchers.api_server.app_state import init_app_state
    from vllm.entrypoints.launchers.app import build_app

    from gateway.engine.parsing import taking_refusals

    tasks = await engine.get_supported_tasks()
    app: FastAPI = build_app(plan.args, tasks, engine.model_config)
    await init_app_state(engine, app.state, plan.args, tasks)
    for serving, attribute in (
        (app.state.openai_serving_chat, "parser_cls"),
        (app.state.anthropic_serving_messages, "parser_cls"),
        (app.state.openai_serving_responses, "parser"),
    ):
        if (parser := getattr(serving, attribute)) is not None:
            setattr(serving, attribute, taking_refusals(parser))
    return app


def checkpoint_folder(model: str) -> Path:
    """The folder of a local path, or of a hub id that the engine has just downloaded."""
    path = Path(model)
    if path.is_dir():
        return path
    from huggingface_hub import snapshot_download

    return Path(snapshot_download(model, local_files_only=True))


def checkpoint_digest(model: str, digests: CheckpointDigests) -> str:
    """Digest of the served checkpoint. Raises `InvalidArtifact`."""
    return digests.of(checkpoint_folder(model))


def named_pair(pair: PairSpec | None, digests: CheckpointDigests) -> PairSpec | None:
    """The pair as adapters name it: a separate model by the digest of its weights. Raises `InvalidArtifact`."""
    if pair is None or pair.layers:
        return pair
    return replace(pair, model_digest=checkpoint_digest(pair.model, digests))


def chat_template(plan: EnginePlan, engine: Any) -> str | None:
    """The text that conversations are put into: the one named at the start, else the tokenizer's; None without any."""
    from vllm.renderers.chat_utils import load_chat_template

    template = load_chat_template(plan.args.chat_template) or engine.renderer.get_tokenizer().chat_template
    return template if template is None or isinstance(template, str) else json.dumps(template, sort_keys=True)


def token_counter(engine: Any) -> Any:
    """A function: tokens of an example through the served model's chat template."""
    tokenizer = engine.renderer.get_tokenizer()

    def count(example: Example) -> int:
        return len(encode_pair(tokenizer, example.messages, example.completion))

    return count
