"""`/forget` of several tenants: what each sees, makes and may change."""

from __future__ import annotations

import logging
from typing import Any

import pytest

from gateway.access.api_key import ApiKey, Role
from gateway.store.notes import Note
from gateway.store.records import RequestState
from tests.unit.gateway.access.samples import sample_key
from tests.unit.gateway.http.test_auth import Issued
from tests.unit.gateway.http.test_forget import BODY, PUT, Api
from tests.unit.gateway.requests.test_service import Setup, setup  # noqa: F401  # a fixture
from tests.unit.gateway.store.samples import stored

HOLDERS: dict[str, ApiKey] = {
    token: sample_key(token, role=role, tenant=tenant)
    for token, role, tenant in [
        ("acme", Role.OPERATOR, "acme"),
        ("acme-auditor", Role.AUDITOR, "acme"),
        ("other", Role.OPERATOR, "other"),
        ("auditor", Role.AUDITOR, "default"),
        ("second-operator", Role.OPERATOR, "default"),
    ]
}
READS = [("GET", "", None), ("GET", "/events", None)]
CHANGES: list[tuple[str, str, Any]] = [
    ("GET", "/examples", None),
    ("PUT", "/examples", PUT),
    ("POST", "/train", None),
    ("POST", "/activate", None),
    ("POST", "/deactivate", None),
    ("DELETE", "", None),
]


@pytest.fixture
def api(setup: Setup) -> Api:  # noqa: F811
    return Api(setup, keys=["key"], issued=Issued(*HOLDERS.values()))


async def registered(api: Api, token: str, **body: Any) -> dict[str, Any]:
    answer = await api.call("POST", "/forget", token, json=BODY | body)
    assert answer.status_code == 202, answer.text
    record: dict[str, Any] = answer.json()
    return record


@pytest.mark.parametrize(
    ("token", "named", "tenant"),
    [
        ("acme", None, "acme"),
        ("acme", "acme", "acme"),
        ("other", None, "other"),
        ("op", None, "default"),
        ("op", "acme", "acme"),
        ("op", "default", "default"),
        ("second-operator", "other", "other"),
        ("acme", "other", None),
        ("acme", "default", None),
        ("acme-auditor", None, None),
        ("key", None, None),
    ],
)
async def test_whose_request_is_made(api: Api, token: str, named: str | None, tenant: str | None) -> None:
    answer = await api.call("POST", "/forget", token, json=BODY | ({} if named is None else {"tenant": named}))
    if tenant is None:
        assert answer.status_code == 403
        assert (await api.setup.store.list()).items == []
    else:
        assert (answer.status_code, answer.json()["tenant"]) == (202, tenant)


@pytest.mark.parametrize("named", ["Acme", "a|b", "", "x" * 65, 5])
async def test_names_that_no_tenant_has(api: Api, named: Any) -> None:
    answer = await api.call("POST", "/forget", "op", json=BODY | {"tenant": named})
    assert (answer.status_code, answer.json()["error"]["param"]) == (422, "tenant")


async def test_each_sees_its_own_and_everybodys(api: Api) -> None:
    made = {token: (await registered(api, token))["id"] for token in ("acme", "other", "op")}
    seen = {
        "acme": {"acme", "op"},
        "acme-auditor": {"acme", "op"},
        "other": {"other", "op"},
        "auditor": set(made),
        "op": set(made),
    }
    for token, owners in seen.items():
        listed = (await api.call("GET", "/forget", token)).json()["data"]
        assert {record["id"] for record in listed} == {made[owner] for owner in owners}
        for owner, request_id in made.items():
            for method, step, _ in READS[: None if owner not in owners else 1]:
                answer = await api.call(method, f"/forget/{request_id}{step}", token)
                assert answer.status_code == (200 if owner in owners else 404), (token, owner, step)


@pytest.mark.parametrize(("method", "step", "body"), [*READS, *CHANGES])
async def test_anothers_request_is_not_there(api: Api, method: str, step: str, body: Any) -> None:
    path = await api.draft("other")
    theirs = await api.call(method, path + step, "acme", json=body)
    absent = await api.call(method, f"/forget/req_absent{step}", "acme", json=body)
    assert theirs.status_code == absent.status_code == 404
    assert theirs.text.replace(path.removeprefix("/forget/"), "req_absent") == absent.text


@pytest.mark.parametrize(("method", "step", "body"), CHANGES)
async def test_everybodys_request_is_seen_and_not_touched(api: Api, method: str, step: str, body: Any) -> None:
    path = await api.draft("op")
    answer = await api.call(method, path + step, "acme", json=body)
    assert (answer.status_code, answer.json()["error"]["code"]) == (403, "operator_only")
    assert (await api.setup.store.get(path.removeprefix("/forget/"))).state is RequestState.DRAFTED


@pytest.mark.parametrize(("method", "step", "body"), CHANGES)
@pytest.mark.parametrize("token", ["acme-auditor", "auditor"])
async def test_an_auditor_reads_records_and_neither_texts_nor_changes(
    api: Api, token: str, method: str, step: str, body: Any
) -> None:
    path = await api.draft("acme")
    assert (await api.call("GET", path, token)).status_code == 200
    assert (await api.call(method, path + step, token, json=body)).status_code == 403
    assert (await api.setup.store.get(path.removeprefix("/forget/"))).state is RequestState.DRAFTED


async def test_of_a_request_of_everybodys_each_sees_what_it_does_beside_its_own(api: Api) -> None:
    store = api.setup.store
    everybodys = await stored(store, RequestState.ACTIVE)
    for tenant in ("acme", "other"):
        new = await stored(store, RequestState.READY, id=tenant, tenant=tenant)
        own, theirs = ({"with": beside.id, "tenant": beside.tenant, "message": "said"} for beside in (everybodys, new))
        note = Note(everybodys.id, own, theirs, lost=False)
        await store.transition(tenant, expected={RequestState.READY}, to=RequestState.ACTIVE, notes=[note])
    for token, seen in (("acme", ["acme"]), ("other", ["other"]), ("auditor", ["acme", "other"])):
        answers = [await api.call("GET", path, token) for path in (f"/forget/{everybodys.id}", "/forget?state=active")]
        listed = [each for each in answers[1].json()["data"] if each["id"] == everybodys.id]
        for shown in (answers[0].json(), *listed):
            assert [note["with"] for note in shown["interference"]] == seen


async def test_an_idempotency_key_is_its_tenants(api: Api) -> None:
    key = {"Idempotency-Key": "once"}
    made = [
        (await api.call("POST", "/forget", token, json=BODY, headers=key)).json()["id"]
        for token in ("acme", "acme", "other", "op")
    ]
    assert made[0] == made[1]
    assert len(set(made)) == 3
    conflict = await api.call("POST", "/forget", "op", json=BODY | {"subject": "another"}, headers=key)
    assert conflict.status_code == 409


async def test_the_audit_log_says_who_did_what(api: Api, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "gateway.audit")
    record = await registered(api, "acme")
    await api.call("DELETE", f"/forget/{record['id']}", "op")
    first, last = [each.message for each in caplog.records if each.name == "gateway.audit"]
    assert f"registered request={record['id']} tenant=acme" in first
    assert first.endswith("by=key_acme")
    assert last == f"retired request={record['id']} by=operator-token"
