"""Settings of the service and the worker, read once from the environment (`UNLEARN_*`) and the command line."""

from __future__ import annotations

import base64
import os
import re
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, AliasChoices, BeforeValidator, Field, SecretStr, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

DISTRIBUTION = "unlearning-gateway"

#: What an engine can be built for: soft prompts, a pair for offsets, LoRAs on the target.
OFFERS = ("spul", "delta", "lora")


def _xdg(variable: str, fallback: str) -> Path:
    return Path(os.environ.get(variable) or Path.home() / fallback) / DISTRIBUTION


def _number(value: Any) -> Any:
    """Text of digits as a number: the environment holds text, and a literal takes no other type than its own."""
    return int(value) if isinstance(value, str) and value.isdecimal() else value


def _offers(value: str) -> str:
    """The list in one order. Raises ValueError for a name that is none of `OFFERS`, and for an empty list."""
    names = {name.strip() for name in value.split(",") if name.strip()}
    if unknown := sorted(names - set(OFFERS)):
        raise ValueError(f"no engine offers {', '.join(unknown)}; there is: {', '.join(OFFERS)}")
    if not names:
        raise ValueError(f"name at least one of: {', '.join(OFFERS)}")
    return ",".join(name for name in OFFERS if name in names)


def _device(value: str) -> str:
    """Raises ValueError for a name that is no device's; whether it is there is known where torch is."""
    if re.fullmatch(r"auto|cpu|cuda(:\d+)?", value) is None:
        raise ValueError(f"no device is called {value!r}; give auto, cpu, cuda, or cuda:1 for the second card")
    return value


def _origin(value: str) -> str:
    """Raises ValueError for what no log can be called."""
    if re.fullmatch(r"[!-*,-~]{1,255}", value) is None:
        raise ValueError("a log's name has 1 to 255 printable ASCII characters, no space and no plus")
    return value


def _base64_bytes(text: str) -> int:
    """How many bytes it stands for; 0 for what is no base64."""
    try:
        return len(base64.b64decode(text, validate=True))
    except ValueError:
        return 0


class Settings(BaseSettings):
    """All settings, with the defaults that run on a laptop. `REDIS_URL` is read without the prefix."""

    model_config = SettingsConfigDict(
        env_prefix="UNLEARN_", env_ignore_empty=True, extra="ignore", frozen=True, populate_by_name=True
    )

    model: str | None = Field(
        default=None, description="path or hub id of the model to serve; unset: SmolLM2-135M-Instruct"
    )
    host: str = Field(default="127.0.0.1", description="address to listen on; off loopback, API keys are required")
    port: int = Field(default=8000, ge=1, le=65535, description="port to listen on")
    data_dir: Path = Field(
        default_factory=lambda: _xdg("XDG_DATA_HOME", ".local/share"),
        description="holds the operator token, the payload key and the embedded Redis's files",
    )
    cache_dir: Path = Field(
        default_factory=lambda: _xdg("XDG_CACHE_HOME", ".cache"),
        description="holds the prepared default model and adapters by digest; safe to delete",
    )
    redis_url: SecretStr | None = Field(
        default=None,
        validation_alias=AliasChoices("REDIS_URL", "redis_url"),
        description="URL of your Redis; unset: the service starts a redis-server of its own in data_dir",
    )
    gateway_url: str | None = Field(
        default=None, description="where the worker reaches the service; unset: http://host:port"
    )
    api_keys: SecretStr | None = Field(default=None, description="comma-separated bearer keys for the model routes")
    operator_token: SecretStr | None = Field(
        default=None, description="bearer token for /forget; unset: made at the first start, in data_dir/operator.token"
    )
    payload_key: SecretStr | None = Field(
        default=None, description="base64 of 32 bytes, which encrypt waiting forget sets; unset: data_dir/payload.key"
    )
    evidence_key: SecretStr | None = Field(
        default=None,
        description="base64 of 32 bytes, which the log and certificates are signed with, and behind a comma the one "
        "before it; unset: data_dir/evidence.key",
    )
    log_origin: Annotated[str, AfterValidator(_origin)] | None = Field(
        default=None,
        description="name of the transparency log, for example log.example/unlearning; unset: made from its first key",
    )
    log_witnesses: str = Field(
        default="",
        description="comma-separated keys (name+id+base64) of witnesses whose cosignatures are kept and served",
    )
    worker: bool = Field(default=True, description="start a worker beside the service")
    worker_device: Annotated[str, AfterValidator(_device)] = Field(
        default="auto",
        description="where the worker trains: auto, cpu, cuda, or cuda:1 for the second card; auto takes a card with "
        "room",
    )
    soft_rows: int = Field(default=256, ge=1, le=65536, description="rows of the soft-prompt table in the engine")
    prompt_budget: int = Field(
        default=128, ge=1, description="virtual tokens that all active requests may use together"
    )
    methods: Annotated[str, AfterValidator(_offers)] = Field(
        default="spul,delta",
        description="what the engine offers, comma-separated: spul (soft prompts), delta (a pair for offsets), "
        "lora (LoRAs on the target)",
    )
    offset_layers: int | None = Field(
        default=None,
        ge=0,
        description="the pair is the target's first K layers, and this is K; unset: a quarter of its depth; 0: no pair",
    )
    offset_model: str | None = Field(
        default=None, description="path or hub id of a separate small model of the same vocabulary to be the pair"
    )
    offset_reference: Literal["shared", "own"] = Field(
        default="shared", description="own: adapters may change the reference too, which costs K more layers"
    )
    offset_slots: int = Field(
        default=4, ge=1, le=64, description="how many different offsets, and LoRAs on the target, may run in one batch"
    )
    offset_sets: int = Field(
        default=64,
        ge=1,
        le=4096,
        description="how many different sets of offsets, and of LoRAs on the target, stay loaded in host memory and on "
        "disk while no request uses them",
    )
    offset_rank: Annotated[Literal[8, 16, 32, 64, 128, 256], BeforeValidator(_number)] = Field(
        default=64,
        description="largest rank of an offset or a LoRA on the target; a merge of several is reduced to it",
    )
    inverter_url: str | None = Field(
        default=None,
        description="OpenAI-compatible endpoint (…/v1) that makes up answers for meow and so reads forget sets; "
        "unset: the served model",
    )
    inverter_model: str | None = Field(default=None, description="model of that endpoint; unset: the first it lists")
    inverter_key: SecretStr | None = Field(default=None, description="bearer key of that endpoint")
    max_examples: int = Field(
        default=1000,
        ge=1,
        description="most examples to forget, and most to retain, in a request; a sentence of a passage makes two",
    )
    max_body_bytes: int = Field(default=4 * 1024 * 1024, ge=1024, description="largest request body, in bytes")
    vllm_plugins: str = Field(
        default="",
        description="comma-separated names of vLLM plugins that may run beside the gateway; beside others it does not "
        "start, for they could take back what adapters do",
    )
    job_timeout_s: int = Field(default=3600, ge=10, description="longest time of one training attempt, in seconds")
    job_retries: int = Field(default=2, ge=0, description="how often a training whose process died is tried again")
    drain_timeout_s: float = Field(
        default=30.0, ge=0, description="how long running answers may take after SIGTERM, in seconds"
    )
    policy_staleness_s: float = Field(
        default=60.0, gt=0, description="how long the last known policy is used while Redis is away, in seconds"
    )
    watch: bool = Field(
        default=True,
        description="match answers as well as prompts; while a matched request is active, an answer is passed on by "
        "the sentence",
    )
    otlp_endpoint: str | None = Field(
        default=None,
        description="OpenTelemetry collector (OTLP over HTTP, http://collector:4318) that gets every report as "
        "gen_ai.evaluation.result events; unset: none is sent",
    )
    self_check_tolerance: float = Field(
        default=1.0,
        gt=0,
        le=10,
        description="factor on the differences that the self-check allows; raise it for a cache or weights in 8 bits",
    )
    webhook_url: str | None = Field(
        default=None,
        pattern=r"^https?://",
        description="endpoint of yours that is told when a report is stale, and when a request was evaluated again; "
        "needs webhook_secret; unset: none",
    )
    webhook_secret: SecretStr | None = Field(
        default=None,
        description="whsec_ and base64 of 24 to 64 bytes, which sign those messages (Standard Webhooks)",
    )
    verify_every_days: float | None = Field(
        default=None,
        gt=0,
        description="evaluate requests anew so long after their last report, where their probes were kept; unset: only "
        "on demand",
    )
    gate_max_leak: float = Field(
        default=0.0,
        ge=0,
        le=1,
        description="largest share of forget prompts that may still leak; a request above it is rejected",
    )
    gate_max_family_leak: float = Field(
        default=0.05,
        ge=0,
        le=1,
        description="largest share above chance in which an attack that worked before may still bring the fact out; a "
        "request is rejected where the exact lower bound of an attack family is above it",
    )
    gate_min_kept: float = Field(
        default=0.6,
        ge=0,
        le=1,
        description="smallest share of control answers that must be kept; a request below it is rejected",
    )
    gate_min_neighbours: float = Field(
        default=0.25,
        ge=0,
        le=1,
        description="smallest share of answers beside the forgotten, which no training named, that must be kept; a "
        "request below it is rejected",
    )
    gate_min_recall: float = Field(
        default=0.9,
        ge=0,
        le=1,
        description="smallest share (lower bound) of the prompts which bring out what is to go that the scope of a "
        "matched request must catch; one below it is applied to every prompt, or rejected, as it asks",
    )

    @model_validator(mode="after")
    def _webhook_is_signed(self) -> Self:
        """Raises ValueError for an endpoint without a secret, or with one that cannot sign."""
        if self.webhook_url is not None:
            secret = self.webhook_secret.get_secret_value() if self.webhook_secret else ""
            if not secret.startswith("whsec_") or not 24 <= _base64_bytes(secret.removeprefix("whsec_")) <= 64:
                raise ValueError("webhook_url needs webhook_secret: whsec_ and base64 of 24 to 64 bytes")
        return self

    @property
    def offered(self) -> frozenset[str]:
        """The names in `methods`."""
        return frozenset(self.methods.split(","))

    @property
    def allowed_plugins(self) -> frozenset[str]:
        """The names in `vllm_plugins`."""
        return frozenset(name.strip() for name in self.vllm_plugins.split(",") if name.strip())

    @property
    def own_reference(self) -> bool:
        """Whether the pair's reference is a stack of its own: on demand, and where LoRAs change the target, whose first
        layers then are no reference any more."""
        return self.offset_reference == "own" or "lora" in self.offered

    @property
    def service_url(self) -> str:
        """Where the worker and the CLI reach the service."""
        if self.gateway_url:
            return self.gateway_url.rstrip("/")
        host = "127.0.0.1" if self.host in ("0.0.0.0", "::") else self.host
        return f"http://{f'[{host}]' if ':' in host else host}:{self.port}"
