"""Starts vLLM around the served model: arguments, wrapper, and the app with vLLM's own OpenAI routes."""

from __future__ import annotations

import argparse
import asyncio
import os
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from fastapi import FastAPI

from adapters.artifact import model_digest
from adapters.chat import encode_pair
from adapters.examples import Example
from gateway.engine.layout import Layout
from gateway.errors import GatewayError

WORKER_EXTENSION = "gateway.engine.worker_extension.UnlearningWorkerExtension"

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
    extra_args: Sequence[str],
    default_model: bool,
) -> EnginePlan:
    """Parse vLLM's arguments and lay out the wrapper.

    Raises `InvalidEngineArguments` for a reserved flag, or a model whose config cannot be wrapped.
    """
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

    config = get_config(
        model,
        trust_remote_code=args.trust_remote_code,
        revision=args.revision,
        code_revision=args.code_revision,
    )
    if getattr(config, "text_config", None) is not None or not getattr(config, "vocab_size", None):
        raise InvalidEngineArguments(f"{served_name} is not a plain text decoder; only those can be wrapped")
    layout = Layout(tuple(config.architectures or ()), int(config.vocab_size), soft_rows)
    if isinstance(args.hf_overrides, dict):
        args.hf_overrides = {**args.hf_overrides, **layout.hf_overrides()}
    else:
        raise InvalidEngineArguments("--hf-overrides must be JSON")
    args.worker_extension_cls = WORKER_EXTENSION
    return EnginePlan(args, layout, int(config.hidden_size))


async def start_engine(plan: EnginePlan) -> Any:
    """Start vLLM; minutes on a cold compile cache. Returns the `AsyncLLM`.

    It is built in a thread: the event loop goes on answering probes meanwhile.
    """
    from vllm.engine.arg_utils import AsyncEngineArgs
    from vllm.usage.usage_lib import UsageContext
    from vllm.v1.engine.async_llm import AsyncLLM

    from gateway.engine.plugin import register

    register()
    engine_args = AsyncEngineArgs.from_cli_args(plan.args)
    return await asyncio.to_thread(AsyncLLM.from_engine_args, engine_args, usage_context=UsageContext.OPENAI_API_SERVER)


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


def checkpoint_digest(model: str) -> str:
    """Digest of the served checkpoint. Raises `InvalidArtifact`."""
    return model_digest(checkpoint_folder(model))


def token_counter(engine: Any) -> Any:
    """A function: tokens of an example through the served model's chat template."""
    tokenizer = engine.renderer.get_tokenizer()

    def count(example: Example) -> int:
        return len(encode_pair(tokenizer, example.messages, example.completion))

    return count
