"""The worker's client of the service it works for: as the operator, and patient while that starts or is busy."""

from __future__ import annotations

from gateway.client.client import UnlearnClient
from gateway.settings import Settings
from gateway.store.tokens import load_or_create_operator_token

#: Requests at once. The engine batches what it has, so this is to be no less than a batch of its own.
CONCURRENCY = 128
#: How long a job's write waits for Redis to come back before the job is given up.
PATIENCE_S = 60.0
_ANSWER_S = 300.0  # a slow CPU, many answers at once


def service(settings: Settings, *, patience_s: float = 120.0) -> UnlearnClient:
    """A client of the service these settings name; close it, or use it as a context manager."""
    token = load_or_create_operator_token(settings)
    return UnlearnClient(
        settings.service_url,
        operator_token=lambda: token,
        api_key=token,
        patience_s=patience_s,
        read_timeout_s=_ANSWER_S,
        concurrency=CONCURRENCY,
    )
