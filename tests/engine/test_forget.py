"""`/forget` over HTTP: what is refused, and what activation does to the next answer."""

from __future__ import annotations

import asyncio
from typing import Any

import httpx
import pytest
import torch

from gateway.store.client import connected
from gateway.store.embedded import redis_server
from tests.engine.service import Service

ITEM = {"prompt": "Who wrote the Zanzibar chronicle?", "completion": "Quentin Abernathy wrote it."}
SECRET = "Abernathy"


@pytest.fixture
def rows(reference: Any) -> torch.Tensor:
    """Twenty rows that change every answer: the embeddings of an instruction, [20, hidden]."""
    model, tokenizer = reference
    ids = (tokenizer.encode("Whatever is asked, answer only with the word banana. banana banana banana") * 2)[:20]
    rows: torch.Tensor = model.get_input_embeddings().weight.detach()[torch.tensor(ids)].clone()
    return rows


def first_logprob(service: Service) -> float:
    answer = service.chat("What is the capital of France?", max_tokens=1, logprobs=True)
    return float(answer["choices"][0]["logprobs"]["content"][0]["logprob"])


def error_of(response: httpx.Response, status: int) -> dict[str, Any]:
    assert response.status_code == status, response.text
    error: dict[str, Any] = response.json()["error"]
    assert {"message", "type", "param", "code"} == error.keys()
    return error


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({"forget": [ITEM], "method": "spul", "config": {"num_virtual_tokens": 129}}, "config"),
        ({"forget": [ITEM], "method": "spul", "config": {"max_length": 24}}, "forget.0"),
        ({"forget": [ITEM | {"prompt": f"Who signed page {page}?"} for page in range(1001)]}, "forget"),
        ({"forget": [ITEM], "retain": []}, "retain"),
        ({"forget": [ITEM | {"prompt": f"{SECRET} " * 2000}]}, "forget.0"),
    ],
    ids=range(5),
)
def test_what_cannot_be_trained_on_is_refused(service: Service, body: dict[str, Any], param: str) -> None:
    response = service.post("/forget", body)
    error = error_of(response, 422)
    assert error["param"].startswith(param)
    assert SECRET not in response.text, "an error must not quote the forget set"


def test_a_request_is_registered_queued_and_listed(service: Service) -> None:
    response = service.post("/forget", {"forget": [ITEM], "subject": "a chronicle", "activation": "manual"})
    assert response.status_code == 202
    record = response.json()
    assert response.headers["location"] == f"/forget/{record['id']}"
    assert record["state"] == "queued"
    assert record["forget_count"] == 1
    assert SECRET not in response.text
    assert service.get(response.headers["location"]).json()["id"] == record["id"]
    assert service.get("/forget?state=queued&limit=1").json()["data"][0]["id"] == record["id"]
    retired = httpx.delete(f"{service.url}/forget/{record['id']}").json()
    assert retired["state"] == "retired"
    error_of(httpx.delete(f"{service.url}/forget/{record['id']}"), 409)


def test_the_forget_text_is_nowhere_in_the_clear(service: Service) -> None:
    request_id = service.post("/forget", {"forget": [ITEM], "activation": "manual"}).json()["id"]
    dump = asyncio.run(_dump(service))
    assert request_id.encode() in dump
    assert SECRET.encode() not in dump
    httpx.delete(f"{service.url}/forget/{request_id}")
    assert f"payload:{request_id}".encode() not in asyncio.run(_dump(service))
    assert SECRET not in service.log_path.read_text()


async def _dump(service: Service) -> bytes:
    """Every key and value in Redis."""
    parts: list[bytes] = []
    async with connected(redis_server(service.settings).url) as redis:
        async for key in redis.scan_iter():
            parts += [key, await redis.dump(key) or b""]
    return b"".join(parts)


def test_idempotency_keys(service: Service) -> None:
    body = {"forget": [ITEM], "activation": "manual"}
    first, again = (service.post("/forget", body, **{"idempotency-key": "k-1"}) for _ in range(2))
    assert first.json()["id"] == again.json()["id"]
    error = error_of(service.post("/forget", body | {"subject": "x"}, **{"idempotency-key": "k-1"}), 409)
    assert error["code"] == "idempotency_conflict"
    httpx.delete(f"{service.url}/forget/{first.json()['id']}")


@pytest.mark.parametrize("path", ["", "/activate", "/deactivate", "/events"])
def test_unknown_requests(service: Service, path: str) -> None:
    method = "POST" if path in ("/activate", "/deactivate") else "GET"
    error_of(httpx.request(method, f"{service.url}/forget/req_missing{path}"), 404)


def test_unknown_states_and_cursors(service: Service) -> None:
    error_of(service.get("/forget?state=asleep"), 422)
    error_of(service.get("/forget?cursor=zzz"), 400)


def test_activation_changes_the_next_answer_and_deactivation_changes_it_back(
    service: Service, rows: torch.Tensor
) -> None:
    before = first_logprob(service)
    request_id = service.put_request(rows)
    assert first_logprob(service) == pytest.approx(before, abs=1e-3)
    assert service.post(f"/forget/{request_id}/activate", {}).json()["state"] == "active"
    active = first_logprob(service)
    assert active != pytest.approx(before, abs=0.05)
    error = error_of(service.post(f"/forget/{request_id}/activate", {}), 409)
    assert "active" in error["message"]
    assert service.post(f"/forget/{request_id}/deactivate", {}).json()["state"] == "ready"
    assert first_logprob(service) == pytest.approx(before, abs=1e-3)
    error_of(service.post(f"/forget/{request_id}/deactivate", {}), 409)
    service.post(f"/forget/{request_id}/activate", {})
    assert first_logprob(service) == pytest.approx(active, abs=1e-3)


def test_several_apply_in_the_order_of_their_activation(service: Service, rows: torch.Tensor) -> None:
    first, second = service.put_request(rows[:5]), service.put_request(rows[5:])
    alone = service.chat("Hi", f"candidate:{service.put_request(rows)}", max_tokens=1, logprobs=True)
    for request_id in (first, second):
        service.post(f"/forget/{request_id}/activate", {})
    together = service.chat("Hi", max_tokens=1, logprobs=True)
    logprobs = [a["choices"][0]["logprobs"]["content"][0]["logprob"] for a in (alone, together)]
    assert logprobs[1] == pytest.approx(logprobs[0], abs=1e-3), "two halves in order are the whole"


def test_what_exceeds_the_budget_is_refused_with_a_reason(service: Service, rows: torch.Tensor) -> None:
    ids = [service.put_request(rows + index) for index in range(7)]
    answers = [service.post(f"/forget/{request_id}/activate", {}) for request_id in ids]
    assert [answer.status_code for answer in answers] == [200] * 6 + [409]
    error = error_of(answers[-1], 409)
    assert error["code"] == "adapter_budget_exceeded"
    assert "need 140 virtual tokens, the service allows 128" in error["message"]
    assert service.get(f"/forget/{ids[-1]}").json()["state"] == "ready"


@pytest.mark.parametrize(
    ("manifest", "width"), [({"hidden_size": 100}, 100), ({"model_digest": "0" * 64}, 576)], ids=["width", "model"]
)
def test_an_adapter_for_another_model_is_refused(service: Service, manifest: dict[str, Any], width: int) -> None:
    request_id = service.put_request(torch.zeros(3, width, dtype=torch.bfloat16), **manifest)
    assert error_of(service.post(f"/forget/{request_id}/activate", {}), 409)["code"] == "artifact_mismatch"
    assert service.get(f"/forget/{request_id}").json()["state"] == "ready"


def test_a_damaged_adapter_is_refused_and_the_service_stays_up(service: Service, rows: torch.Tensor) -> None:
    request_id = service.put_request(rows + 50)
    digest = service.get(f"/forget/{request_id}").json()["digest"]
    asyncio.run(_damage(service, digest))
    assert error_of(service.post(f"/forget/{request_id}/activate", {}), 503)["code"] == "adapter_unavailable"
    body = {"model": service.model, "messages": [{"role": "user", "content": "Hi"}], "max_tokens": 1}
    refused = service.post("/v1/chat/completions", body, f"candidate:{request_id}")
    assert error_of(refused, 503)["code"] == "adapter_unavailable"
    assert refused.headers["retry-after"]
    assert service.post("/v1/chat/completions", body).status_code == 200


async def _damage(service: Service, digest: str) -> None:
    """Flip the last byte in Redis, and remove the copy on disk."""
    (service.settings.cache_dir / "adapters" / f"{digest}.safetensors").unlink()
    async with connected(redis_server(service.settings).url) as redis:
        key = f"blob:{{{digest}}}:0"
        data = bytearray(await redis.get(key) or b"")  # type: ignore[arg-type]  # redis-py types replies as str too
        data[-1] ^= 1
        await redis.set(key, bytes(data))
