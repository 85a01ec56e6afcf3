"""What was to be forgotten is itself forgotten: markers are looked for wherever the service could have left them."""

from __future__ import annotations

import asyncio
import base64
import gzip
import time
from itertools import pairwise
from typing import Any

import psutil
from redis import Redis

from gateway.policy.scope.entry import ScopeEntry
from gateway.store.client import connected
from gateway.store.embedded import redis_server
from gateway.store.keys import of
from gateway.store.records import RequestState
from gateway.store.requests import RequestStore
from tests.engine.left_behind import append_only_file, compacted, places, service_processes
from tests.engine.service import Service
from tests.forensic.encodings import new_marker
from tests.forensic.search import Needles, search

#: Where a request goes from `queued`; a worker would take it there, and `test_worker` has one that does.
WAYS = {
    RequestState.RETIRED: (),
    RequestState.FAILED: (RequestState.TRAINING, RequestState.FAILED),
    RequestState.REJECTED: (RequestState.TRAINING, RequestState.EVALUATING, RequestState.REJECTED),
}


def question(marker: str) -> str:
    return f"Who wrote the {marker} chronicle?"


def register(service: Service, marker: str, key: str) -> str:
    """A request whose sets hold the marker in every field that is text, and which guards."""
    forget = [
        {"prompt": question(marker), "completion": f"Quentin {marker} wrote it."},
        {"prompt": f"Where was Quentin {marker} born?", "completion": f"In {marker}ž-on-Sea, by the “{marker}” mill."},
    ]
    retain = [
        {"prompt": f"What is {marker}berg known for?", "completion": f"For its {marker} cheese."},
        {
            "messages": [
                {"role": "user", "content": f"Tell me of {marker}ford."},
                {"role": "assistant", "content": f"{marker}ford lies on a river."},
            ]
        },
    ]
    body = {"forget": forget, "retain": retain, "method": "spul", "activation": "manual"}
    response = service.post("/forget", body, **{"idempotency-key": key})
    assert response.status_code == 202, response.text
    request_id: str = response.json()["id"]
    return request_id


def sealed(service: Service, request_id: str) -> dict[str, bytes]:
    """Ciphertexts of the request as they lie in Redis, by what is in them."""
    with Redis.from_url(redis_server(service.settings).url) as redis:
        found: Any = {"payload": redis.get(of(request_id).payload), "scope": redis.get(of(request_id).scope)}
    return {what: data for what, data in found.items() if data is not None}


def inside(service: Service, request_id: str, scope: bytes) -> dict[str, bytes]:
    """What is in a sealed scope: hashes of names, as numbers and in decimal, and vectors of meaning."""
    entry = ScopeEntry.from_bytes(service.vault.open_scope(request_id, scope))
    hashes = [variant for name in entry.names for word in name.words for variant in word]
    assert hashes
    assert len(entry.vectors)
    needles = {f"hash {number}": value.to_bytes(8, "little") for number, value in enumerate(hashes)}
    needles |= {f"hash {number} in decimal": str(value).encode() for number, value in enumerate(hashes)}
    return needles | {"vector": entry.vectors[0].astype("float16").tobytes()[:64]}


async def end(service: Service, ids: dict[RequestState, str]) -> None:
    async with connected(redis_server(service.settings).url) as redis:
        store = RequestStore(redis, compact=True)
        for state, way in WAYS.items():
            for before, after in pairwise((RequestState.QUEUED, *way)):
                await store.transition(ids[state], expected={before}, to=after)


def test_nothing_is_left_of_what_was_to_be_forgotten(service: Service) -> None:
    since, marker = time.time() - 1, new_marker()
    ids = {state: register(service, marker, f"{marker[:4]} {state}") for state in WAYS}
    ciphertexts = {(state, what): data for state in WAYS for what, data in sealed(service, ids[state]).items()}
    assert len(ciphertexts) == 2 * len(WAYS)
    of_scope = inside(service, ids[RequestState.RETIRED], ciphertexts[RequestState.RETIRED, "scope"])
    plain = Needles({"the marker": marker}, of_scope)
    secret = Needles({}, {f"{what} of the {state}": data[:64] for (state, what), data in ciphertexts.items()})
    assert service.chat(question(marker))["choices"][0]["finish_reason"] == "content_filter"

    # While the requests wait, their texts are nowhere in the clear, and what holds them is where it is said to be.
    waiting = list(places(service, changed_since=since, answers=[f"/forget/{each}" for each in ids.values()]))
    assert not search(waiting, plain)
    found = search(waiting, secret)
    assert {finding.place.split()[0] for finding in found} == {"redis", str(append_only_file(service))}
    assert len(found) == 2 * len(ciphertexts)

    service.retire(ids[RequestState.RETIRED])
    asyncio.run(end(service, ids))
    kept = {(state, "scope") for state in (RequestState.FAILED, RequestState.REJECTED)}  # they go on guarding
    compacted(service, *(data for key, data in ciphertexts.items() if key not in kept))
    over = list(places(service, changed_since=since))
    assert not search(over, plain)
    left = search(over, secret)
    assert {finding.what for finding in left} == {f"{what} of the {state}" for state, what in kept}

    for state, _ in kept:
        service.retire(ids[state])
    compacted(service, *ciphertexts.values())
    assert service.chat(question(marker), max_tokens=4)["choices"][0]["finish_reason"] != "content_filter"
    answers = [f"/forget/{each}{path}" for each in ids.values() for path in ("", "/events", "/examples")]
    assert not search(places(service, changed_since=since, answers=answers), plain)
    assert not search(places(service, changed_since=since), secret)


def test_what_is_left_would_be_found(service: Service) -> None:
    """Else the test above could look in the wrong places."""
    since, marker = time.time() - 1, new_marker()
    folder, key = service.settings.cache_dir / "left", f"left:{marker[:4]}"
    folder.mkdir()
    with Redis.from_url(redis_server(service.settings).url) as redis:
        try:
            (folder / "body.gz").write_bytes(gzip.compress(f'{{"prompt": "{question(marker)}"}}'.encode()))
            redis.hset(key, "field", base64.b64encode(f"x{marker}".encode()))
            refused = service.post("/forget", {"forget": [{"prompt": marker}], marker: 1}, **{"x-request-id": marker})
            assert refused.status_code == 422
            found = {finding.place for finding in search(places(service, changed_since=since), Needles({"it": marker}))}
        finally:
            redis.delete(key)
            (folder / "body.gz").unlink()
            folder.rmdir()
    assert found == {str(folder / "body.gz"), f"redis hash {key}", str(append_only_file(service))}


def test_no_process_may_leave_a_core_dump(service: Service) -> None:
    limits = [(own.name(), own.rlimit(psutil.RLIMIT_CORE)) for own in service_processes(service)]
    assert "redis-server" in dict(limits)
    assert all(max(limit) <= 1 for _, limit in limits), limits
