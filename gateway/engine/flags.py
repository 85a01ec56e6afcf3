"""vLLM arguments that the gateway owns, and ways of running an engine that an adapter would not survive.

What counts is what vLLM's own parser made of the command line. So it is all the same whether a flag was abbreviated,
dotted, negated, or read from a file.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from types import MappingProxyType

_REPLICAS = "run several gateways that share REDIS_URL behind a balancer: each is a whole replica"
_PIPELINE = (
    "the pair needs the embeddings and the target's last state on one worker; use --tensor-parallel-size, "
    "over several hosts with --distributed-executor-backend ray"
)
_ADAPTERS = "adapters come from unlearning requests"
_OWN = "the gateway's own is used"
_DRAFT = "a draft model does not see the adapters"
_TLS = "terminate TLS in front of the gateway"
_TEXT = "only text generation is served"
_STEERS = "it would change what the model computes after the adapters"
_CONNECTOR = "a connector keeps caches by keys that need not hold the plan, so that one would read another's"
_LOGS = (
    "prompts and answers would be logged, with all that brings out what is to be forgotten; gateway.access has a line "
    "for each request"
)
_EVENTS = "it publishes the tokens of prompts, those that ask for what is to be forgotten among them"

#: Arguments that must stay as the gateway set them, by the name that vLLM's parser gives them, with what to do instead.
RESERVED = MappingProxyType(
    {
        "model": "pass it to `unlearn serve` before other flags, or set UNLEARN_MODEL",
        "model_tag": "pass the model to `unlearn serve` before other flags, or set UNLEARN_MODEL",
        "host": "use --host of `unlearn serve`",
        "port": "use --port of `unlearn serve`",
        "api_key": "set UNLEARN_API_KEYS",
        "uds": "not supported",
        "root_path": "not supported",
        "grpc": "not supported",
        "headless": "not supported",
        "api_server_count": _REPLICAS,
        "middleware": _OWN,
        "worker_extension_cls": _OWN,
        "model_class_overrides": "the gateway's own model class is used",
        "model_impl": "the gateway's own model class is used",
        "runner": _TEXT,
        "convert": _TEXT,
        "enable_prompt_embeds": "embeddings would bypass the adapters",
        "enable_mm_embeds": "embeddings would bypass the adapters",
        "logits_processors": _STEERS,
        "worker_cls": _STEERS,
        "scheduler_cls": "it could share caches between plans",
        "io_processor_plugin": _TEXT,
        "kv_transfer_config": _CONNECTOR,
        "ec_transfer_config": _CONNECTOR,
        "tool_server": "the service runs no tools of its own",
        "enable_return_routed_experts": "it shows the state of virtual tokens",
        "aux_output_config": "it shows the state of virtual tokens",
        "enable_log_requests": _LOGS,
        "enable_log_outputs": _LOGS,
        "kv_events_config": _EVENTS,
        "lora_modules": _ADAPTERS,
        "default_mm_loras": _ADAPTERS,
        "enable_lora": _ADAPTERS,
        "max_loras": "use --offset-slots of `unlearn serve`",
        "max_lora_rank": "use --offset-rank of `unlearn serve`",
        "max_cpu_loras": _OWN,
        "lora_dtype": _OWN,
        "lora_target_modules": _OWN,
        "speculative_config": _DRAFT,
        "spec_method": _DRAFT,
        "spec_model": _DRAFT,
        "spec_tokens": _DRAFT,
        "ssl_keyfile": _TLS,
        "ssl_certfile": _TLS,
        "ssl_ca_certs": _TLS,
        "ssl_cert_reqs": _TLS,
        "ssl_ciphers": _TLS,
        "enable_ssl_refresh": _TLS,
    }
)


@dataclass(frozen=True, slots=True)
class _Limit:
    most: int
    reason: str


_LIMITS = {
    "pipeline_parallel_size": _Limit(1, _PIPELINE),
    "prefill_context_parallel_size": _Limit(1, "workers would share a prompt whose soft rows and rules nobody tested"),
    "data_parallel_size": _Limit(1, f"vLLM passes on one engine's word alone on whether an adapter is in; {_REPLICAS}"),
    "enable_dbo": _Limit(0, "two halves of a batch would use the input buffers at the same time"),
    "ubatch_size": _Limit(1, "parts of a batch would use the input buffers at the same time"),
}


def refusal(args: argparse.Namespace, own: argparse.Namespace) -> str | None:
    """Why vLLM is not started with the parsed `args`, or None.

    own: what the gateway's arguments alone are parsed to.
    """
    for name, instead in RESERVED.items():
        if getattr(args, name, None) != getattr(own, name, None):
            return f"{_flag(name)} cannot be passed on to vLLM: {instead}"
    for name, limit in _LIMITS.items():
        if (value := getattr(args, name, None)) is not None and int(value) > limit.most:
            return f"{_flag(name)} {value} is not served: {limit.reason}"
    return None


#: Arguments that reach no answer: where things lie and listen, who may ask, what is written down about it. What counts
#: of what they name has a digest of its own.
_NO_ANSWER = frozenset(
    {
        "aggregate_engine_logging",
        "allow_credentials",
        "allowed_headers",
        "allowed_methods",
        "allowed_origins",
        "api_key",
        "chat_template",
        "collect_detailed_traces",
        "config",
        "cudagraph_metrics",
        "custom_histogram_buckets",
        "disable_access_log_for_endpoints",
        "disable_fastapi_docs",
        "disable_log_stats",
        "disable_uvicorn_access_log",
        "download_dir",
        "enable_log_deltas",
        "enable_log_outputs",
        "enable_log_requests",
        "enable_logging_iteration_details",
        "enable_mfu_metrics",
        "enable_offline_docs",
        "enable_request_id_headers",
        "enable_server_load_tracking",
        "hf_token",
        "host",
        "kv_cache_metrics",
        "kv_cache_metrics_sample",
        "log_error_stack",
        "master_addr",
        "master_port",
        "max_log_len",
        "model",
        "model_tag",
        "otlp_traces_endpoint",
        "port",
        "root_path",
        "served_model_name",
        "show_hidden_metrics_for_version",
        "shutdown_timeout",
        "use_tqdm_on_load",
        "uvicorn_log_level",
    }
)


def answering(args: argparse.Namespace, default: argparse.Namespace) -> dict[str, str]:
    """The parsed arguments that can change an answer, those that are as vLLM has them by default left out.

    As texts: what vLLM makes of a flag may be any object, whose text names its fields.
    """
    given = {name: str(value) for name, value in vars(args).items() if name not in _NO_ANSWER}
    return {name: text for name, text in given.items() if text != str(getattr(default, name, None))}


def _flag(name: str) -> str:
    return f"--{name.replace('_', '-')}"
