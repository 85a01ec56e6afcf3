"""Keys of a service: who may make and change which, over a real store."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import pytest
from redis.asyncio import Redis

from gateway.access.api_key import Limits, Role, token_digest
from gateway.access.caller import Caller
from gateway.access.keyring import Keyring
from gateway.access.schemas import KeyBody
from gateway.access.service import KeyService
from gateway.errors import Forbidden, NotFound, StateConflict
from gateway.http.auth import OPERATOR
from gateway.store.api_keys import ApiKeyStore
from gateway.store.generation import KEYS_FILE, GenerationFile

ACME = Caller("key_acme", Role.OPERATOR, "acme", Limits(requests_per_minute=100))
OTHER = Caller("key_other", Role.OPERATOR, "other")


class World:
    """One replica's service and keyring, and another replica's keyring."""

    def __init__(self, redis: Redis, folder: Path) -> None:
        store = ApiKeyStore(redis)
        self.keyring, self.elsewhere = (
            Keyring(store, GenerationFile(folder, f"{number}{KEYS_FILE}"), staleness_s=60) for number in (1, 2)
        )
        self.service = KeyService(store, self.keyring)

    async def made(self, caller: Caller = OPERATOR, **body: Any) -> tuple[str, str]:
        key, token = await self.service.create(caller, KeyBody(**body))
        return key.id, token

    def holder(self, token: str) -> str | None:
        key = self.keyring.find(token_digest(token))
        return None if key is None else key.id


@pytest.fixture
def world(redis: Redis, tmp_path: Path) -> World:
    return World(redis, tmp_path)


async def test_a_key_counts_at_once_here_and_elsewhere_after_a_refresh(world: World) -> None:
    key_id, token = await world.made(tenant="acme", limits={"tokens_per_minute": 5}, expires_in_s=60)
    found = world.keyring.find(token_digest(token))
    assert found is not None
    assert (found.id, found.tenant, found.role, found.limits) == (key_id, "acme", Role.CLIENT, Limits(None, 5))
    await world.elsewhere.refresh()
    assert world.elsewhere.find(token_digest(token)) == found
    await world.service.revoke(OPERATOR, key_id)
    assert world.holder(token) is None
    await world.elsewhere.refresh()
    assert world.elsewhere.find(token_digest(token)) is None


async def test_neither_the_token_nor_what_finds_it_is_in_redis_or_a_log(
    world: World, redis: Redis, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    key_id, first = await world.made(name="ci")
    _, second = await world.service.rotate(OPERATOR, key_id, 60)
    await world.service.revoke(OPERATOR, key_id)
    held = b"".join([name + (await redis.dump(name) or b"") async for name in redis.scan_iter()])
    for token in (first, second):
        assert token[10:].encode() not in held
        assert token[10:] not in caplog.text
    changes = [record.message for record in caplog.records if record.name == "gateway.audit"]
    assert [line.split(" ")[1] for line in changes] == ["created", "rotated", "revoked"]
    assert all(f"key={key_id}" in line and "by=operator-token" in line for line in changes)


async def test_the_token_before_a_rotation_counts_for_its_grace(world: World) -> None:
    key_id, first = await world.made()
    _, second = await world.service.rotate(OPERATOR, key_id, 60)
    assert world.holder(first) == world.holder(second) == key_id
    _, third = await world.service.rotate(OPERATOR, key_id, 0)
    assert world.holder(first) is world.holder(second) is None
    assert world.holder(third) == key_id


async def test_what_is_over_is_not_rotated_and_revoked_once(world: World) -> None:
    key_id, _ = await world.made()
    revoked = await world.service.revoke(OPERATOR, key_id)
    assert await world.service.revoke(OPERATOR, key_id) == revoked
    with pytest.raises(StateConflict, match="revoked or expired"):
        await world.service.rotate(OPERATOR, key_id, 60)


async def test_a_tenants_operator_manages_its_own_keys_and_sees_no_others(world: World) -> None:
    own, _ = await world.made(ACME)
    others, _ = await world.made(OTHER, role="auditor")
    everybodys, _ = await world.made()
    assert {key.id for key in await world.service.list(ACME)} == {own}
    assert {key.id for key in await world.service.list(OPERATOR)} == {own, others, everybodys}
    for key_id in (others, everybodys, "key_absent"):
        for refused in (
            world.service.get(ACME, key_id),
            world.service.revoke(ACME, key_id),
            world.service.rotate(ACME, key_id, 0),
        ):
            with pytest.raises(NotFound, match=key_id):
                await refused
    assert (await world.service.revoke(ACME, own)).revoked_at is not None


@pytest.mark.parametrize("tenant", ["other", "default"])
async def test_a_tenants_operator_makes_keys_of_its_tenant_alone(world: World, tenant: str) -> None:
    with pytest.raises(Forbidden):
        await world.made(ACME, tenant=tenant)
    assert (await world.service.get(ACME, (await world.made(ACME, tenant="acme"))[0])).created_by == "key_acme"


@pytest.mark.parametrize(
    ("asked", "kept"),
    [
        ({}, Limits(100)),
        ({"requests_per_minute": 100}, Limits(100)),
        ({"requests_per_minute": 5, "concurrent_requests": 2}, Limits(5, None, 2)),
        ({"requests_per_minute": 101}, None),
    ],
)
async def test_no_key_allows_more_than_the_one_that_makes_it(
    world: World, asked: dict[str, int], kept: Limits | None
) -> None:
    if kept is None:
        with pytest.raises(Forbidden, match="more than the key that makes it"):
            await world.made(ACME, limits=asked)
        return
    key_id, _ = await world.made(ACME, limits=asked)
    assert (await world.service.get(ACME, key_id)).limits == kept
