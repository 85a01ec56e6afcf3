"""The gateway's own Prometheus metrics, beside vLLM's on the same `/metrics`."""

from __future__ import annotations

from prometheus_client import REGISTRY, CollectorRegistry, Counter, Gauge, Histogram

_GUARD_BUCKETS = (0.05, 0.1, 0.2, 0.3, 0.5, 0.75, 1.0, 1.5, 2.0, 5.0, 10.0)
_OVERHEAD_BUCKETS = (0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.5, 1.0)


class GatewayMetrics:
    """One object a service; hand it a registry of its own in tests."""

    def __init__(self, registry: CollectorRegistry = REGISTRY) -> None:
        self.active_requests = Gauge(
            "unlearning_active_requests", "Unlearning requests that apply to answers now", registry=registry
        )
        self.guards = Gauge(
            "unlearning_guards",
            "Unlearning requests whose prompts are refused until they are active",
            registry=registry,
        )
        self.guarded = Counter(
            "unlearning_guarded_answers", "Prompts that were refused for one of these requests", registry=registry
        )
        self.guard_delay = Histogram(
            "unlearning_guard_delay_seconds",
            "Time from the registration of a request until this replica refuses its prompts",
            buckets=_GUARD_BUCKETS,
            registry=registry,
        )
        self.policy_age = Gauge(
            "unlearning_policy_age_seconds",
            "Time since the policy was last read from Redis",
            registry=registry,
        )
        self.housekeeping_failures = Counter(
            "unlearning_housekeeping_failures",
            "Failures of the work beside serving, by task; each is tried again",
            ["task"],
            registry=registry,
        )
        self.log_size = Gauge("unlearning_log_size", "Leaves of the transparency log", registry=registry)
        self.log_waiting = Gauge(
            "unlearning_log_waiting", "Entries that are not in the transparency log yet", registry=registry
        )
        self.log_checkpoint_age = Gauge(
            "unlearning_log_checkpoint_age_seconds",
            "Time since the transparency log was last signed; it is signed when it has grown",
            registry=registry,
        )
        self.log_refusals = Counter(
            "unlearning_log_refusals",
            "Times that this replica refused to sign the transparency log, by error code",
            ["code"],
            registry=registry,
        )
        self.rows_in_use = Gauge(
            "unlearning_soft_rows_in_use",
            "Rows of the soft-prompt table that hold an adapter",
            registry=registry,
        )
        self.rows_total = Gauge("unlearning_soft_rows", "Rows of the soft-prompt table", registry=registry)
        self.installs = Counter("unlearning_adapter_installs", "Adapters written into the engine", registry=registry)
        self.install_failures = Counter(
            "unlearning_adapter_install_failures", "Adapters that could not be written", registry=registry
        )
        self.evictions = Counter("unlearning_adapter_evictions", "Adapters evicted to make room", registry=registry)
        self.loras_loaded = Gauge(
            "unlearning_loras_loaded", "LoRAs in the engine, merged ones included", registry=registry
        )
        self.adapter_faults = Counter(
            "unlearning_adapter_faults", "Adapters taken out of service for logits not finite", registry=registry
        )
        self.not_applied = Counter(
            "unlearning_not_applied",
            "Generations ended because a worker had not applied what the plan says",
            registry=registry,
        )
        self.engine_requests = Gauge(
            "unlearning_engine_requests", "Sequences that vLLM has not finished", registry=registry
        )
        self.pair_bytes = Gauge(
            "unlearning_pair_bytes",
            "Memory of the pair on a worker: its weights, its LoRA slots",
            ["part"],
            registry=registry,
        )
        self.kv_bytes_per_token = Gauge(
            "unlearning_kv_bytes_per_token", "Keys and values of one token, the pair's included", registry=registry
        )
        self.refusals = Counter(
            "unlearning_refusals",
            "Requests refused by the gateway, by error code",
            ["code"],
            registry=registry,
        )
        self.rates_counted_here = Counter(
            "unlearning_rates_counted_here",
            "Model requests of keys with limits that this replica counted alone, because Redis did not answer",
            registry=registry,
        )
        self.served = Counter("unlearning_served", "Model requests let through, by plan", ["plan"], registry=registry)
        self.matched = Counter(
            "unlearning_matched",
            "Prompts, and answers on their way, that a matched request came to apply to",
            ["where"],
            registry=registry,
        )
        self.reports_stale = Gauge(
            "unlearning_reports_stale",
            "Requests that are ready or active and whose report is stale",
            registry=registry,
        )
        self.webhooks = Counter(
            "unlearning_webhooks",
            "Messages to the operator's webhook, by outcome; those that failed are tried again",
            ["outcome"],
            registry=registry,
        )
        self.webhooks_waiting = Gauge(
            "unlearning_webhooks_waiting", "Messages that the operator's webhook has not taken yet", registry=registry
        )
        self.overhead = Histogram(
            "unlearning_gateway_overhead_seconds",
            "Time a request spends in the gateway before the engine gets it",
            buckets=_OVERHEAD_BUCKETS,
            registry=registry,
        )
