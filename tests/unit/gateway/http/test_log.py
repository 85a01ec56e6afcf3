"""`/log` and `/evidence` behind the real middleware, on a real store: a reader who has only HTTP checks it all."""

from __future__ import annotations

import base64
import gzip
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from redis.asyncio import Redis

from gateway.access.keyring import Keyring
from gateway.access.service import KeyService
from gateway.evidence.log.checkpoint import COSIGNATURE_MLDSA44, Checkpoint, NoteKey, cosignature, sign
from gateway.evidence.log.leaf import Leaf, Opening, opened
from gateway.evidence.log.merkle import check_consistency, leaf_hash, root
from gateway.evidence.log.note import Note
from gateway.evidence.log.proof_file import ProofFile
from gateway.evidence.log.tiles import split_bundle
from gateway.evidence.signing.rotation import KeySet
from gateway.http import keys as key_routes
from gateway.http import log as log_routes
from gateway.http.auth import Gatekeeper
from gateway.http.log import LogAccess
from gateway.store.api_keys import ApiKeyStore
from gateway.store.generation import KEYS_FILE, GenerationFile
from gateway.store.requests import RequestStore
from tests.unit.gateway.evidence.samples import ORIGIN, signing_key
from tests.unit.gateway.http.test_middleware import World, assert_error, operator
from tests.unit.gateway.service.log_host import LogHost
from tests.unit.gateway.service.test_sequencer import put
from tests.unit.gateway.store.samples import sample

WITNESS = NoteKey("witness.example/w1", COSIGNATURE_MLDSA44, signing_key(9).public().mldsa44)


class Logged(World):
    """The middleware's world with a log: a key, a request, and reports."""

    def __init__(self, folder: Path, redis: Redis) -> None:
        super().__init__(folder, max_body_bytes=100_000)
        self.host = LogHost(redis, folder)
        self.requests = RequestStore(redis)
        store = ApiKeyStore(redis)
        self.keyring = Keyring(store, GenerationFile(folder, KEYS_FILE), staleness_s=60)
        self.app._gatekeeper = Gatekeeper("op", ["key"], self.keyring)
        inner: Any = self.app._app
        inner.include_router(log_routes.router)
        inner.include_router(key_routes.router)
        inner.state.log = LogAccess(self.host.store, self.host.sequencer, (WITNESS,))
        inner.state.keys = KeyService(store, self.keyring)
        inner.state.unlearning = SimpleNamespace(store=self.requests)

    async def text(self, path: str) -> str:
        answer = await self.ask("GET", path)
        assert answer.status_code == 200, answer.text
        assert answer.headers["content-type"] == "text/plain; charset=utf-8"
        return answer.text

    async def holder(self, role: str, tenant: str) -> dict[str, str]:
        answer = await self.ask("POST", "/keys", headers=operator(), json={"role": role, "tenant": tenant})
        return {"authorization": f"Bearer {answer.json()['token']}"}

    async def fill(self, leaves: int) -> None:
        await self.keyring.refresh()
        await self.host.settle()
        await self.requests.create(sample(id="req_own", tenant="acme"), b"sealed")
        await put(self.host.store, range(leaves - 2))
        await self.host.settle()


@pytest.fixture
async def world(redis: Redis, tmp_path: Path) -> Logged:
    """With seven leaves."""
    world = Logged(tmp_path, redis)
    await world.fill(7)
    return world


async def test_who_has_only_http_checks_the_whole_log(redis: Redis, tmp_path: Path) -> None:
    world = Logged(tmp_path, redis)
    await world.fill(300)
    keys = KeySet.from_pem(await world.text("/evidence/keys"))
    checkpoint, _ = keys.checked_checkpoint(await world.text("/log/checkpoint"))
    assert (checkpoint.origin, checkpoint.size) == (ORIGIN, 300)
    bundles = [await world.ask("GET", f"/log/tile/entries/{path}") for path in ("000", "001.p/44")]
    leaves = [leaf for bundle in bundles for leaf in split_bundle(bundle.content)]
    hashes = b"".join([(await world.ask("GET", f"/log/tile/0/{path}")).content for path in ("000", "001.p/44")])
    assert b"".join(map(leaf_hash, leaves)) == hashes
    assert root(list(map(leaf_hash, leaves))) == checkpoint.root
    assert (await world.ask("GET", "/log/tile/1/000.p/1")).content == root(list(map(leaf_hash, leaves[:256])))
    file = ProofFile.from_text(await world.text("/log/proof/260"))
    assert file.check(leaves[260]) == checkpoint
    answer = (await world.ask("GET", "/log/consistency?old=257&new=300")).json()
    proof = [base64.b64decode(each) for each in answer["proof"]]
    check_consistency(257, 300, root(list(map(leaf_hash, leaves[:257]))), checkpoint.root, proof)


async def test_tiles_may_be_kept_and_checkpoints_may_not(world: Logged) -> None:
    tile = await world.ask("GET", "/log/tile/0/000.p/7")
    assert tile.headers["content-type"] == "application/octet-stream"
    assert "immutable" in tile.headers["cache-control"]
    assert (await world.ask("GET", "/log/checkpoint")).headers["cache-control"] == "max-age=1"
    plain = await world.ask("GET", "/log/tile/entries/000.p/7", headers={"accept-encoding": "identity"})
    packed = await world.ask("GET", "/log/tile/entries/000.p/7", headers={"accept-encoding": "gzip"})
    assert (packed.headers["content-encoding"], "content-encoding" in plain.headers) == ("gzip", False)
    assert packed.content == plain.content
    assert int(packed.headers["content-length"]) == len(gzip.compress(plain.content, mtime=0)) < len(plain.content)
    narrower = (await world.ask("GET", "/log/tile/0/000.p/3")).content
    assert tile.content.startswith(narrower)
    assert len(narrower) == 3 * 32


@pytest.mark.parametrize(
    "path",
    [
        "tile/0/001",
        "tile/0/001.p/45",
        "tile/0/002.p/1",
        "tile/2/000.p/1",
        "tile/entries/002.p/1",
        "tile/0/1",
        "tile/x",
        "proof/300",
        "consistency?old=3&new=301",
        "consistency?old=5&new=4",
        "cosigned",
        "nothing",
    ],
)
async def test_what_the_log_does_not_have_is_not_found(world: Logged, path: str) -> None:
    assert (await world.ask("GET", f"/log/{path}")).status_code == 404


@pytest.mark.parametrize(
    "path", ["proof/-1", "proof/x", f"proof/{2**63}", "consistency?old=1", "consistency?old=a&new=1"]
)
async def test_what_makes_no_sense_is_said(world: Logged, path: str) -> None:
    assert_error(await world.ask("GET", f"/log/{path}"), 422, "unprocessable")


async def test_an_empty_log_has_nothing_to_show(redis: Redis, tmp_path: Path) -> None:
    world = Logged(tmp_path, redis)
    await world.keyring.refresh()
    for path in ("/log/checkpoint", "/log/proof/0", "/evidence/keys", "/log/tile/0/000.p/1"):
        assert_error(await world.ask("GET", path), 404, "not_found")
    assert_error(await world.ask("POST", "/log/cosignatures", content=b""), 404, "not_found")


async def test_a_witness_s_line_is_served_with_its_checkpoint(world: Logged) -> None:
    note = await world.text("/log/checkpoint")
    parsed = Note.parse(note)
    line = cosignature(Checkpoint.parse(parsed.text), WITNESS.name, signing_key(9), 1_800_000_000)
    stranger = cosignature(Checkpoint.parse(parsed.text), "stranger.example", signing_key(8), 1_800_000_000)
    sent = await world.ask("POST", "/log/cosignatures", content=f"{note}{stranger}{line}".encode())
    assert sent.json() == {"size": 7, "witnesses": [str(WITNESS)], "kept": True}
    assert await world.text("/log/checkpoint") == await world.text("/log/cosigned") == f"{note}{line}"
    await put(world.host.store, range(400, 402))
    await world.host.settle()
    assert "\n9\n" in await world.text("/log/checkpoint")
    assert WITNESS.name not in await world.text("/log/checkpoint")
    assert await world.text("/log/cosigned") == f"{note}{line}"
    assert ProofFile.from_text(await world.text("/log/proof/6")).checkpoint == f"{note}{line}"
    assert ProofFile.from_text(await world.text("/log/proof/8")).claimed().size == 9


@pytest.mark.parametrize(
    ("name", "code"),
    [
        ("nobody", "unknown_signer"),
        ("stranger", "unknown_signer"),
        ("forged", "signature_invalid"),
        ("not the log", "unknown_signer"),
        ("another tree", "consistency_invalid"),
        ("no note", "malformed"),
        ("no text", "malformed"),
    ],
)
async def test_other_cosignatures_are_refused(world: Logged, name: str, code: str) -> None:
    note = await world.text("/log/checkpoint")
    checkpoint = Checkpoint.parse(Note.parse(note).text)
    line = str(cosignature(checkpoint, WITNESS.name, signing_key(9), 1))
    fork = Checkpoint(ORIGIN, 7, bytes(32))
    sent = {
        "nobody": note,
        "stranger": note + str(cosignature(checkpoint, WITNESS.name, signing_key(8), 1)),
        "forged": note + str(cosignature(fork, WITNESS.name, signing_key(9), 1)),
        "not the log": str(Note(checkpoint.text, ())) + line,
        "another tree": str(sign(fork, [signing_key()], 1)) + str(cosignature(fork, WITNESS.name, signing_key(9), 1)),
        "no note": "a line\n",
        "no text": "\udcff\n\n",
    }
    content = sent[name].encode("utf-8", "surrogateescape")
    answer = await world.ask("POST", "/log/cosignatures", content=content)
    assert_error(answer, 422, code)


async def test_what_is_behind_a_leaf_is_for_who_may_see_the_request(world: Logged) -> None:
    path = "/forget/req_own/openings"
    answer = await world.ask("GET", path, headers=await world.holder("auditor", "acme"))
    assert answer.headers["cache-control"] == "no-store"
    (opening,) = map(Opening.from_dict, answer.json()["data"])
    leaf = (await world.host.store.leaves(opening.index, opening.index + 1))[0]
    assert opened(Leaf.from_bytes(leaf), opening).body["request"] == "req_own"
    for role, tenant, status in (("client", "acme", 403), ("auditor", "other", 404), ("operator", "other", 404)):
        assert (await world.ask("GET", path, headers=await world.holder(role, tenant))).status_code == status
    assert (await world.ask("GET", path)).status_code == 401


async def test_only_the_request_s_operator_redacts(world: Logged) -> None:
    path = "/log/redact/req_own"
    for role, tenant, status in (("client", "acme", 403), ("auditor", "acme", 403), ("operator", "other", 404)):
        assert (await world.ask("POST", path, headers=await world.holder(role, tenant))).status_code == status
    assert (await world.ask("POST", path)).status_code == 401
    answer = await world.ask("POST", path, headers=await world.holder("operator", "acme"))
    assert answer.json() == {"request": "req_own", "redacted": 1}
    assert (await world.ask("GET", "/forget/req_own/openings", headers=operator())).json()["data"] == []
    assert_error(await world.ask("POST", "/log/redact/req_none", headers=operator()), 404, "not_found")


async def test_only_the_operator_changes_keys(world: Logged, redis: Redis) -> None:
    first = signing_key(1).public()
    for path in ("/evidence/keys/replace", f"/evidence/keys/{first.ed25519_id}/revoke"):
        assert (await world.ask("POST", path)).status_code == 403
        assert (await world.ask("POST", path, headers=await world.holder("operator", "acme"))).status_code == 403
    refused = await world.ask("POST", f"/evidence/keys/{first.ed25519_id}/revoke", headers=operator())
    assert_error(refused, 409, "state_conflict")
    world.host = LogHost(redis, world.host.file.path.parent, 2)
    inner: Any = world.app._app
    inner.state.log = LogAccess(world.host.store, world.host.sequencer, ())
    replaced = await world.ask("POST", "/evidence/keys/replace", headers=operator())
    assert replaced.json()["ed25519"] == signing_key(2).public().ed25519_id
    await world.host.settle()
    revoked = await world.ask("POST", f"/evidence/keys/{first.mldsa44_id}/revoke", headers=operator())
    assert revoked.status_code == 200
    await world.host.settle()
    states = [key.state for key in KeySet.from_pem(await world.text("/evidence/keys")).known]
    assert states == ["current", "revoked"]
    unknown = await world.ask("POST", "/evidence/keys/sha256:00/revoke", headers=operator())
    assert_error(unknown, 422, "unknown_signer")
