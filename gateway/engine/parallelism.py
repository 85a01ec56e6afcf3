"""Ways of spreading an engine over devices that an adapter would not survive, refused at the start with the reason."""

from __future__ import annotations

import argparse
from dataclasses import dataclass

_REPLICAS = "run several gateways that share REDIS_URL behind a balancer: each is a whole replica"
_PIPELINE = (
    "the pair needs the embeddings and the target's last state on one worker; use --tensor-parallel-size, "
    "over several hosts with --distributed-executor-backend ray"
)


@dataclass(frozen=True, slots=True)
class _Limit:
    flag: str
    most: int
    reason: str


#: By the name that vLLM's parser gives a flag, however it was spelt.
_LIMITS = {
    "pipeline_parallel_size": _Limit("--pipeline-parallel-size", 1, _PIPELINE),
    "prefill_context_parallel_size": _Limit(
        "--prefill-context-parallel-size", 1, "workers would share a prompt whose soft rows and rules nobody tested"
    ),
    "data_parallel_size": _Limit(
        "--data-parallel-size", 1, f"vLLM passes on one engine's word alone on whether an adapter is in; {_REPLICAS}"
    ),
    "enable_dbo": _Limit("--enable-dbo", 0, "two halves of a batch would use the input buffers at the same time"),
    "ubatch_size": _Limit("--ubatch-size", 1, "parts of a batch would use the input buffers at the same time"),
}


def refusal(args: argparse.Namespace) -> str | None:
    """Why an engine of these parsed vLLM arguments is not served, or None."""
    for name, limit in _LIMITS.items():
        if (value := getattr(args, name, None)) is not None and int(value) > limit.most:
            return f"{limit.flag} {value} is not served: {limit.reason}"
    return None
