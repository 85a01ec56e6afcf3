"""The settings a job runs under: the worker's own, which its command line may have changed."""

from __future__ import annotations

from contextvars import ContextVar

from gateway.settings import Settings

#: Set by the worker before it forks, so that the work-horse inherits it.
worker_settings: ContextVar[Settings] = ContextVar("worker_settings")
