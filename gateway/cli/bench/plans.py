"""What is measured: the model before, and what callers get after, or one request's adapter alone."""

from __future__ import annotations

from gateway.client.client import candidate_plan

BEFORE = "before"
#: What every caller gets.
ACTIVE = "active"


def after(request_id: str | None) -> tuple[str, str | None]:
    """Its name, and its plan as `UnlearnClient` takes it. request_id: None for what every caller gets."""
    return (request_id, candidate_plan(request_id)) if request_id else (ACTIVE, None)
