"""Starts vLLM around the served model: arguments, wrapper, and the app with vLLM's own OpenAI routes."""

from __future__ import annotations

import argparse
import asyncio
import os
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from fastapi import FastAPI

from adapters.artifact.spec import PairSpec, default_layers
from adapters.examples import Example
from adapters.models.hardware import compute_dtype
from adapters.models.tokens import encode_pair
from gateway.checkpoints.digests import CheckpointDigests
from gateway.engine import parallelism
from gateway.engine.layout import Layout, PairLayout
from gateway.errors import GatewayError

#: LoRAs vLLM keeps in host memory; beyond them it reads their folders again.
_HOST_LORAS = 32
WORKER_EXTENSION = "gateway.engine.inside.extension.UnlearningWorkerExtension"

#: vLLM flags that the gateway sets itself, or that would open a way around it.
RESERVED_FLAGS = {
    "--model": "pass it to `unlearn serve` before other flags, or set UNLEARN_MODEL",
    "--host": "use --host of `unlearn serve`",
    "--port": "use --port of `unlearn serve`",
    "--api-key": "set UNLEARN_API_KEYS",
    "--worker-extension-cls": "the gateway's own is used",
    "--enable-prompt-embeds": "embeddings would bypass the adapters",
    "--lora-modules": "adapters come from unlearning requests",
    "--enable-lora": "adapters come from unlearning requests",
    "--max-loras": "use --offset-slots of `unlearn serve`",
    "--max-lora-rank": "use --offset-rank of `unlearn serve`",
    "--max-cpu-loras": "the gateway's own is used",
    "--lora-dtype": "the gateway's own is used",
    "--lora-target-modules": "the gateway's own are used",
    "--middleware": "the gateway's own is used",
    "--root-path": "not supported",
    "--uds": "not supported",
    "--speculative-config": "a draft model does not see the adapters",
    "--ssl-keyfile": "terminate TLS in front of the gateway",
    "--ssl-certfile": "terminate TLS in front of the gateway",
}


class InvalidEngineArguments(GatewayError):
    """Flags or a model that the gateway cannot serve with; the message says what to do."""

    code = "invalid_engine_arguments"


@dataclass(frozen=True, slots=True)
class EnginePlan:
    """What the engine will be started with."""

    args: argparse.Namespace
    layout: Layout
    hidden_size: int


@dataclass(frozen=True, slots=True)
class PairOptions:
    """What the operator asked for; see `Settings`. layers None: a quarter of the target's depth."""

    layers: int | None
    model: str | None
    own_reference: bool
    slots: int
    rank: int


def offered_pair(pair: PairOptions, methods: Collection[str]) -> PairOptions:
    """The pair asked for, as far as the methods on offer have one.

    Raises `InvalidEngineArguments` when one is asked for and they have none.
    """
    if "delta" in methods:
        return pair
    if pair.layers or pair.model is not None:
        raise InvalidEngineArguments("a pair is asked for, and --methods does not offer delta")
    return replace(pair, layers=0)


def plan_pair(config: Any, served_name: str, options: PairOptions, *, trust_remote_code: bool) -> PairLayout | None:
    """The pair for a target of this config. Raises `InvalidEngineArguments` for one that does not fit it."""
    depth = int(getattr(config, "num_hidden_layers", 0))
    if options.model is not None:
        if options.layers:
            raise InvalidEngineArguments("the pair is made of layers or of a model: give offset_layers or offset_model")
        return _plan_separate_pair(config, served_name, options, trust_remote_code=trust_remote_code)
    layers = default_layers(depth) if options.layers is None else options.layers
    capped = bool(getattr(config, "final_logit_softcapping", None))
    if options.layers is None and (capped or not (options.own_reference or _gives_inner_states(config))):
        return None  # nothing was asked for; requests for an offset are told that there is no pair
    if not layers:
        return None
    if capped:
        raise InvalidEngineArguments(f"{served_name} caps its logits, so no offset can be added; use offset_layers 0")
    if layers > depth:
        raise InvalidEngineArguments(f"offset_layers is {layers}, and {served_name} has {depth} layers")
    return PairLayout(layers, own_reference=options.own_reference)


def _gives_inner_states(config: Any) -> bool:
    """Whether vLLM's model of this config gives out the state of an inner layer, which a shared reference is."""
    from vllm import ModelRegistry
    from vllm.model_executor.models.interfaces import supports_eagle3

    architectures = config.architectures or ("",)
    known = ModelRegistry.models.get(architectures[0])
    return known is not None and supports_eagle3(known.load_model_cls())


def _plan_separate_pair(config: Any, served_name: str, options: PairOptions, *, trust_remote_code: bool) -> PairLayout:
    from vllm.transformers_utils.config import get_config

    assert options.model is not None
    small = get_config(options.model, trust_remote_code=trust_remote_code)
    theirs, ours = getattr(small, "vocab_size", None), config.vocab_size
    if theirs != ours:
        raise InvalidEngineArguments(
            f"offset_model has a vocabulary of {theirs} tokens, {served_name} one of {ours}; the pair must share it"
        )
    if getattr(small, "final_logit_softcapping", None) or getattr(config, "final_logit_softcapping", None):
        raise InvalidEngineArguments("a model that caps its logits can be no part of a pair")
    reach = int(getattr(small, "max_position_embeddings", 0))
    if reach < int(getattr(config, "max_position_embeddings", 0)):
        raise InvalidEngineArguments(
            f"offset_model knows {reach} positions, {served_name} {config.max_position_embeddings}; "
            "take a pair that reaches as far"
        )
    return PairLayout(0, options.model, tuple(small.architectures or ()), options.own_reference)


def set_environment(local_model: bool) -> None:
    """vLLM reads these at import: set them first, and leave alone what the operator has set."""
    defaults = {
        "VLLM_WORKER_MULTIPROC_METHOD": "spawn",
        "VLLM_NO_USAGE_STATS": "1",  # a service that forgets does not phone home
        "VLLM_CPU_KVCACHE_SPACE": "1",
    }
    if local_model:
        defaults["HF_HUB_OFFLINE"] = "1"
    if _is_cpu_build():
        # On CPU vLLM 0.32 writes its ahead-of-time artifact but cannot read it back, and compiles anew at every
        # start; without it, inductor's own cache is used (engine start 72 s against 16 s).
        defaults["VLLM_USE_AOT_COMPILE"] = "0"
    for name, value in defaults.items():
        os.environ.setdefault(name, value)


def _is_cpu_build() -> bool:
    try:
        version("vllm-cpu")
    except PackageNotFoundError:
        return False
    return True


def plan_engine(
    model: str,
    *,
    served_name: str,
    soft_rows: int,
    prompt_budget: int,
    pair: PairOptions,
    extra_args: Sequence[str],
    default_model: bool,
    methods: Collection[str] = ("spul", "delta"),
    spare_rows: int = 0,
) -> EnginePlan:
    """Parse vLLM's arguments and lay out the wrapper for the methods on offer, as in `Settings`.

    spare_rows: of the soft table, beyond those that requests may use.

    Raises `InvalidEngineArguments` for a reserved flag, or a model whose config cannot be wrapped.
    """
    import torch
    from vllm.entrypoints.launchers.cli_args import make_arg_parser, validate_parsed_serve_args
    from vllm.transformers_utils.config import get_config
    from vllm.utils.argparse_utils import FlexibleArgumentParser

    for flag in extra_args:
        name = flag.partition("=")[0].replace("_", "-")
        if name in RESERVED_FLAGS:
            raise InvalidEngineArguments(f"{name} cannot be passed on to vLLM: {RESERVED_FLAGS[name]}")
    if soft_rows < prompt_budget:
        raise InvalidEngineArguments(f"soft_rows ({soft_rows}) is smaller than prompt_budget ({prompt_budget})")

    arguments = ["--model", model, "--served-model-name", served_name, "--enable-request-id-headers"]
    arguments += ["--enable-offline-docs"]
    if default_model:
        arguments += ["--enable-auto-tool-choice", "--tool-call-parser", "hermes"]
    parser = make_arg_parser(FlexibleArgumentParser(prog="unlearn serve"))
    args = parser.parse_args([*arguments, *extra_args])
    validate_parsed_serve_args(args)
    if reason := parallelism.refusal(args):
        raise InvalidEngineArguments(reason)

    config = get_config(
        model,
        trust_remote_code=args.trust_remote_code,
        revision=args.revision,
        code_revision=args.code_revision,
    )
    if getattr(config, "text_config", None) is not None or not getattr(config, "vocab_size", None):
        raise InvalidEngineArguments(f"{served_name} is not a plain text decoder; only those can be wrapped")
    target_lora = "lora" in methods
    pair = offered_pair(pair, methods)
    pair_layout = plan_pair(config, served_name, pair, trust_remote_code=args.trust_remote_code)
    rows = soft_rows + spare_rows
    layout = Layout(tuple(config.architectures or ()), int(config.vocab_size), rows, pair_layout, target_lora)
    if isinstance(args.hf_overrides, dict):
        args.hf_overrides = {**args.hf_overrides, **layout.hf_overrides()}
    else:
        raise InvalidEngineArguments("--hf-overrides must be JSON")
    args.worker_extension_cls = WORKER_EXTENSION
    if args.dtype == "auto" and _is_cpu_build() and isinstance(config.dtype, torch.dtype):
        args.dtype = str(compute_dtype(config.dtype)).removeprefix("torch.")
    if layout.takes_loras:
        args.enable_lora = True
        args.max_loras = pair.slots
        args.max_lora_rank = pair.rank
        args.max_cpu_loras = max(pair.slots, _HOST_LORAS)
    return EnginePlan(args, layout, int(config.hidden_size))


async def start_engine(plan: EnginePlan) -> Any:
    """Start vLLM; minutes on a cold compile cache. Returns the `AsyncLLM`.

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

    return await asyncio.to_thread(build)


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

    tasks = await engine.get_supported_tasks()
    app: FastAPI = build_app(plan.args, tasks, engine.model_config)
    await init_app_state(engine, app.state, plan.args, tasks)
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


def pair_spec(layout: Layout, digests: CheckpointDigests) -> PairSpec | None:
    """The pair as adapters name it; a separate model by the digest of its weights. Raises `InvalidArtifact`."""
    pair = layout.pair
    if pair is None:
        return None
    digest = "" if pair.layers else checkpoint_digest(pair.model, digests)
    return PairSpec(pair.layers, digest, pair.own_reference)


def token_counter(engine: Any) -> Any:
    """A function: tokens of an example through the served model's chat template."""
    tokenizer = engine.renderer.get_tokenizer()

    def count(example: Example) -> int:
        return len(encode_pair(tokenizer, example.messages, example.completion))

    return count
