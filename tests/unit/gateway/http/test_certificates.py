"""Who gets a certificate, and who may have a request evaluated again."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from types import SimpleNamespace

import httpx
import pytest
from fastapi import FastAPI
from redis.asyncio import Redis

from gateway.access import caller as callers
from gateway.access.api_key import Role
from gateway.access.caller import Caller
from gateway.evidence.certificate.bundle import MEDIA_TYPE
from gateway.evidence.verification.algorithms import ALGORITHMS
from gateway.evidence.verification.exhibit import Rules
from gateway.evidence.verification.verify import verify
from gateway.http.certificates import router
from gateway.requests.reverification import Reverification
from gateway.store.probe_sets import KeptProbes
from gateway.store.records import RequestState
from gateway.store.vault import PayloadVault
from gateway.store.verifications import Verifications
from tests.unit.gateway.requests.evidence_samples import Evidence, keep_probes

VAULT = PayloadVault(b"k" * 32)
OPERATOR = Caller("op", Role.OPERATOR)


class Api:
    """The two routes over a real store."""

    def __init__(self, redis: Redis) -> None:
        self.redis = redis
        self.evidence = Evidence(redis)
        self.verifications = Verifications(redis)
        self.app = FastAPI()
        self.app.include_router(router)
        self.app.state.unlearning = SimpleNamespace(store=self.evidence.store)
        self.app.state.certifier = self.evidence.certifier
        self.app.state.reverification = Reverification(self.verifications, KeptProbes(redis, VAULT))

    async def call(self, method: str, path: str, caller: Caller = OPERATOR) -> httpx.Response:
        callers.bind(caller)
        transport = httpx.ASGITransport(app=self.app)
        async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1:8000") as client:
            return await client.request(method, path)


@pytest.fixture
def api(redis: Redis) -> Api:
    return Api(redis)


async def test_the_certificate_is_a_file_to_be_checked(api: Api) -> None:
    record = await api.evidence.request(RequestState.ACTIVE)
    answer = await api.call("GET", f"/forget/{record.id}/certificate")
    assert answer.status_code == 200
    assert answer.headers["content-type"] == MEDIA_TYPE
    assert record.id in answer.headers["content-disposition"]
    rules = Rules(datetime.now(UTC), frozenset(ALGORITHMS))
    assert verify(answer.content, await api.evidence.log.keys(), rules).findings == ()
    assert json.loads(answer.content)["report"]["request"]["id"] == record.id


async def test_one_that_was_redacted_is_gone(api: Api) -> None:
    record = await api.evidence.request(RequestState.ACTIVE)
    path = f"/forget/{record.id}/certificate"
    assert (await api.call("GET", path)).status_code == 200
    api.evidence.log.redact(record.id)
    answer = await api.call("GET", path)
    assert (answer.status_code, answer.json()["error"]["code"]) == (410, "redacted")


@pytest.mark.parametrize("state", [RequestState.QUEUED, RequestState.REJECTED])
async def test_a_request_that_is_not_ready_has_none(api: Api, state: RequestState) -> None:
    record = await api.evidence.request(state)
    answer = await api.call("GET", f"/forget/{record.id}/certificate")
    assert (answer.status_code, answer.json()["error"]["code"]) == (404, "not_found")


@pytest.mark.parametrize("path", ["certificate", "verify"])
async def test_a_request_of_another_tenant_is_not_there(api: Api, path: str) -> None:
    record = await api.evidence.request(RequestState.ACTIVE, tenant="acme")
    method = "GET" if path == "certificate" else "POST"
    for caller in (Caller("c", Role.CLIENT, "other"), Caller("o", Role.OPERATOR, "other")):
        assert (await api.call(method, f"/forget/{record.id}/{path}", caller)).status_code == 404


async def test_it_is_evaluated_again_where_probes_were_kept(api: Api) -> None:
    record = await api.evidence.request(RequestState.ACTIVE)
    refused = await api.call("POST", f"/forget/{record.id}/verify")
    assert refused.status_code == 404
    assert "--again --examples" in refused.json()["error"]["message"]
    await keep_probes(api.redis, VAULT, record.id, b"probes")
    assert (await api.call("POST", f"/forget/{record.id}/verify")).status_code == 202
    assert await api.verifications.claim() == record.id


async def test_an_auditor_reads_and_changes_nothing(api: Api) -> None:
    record = await api.evidence.request(RequestState.ACTIVE)
    await keep_probes(api.redis, VAULT, record.id, b"probes")
    auditor = Caller("a", Role.AUDITOR)
    assert (await api.call("GET", f"/forget/{record.id}/certificate", auditor)).status_code == 200
    assert (await api.call("POST", f"/forget/{record.id}/verify", auditor)).status_code == 403
    assert await api.verifications.claim() is None
