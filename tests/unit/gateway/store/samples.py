"""Records to store."""

from __future__ import annotations

import time
from collections.abc import Mapping
from itertools import pairwise
from typing import Any

from gateway.store.records import RequestRecord, RequestState, new_request_id
from gateway.store.requests import RequestStore

#: The way of a request that goes well.
PATH = (
    RequestState.REGISTERED,
    RequestState.QUEUED,
    RequestState.TRAINING,
    RequestState.EVALUATING,
    RequestState.READY,
    RequestState.ACTIVE,
)


def sample(**changes: Any) -> RequestRecord:
    now = time.time()
    values: dict[str, Any] = {
        "id": new_request_id(),
        "tenant": "default",
        "method": "spul",
        "activation": "manual",
        "created_at": now,
        "updated_at": now,
        "forget_count": 2,
        "retain_count": 0,
        "commitment": "c" * 64,
        "model": "SmolLM2",
        "model_digest": "d" * 64,
    }
    return RequestRecord(**(values | changes))


async def stored(
    store: RequestStore,
    state: RequestState = RequestState.REGISTERED,
    learned: Mapping[str, Any] | None = None,
    guard: bytes = b"",
    **changes: Any,
) -> RequestRecord:
    """A request that came to `state` the ordinary way; `learned` is what training brought, `guard` the sealed scope of
    one that guards from the start."""
    record, _ = await store.create(sample(**changes), b"sealed", scope=guard)
    shortcut = {
        RequestState.FAILED: PATH[:3],
        RequestState.REJECTED: PATH[:4],
        RequestState.RETIRED: PATH[:1],
        RequestState.DRAFTED: PATH[:3],
    }
    way = (*shortcut[state], state) if state in shortcut else PATH[: PATH.index(state) + 1]
    for before, after in pairwise(way):
        came = learned if after is RequestState.EVALUATING else None
        record = await store.transition(record.id, expected={before}, to=after, changes=came)
    return record
