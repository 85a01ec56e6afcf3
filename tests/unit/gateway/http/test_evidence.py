"""The routes of evidence: who may call them, and what they give."""

from __future__ import annotations

import json
from typing import Any

import httpx
import pytest
from redis.asyncio import Redis

from gateway.evidence.report.page import content_security_policy
from gateway.requests.reports import Reports
from gateway.store.probe_sets import EvaluationNotes, KeptProbes
from gateway.store.records import RequestState
from gateway.store.reports import ReportStore
from tests.unit.gateway.evidence.report.samples import report
from tests.unit.gateway.http.test_forget import Api
from tests.unit.gateway.jobs.stub_service import MANIFEST
from tests.unit.gateway.requests.test_service import Setup, setup  # noqa: F401  # a fixture
from tests.unit.gateway.store.samples import stored

MADE = report()


@pytest.fixture
def reports(redis: Redis, setup: Setup) -> Reports:  # noqa: F811
    return Reports(ReportStore(redis), KeptProbes(redis, setup.vault), MANIFEST)


@pytest.fixture
def api(setup: Setup, reports: Reports) -> Api:  # noqa: F811
    return Api(setup, reports=reports)


@pytest.fixture
async def path(setup: Setup, reports: Reports) -> str:  # noqa: F811
    """Of a request that has a report."""
    record = await stored(setup.store, RequestState.EVALUATING)
    await reports.store.put(record.id, report(made_at="2025-11-26T08:00:00Z").to_json())
    await reports.store.put(record.id, MADE.to_json())
    return f"/forget/{record.id}"


@pytest.mark.parametrize(
    ("accept", "query", "page"),
    [
        (None, "", False),
        ("application/json", "", False),
        ("text/html,application/xhtml+xml,*/*;q=0.8", "", True),
        (None, "?format=html", True),
        ("application/json", "?format=html", True),
        ("text/html", "?format=json", False),
    ],
)
async def test_the_last_report_as_json_or_as_a_page(
    api: Api, path: str, accept: str | None, query: str, page: bool
) -> None:
    answer = await api.call("GET", f"{path}/report{query}", headers={} if accept is None else {"accept": accept})
    assert (answer.status_code, answer.headers["cache-control"]) == (200, "no-store")
    if not page:
        assert answer.content == MADE.to_json()
        assert answer.headers["content-type"] == "application/json"
        return
    assert answer.headers["content-type"].startswith("text/html")
    assert answer.headers["content-security-policy"] == f"{content_security_policy()}; frame-ancestors 'none'"
    assert MADE.digest in answer.text


async def test_another_format_is_refused(api: Api, path: str) -> None:
    assert (await api.call("GET", f"{path}/report?format=pdf")).status_code == 422


async def test_without_a_report_there_is_none(api: Api, setup: Setup) -> None:  # noqa: F811
    record = await stored(setup.store)
    for missing in (f"/forget/{record.id}/report", "/forget/req_nobody/report"):
        answer = await api.call("GET", missing)
        assert (answer.status_code, answer.json()["error"]["code"]) == (404, "not_found")


async def test_kept_probes_are_erased_once(
    api: Api,
    path: str,
    setup: Setup,  # noqa: F811
    redis: Redis,
    reports: Reports,
) -> None:
    request_id = path.rpartition("/")[2]
    record = await setup.store.get(request_id)
    notes = EvaluationNotes(redis, setup.vault, request_id, record.attempts)
    await notes.put_probes(b"probes")
    await notes.keep()
    assert await reports.kept.get(request_id) == b"probes"
    assert (await api.call("DELETE", f"{path}/probes")).status_code == 204
    assert await redis.exists(f"probe_key:{request_id}", f"kept_probes:{request_id}") == 0
    again = await api.call("DELETE", f"{path}/probes")
    assert (again.status_code, again.json()["error"]["code"]) == (404, "not_found")


async def test_the_manifest_is_the_operators(api: Api) -> None:
    refused: httpx.Response = await api.call("GET", "/evidence/manifest")
    assert refused.status_code == 403
    given = await api.call("GET", "/evidence/manifest", "op")
    assert given.json() == MANIFEST.to_dict()


@pytest.mark.parametrize(
    ("asked", "evaluation"),
    [
        ({}, {"tier": "standard", "keep": "nothing"}),
        ({"evidence": {"tier": "smoke"}}, {"tier": "smoke", "keep": "nothing"}),
        ({"evidence": {"tier": "full", "keep": "probes"}}, {"tier": "full", "keep": "probes"}),
    ],
)
async def test_a_request_says_how_it_is_to_be_evaluated(
    api: Api, asked: dict[str, Any], evaluation: dict[str, str]
) -> None:
    body = {"method": "spul", "subject": "the mayor", "scope": {"prompts": "always"}}
    answer = await api.call("POST", "/forget", json=body | asked)
    assert (answer.status_code, answer.json()["evaluation"], answer.json()["report"]) == (202, evaluation, None)


@pytest.mark.parametrize("wrong", [{"tier": "huge"}, {"keep": "all"}, {"gates": {}}, "smoke"], ids=json.dumps)
async def test_other_evidence_is_refused(api: Api, wrong: Any) -> None:
    answer = await api.call("POST", "/forget", json={"subject": "the mayor", "evidence": wrong})
    assert answer.status_code == 422
    assert answer.json()["error"]["param"].startswith("evidence")
