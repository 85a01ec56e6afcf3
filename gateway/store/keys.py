"""Names of the Redis keys of a request, and the two ways between a record and a flat Redis reply."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from gateway.store.records import RequestRecord, RequestState

ALL = "requests:all"
SEQ = "requests:seq"
GENERATION = "policy:generation"
MARKS = "policy:marks"
ACTIVATION_SEQ = "policy:activation_seq"
ERASURES = "aof:erasures"
COMPACTED = "aof:compacted"


class RequestKeys(NamedTuple):
    """What lies in Redis about one request."""

    record: str
    payload: str
    events: str
    blobs: str
    scope: str


def of(request_id: str) -> RequestKeys:
    return RequestKeys(*(f"{kind}:{request_id}" for kind in ("request", "payload", "events", "blobs", "scope")))


def by_state(state: RequestState | None) -> str:
    """The listing of one state, or of all."""
    return ALL if state is None else f"requests:by_state:{state}"


def idempotency(fingerprint: str) -> str:
    """Of the caller's key, which is text of its own and counts within the tenant."""
    return f"idempotency:{fingerprint}"


def flatten(fields: Mapping[str, str]) -> list[str]:
    """Field, value, field, value … as a script takes them."""
    return [part for pair in fields.items() for part in pair]


def record_of(flat: Sequence[bytes]) -> RequestRecord:
    """The reverse, as a script returns them."""
    texts = [part.decode() for part in flat]
    return RequestRecord.from_fields(dict(zip(texts[::2], texts[1::2], strict=True)))
