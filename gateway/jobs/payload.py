"""What a request is trained on, out of its sealed payload."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from adapters.examples import Example
from gateway.errors import NotFound
from gateway.jobs.failures import PayloadMissing
from gateway.store.records import RequestRecord
from gateway.store.requests import RequestStore
from gateway.store.vault import PayloadVault


@dataclass(frozen=True, slots=True)
class Payload:
    """What a request is trained on; `TrainingTask` says what each means.

    items: for each example of `forget` and of `retain` the number of the caller's item.
    by_subject: the forget set is asked of the model, and shown to the caller first where activation is manual.
    """

    forget: tuple[Example, ...]
    retain: tuple[Example, ...] | None
    inverted: Mapping[int, tuple[str, ...]]
    by_subject: bool
    items: Mapping[str, tuple[int, ...]]


async def read_payload(store: RequestStore, record: RequestRecord, vault: PayloadVault) -> Payload:
    """Raises `PayloadMissing`, `PayloadUnreadable`."""
    try:
        sealed = await store.payload(record.id)
    except NotFound as error:
        raise PayloadMissing("the forget set of this request is not in the store") from error
    payload = vault.open(record.id, sealed)
    retain = payload.get("retain")
    return Payload(
        forget=tuple(Example.from_dict(item) for item in payload["forget"]),
        retain=None if retain is None else tuple(Example.from_dict(item) for item in retain),
        inverted={int(position): tuple(answers) for position, answers in payload.get("inverted", {}).items()},
        by_subject=payload.get("by_subject", False),
        items={name: tuple(numbers) for name, numbers in payload["items"].items()},
    )
