"""`/keys` behind the real middleware: who gets in, what goes out, and what a key opens."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from redis.asyncio import Redis

from gateway.access.keyring import Keyring
from gateway.access.service import KeyService
from gateway.http.auth import Gatekeeper
from gateway.http.keys import router
from gateway.store.api_keys import ApiKeyStore
from gateway.store.generation import KEYS_FILE, GenerationFile
from tests.unit.gateway.http.test_middleware import CHAT, World, assert_error

OPERATOR = {"authorization": "Bearer op"}


class Keyed(World):
    """The middleware's world with the keys of a real store."""

    def __init__(self, folder: Path, redis: Redis, keys: Sequence[str] = ()) -> None:
        super().__init__(folder)
        store = ApiKeyStore(redis)
        self.keyring = Keyring(store, GenerationFile(folder, KEYS_FILE), staleness_s=60)
        self.app._gatekeeper = Gatekeeper("op", keys, self.keyring)
        inner: Any = self.app._app
        inner.include_router(router)
        inner.state.keys = KeyService(store, self.keyring)

    async def make(self, headers: dict[str, str] = OPERATOR, **body: Any) -> dict[str, str]:
        """The header of a new key's holder."""
        answer = await self.ask("POST", "/keys", headers=headers, json=body)
        assert answer.status_code == 201, answer.text
        assert answer.headers["location"] == f"/keys/{answer.json()['id']}"
        return {"authorization": f"Bearer {answer.json()['token']}"}

    async def status(self, method: str, path: str, headers: dict[str, str] | None = None, **options: Any) -> int:
        return (await self.ask(method, path, headers=headers, **options)).status_code


@pytest.fixture
async def world(redis: Redis, tmp_path: Path) -> Keyed:
    world = Keyed(tmp_path, redis, ["key"])
    await world.policy.refresh()
    await world.keyring.refresh()
    return world


@pytest.mark.parametrize(
    ("role", "model", "reads", "manages", "reads_keys", "makes_keys"),
    [
        ("client", 200, 403, 403, 403, 403),
        ("operator", 200, 200, 200, 200, 201),
        ("auditor", 403, 200, 403, 200, 403),
    ],
)
@pytest.mark.parametrize("tenant", ["acme", "default"])
async def test_what_each_role_may_do(
    world: Keyed, role: str, tenant: str, model: int, reads: int, manages: int, reads_keys: int, makes_keys: int
) -> None:
    holder = await world.make(role=role, tenant=tenant)
    assert await world.status("POST", CHAT, holder, json={}) == model
    assert await world.status("GET", "/v1/models", holder) == model
    assert await world.status("GET", "/forget", holder) == reads
    assert await world.status("POST", "/forget", holder, json={}) == manages
    assert await world.status("GET", "/keys", holder) == reads_keys
    assert await world.status("POST", "/keys", holder, json={}) == makes_keys
    off = {**holder, "x-unlearning-plan": "off"}
    everywhere = role == "operator" and tenant == "default"
    assert await world.status("POST", CHAT, off, json={}) == (200 if everywhere else 403)


async def test_nobody_without_a_key_reads_or_makes_keys(redis: Redis, tmp_path: Path) -> None:
    world = Keyed(tmp_path, redis)
    await world.policy.refresh()
    await world.keyring.refresh()
    assert await world.status("POST", CHAT, json={}) == 200
    assert await world.status("GET", "/forget") == 200
    for method in ("GET", "POST"):
        assert_error(await world.ask(method, "/keys", json={}), 401, "invalid_api_key")


async def test_the_first_key_closes_an_open_service_for_good(redis: Redis, tmp_path: Path) -> None:
    world = Keyed(tmp_path, redis)
    await world.policy.refresh()
    await world.keyring.refresh()
    holder = await world.make()
    key_id = (await world.ask("GET", "/keys", headers=OPERATOR)).json()["data"][0]["id"]
    for _ in range(2):
        assert await world.status("POST", CHAT, json={}) == 401
        assert await world.status("GET", "/forget") == 401
        assert await world.status("POST", CHAT, {"authorization": "Bearer anything"}, json={}) == 401
        assert await world.status("DELETE", f"/keys/{key_id}", OPERATOR) == 200
    assert await world.status("POST", CHAT, holder, json={}) == 401
    assert await world.status("POST", CHAT, OPERATOR, json={}) == 200


async def test_the_settings_keys_go_on_working_beside_made_ones(world: Keyed) -> None:
    await world.make()
    assert await world.status("POST", CHAT, {"authorization": "Bearer key"}, json={}) == 200
    assert await world.status("GET", "/keys", {"authorization": "Bearer key"}) == 403


async def test_a_token_is_in_one_answer_alone(world: Keyed) -> None:
    made = await world.ask("POST", "/keys", headers=OPERATOR, json={"name": "ci"})
    assert made.headers["cache-control"] == "no-store"
    key = made.json()
    path = f"/keys/{key['id']}"
    rotated = await world.ask("POST", f"{path}/rotate", headers=OPERATOR)
    assert rotated.json()["token"] != key["token"]
    assert rotated.headers["cache-control"] == "no-store"
    for answer in (
        await world.ask("GET", "/keys", headers=OPERATOR),
        await world.ask("GET", path, headers=OPERATOR),
        await world.ask("DELETE", path, headers=OPERATOR),
    ):
        assert answer.status_code == 200
        assert "digest" not in answer.text
        assert key["token"] not in answer.text
        assert rotated.json()["token"] not in answer.text
        assert rotated.json()["prefix"] in answer.text


async def test_anothers_key_is_not_there(world: Keyed) -> None:
    acme = await world.make(role="operator", tenant="acme")
    await world.make(tenant="other")
    key_id = (await world.ask("GET", "/keys", headers=OPERATOR)).json()["data"][0]["id"]
    for method, path in (("GET", ""), ("DELETE", ""), ("POST", "/rotate")):
        absent = await world.ask(method, f"/keys/key_absent{path}", headers=acme)
        theirs = await world.ask(method, f"/keys/{key_id}{path}", headers=acme)
        assert_error(theirs, 404, "not_found")
        assert theirs.text.replace(key_id, "key_absent") == absent.text
    listed = (await world.ask("GET", "/keys", headers=acme)).json()["data"]
    assert {key["tenant"] for key in listed} == {"acme"}


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"role": "admin"}, "role"),
        ({"tenant": "Acme"}, "tenant"),
        ({"tenant": "a|b"}, "tenant"),
        ({"tenant": ""}, "tenant"),
        ({"tenant": "a" * 65}, "tenant"),
        ({"name": "a\u001bb"}, "name"),
        ({"expires_in_s": 0}, "expires_in_s"),
        ({"limits": {"tokens_per_minute": 0}}, "limits.tokens_per_minute"),
        ({"limits": {"tokens": 5}}, "limits.tokens"),
        ({"token": "ug-mine"}, "token"),
    ],
)
async def test_bodies_that_are_refused(world: Keyed, body: dict[str, Any], field: str) -> None:
    answer = await world.ask("POST", "/keys", headers=OPERATOR, json=body)
    assert_error(answer, 422, "unprocessable")
    assert answer.json()["error"]["param"] == field


async def test_each_model_request_names_its_key(world: Keyed, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", "gateway.access")
    holder = await world.make(tenant="acme")
    await world.ask("POST", CHAT, headers=holder, json={})
    await world.ask("POST", CHAT, headers={"authorization": "Bearer key"}, json={})
    key_id = (await world.ask("GET", "/keys", headers=OPERATOR)).json()["data"][0]["id"]
    first, second = [record.message for record in caplog.records if record.name == "gateway.access"]
    assert f"key={key_id} tenant=acme" in first
    assert "key=setting-1 tenant=default" in second
    assert json.dumps(caplog.messages).count("Bearer") == 0
