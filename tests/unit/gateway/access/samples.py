"""Keys to keep, and callers whom nobody counts."""

from __future__ import annotations

from typing import Any

from gateway.access.api_key import ApiKey, Role, token_digest
from gateway.access.rates import RateLimiter
from gateway.service.metrics import GatewayMetrics


def sample_key(token: str = "ug-token", **changes: Any) -> ApiKey:
    values: dict[str, Any] = {
        "id": f"key_{token}",
        "prefix": token[:10],
        "digest": token_digest(token),
        "tenant": "acme",
        "role": Role.CLIENT,
        "created_at": 1.0,
        "created_by": "operator-token",
    }
    return ApiKey(**values | changes)


def unlimited(metrics: GatewayMetrics) -> RateLimiter:
    """For callers without limits, of whom nothing is counted."""
    nowhere: Any = None
    return RateLimiter(nowhere, metrics)
