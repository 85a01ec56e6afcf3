"""The log as a whole: what waits becomes leaves under checkpoints, whoever is killed, cut off, late or replaced."""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path
from typing import Any

import pytest
from redis.asyncio import Redis

from gateway.errors import StateConflict
from gateway.evidence.errors import EvidenceKeyNotCurrent, KeyRevoked, LogInconsistent, LogUnavailable, UnknownSigner
from gateway.evidence.log.leaf import Entry, Leaf, opened
from gateway.evidence.log.merkle import check_consistency
from gateway.evidence.log.proof_file import ProofFile
from gateway.evidence.log.tiles import TileId
from gateway.evidence.signing.dsse import IN_TOTO, sign
from gateway.evidence.signing.rotation import KeySet, KeyState
from gateway.store.log import CHECKPOINT, SIZE, LogStore
from gateway.store.log_tail import LogTail
from gateway.store.records import RequestState
from gateway.store.requests import RequestStore
from tests.unit.gateway.evidence.samples import ORIGIN, signing_key
from tests.unit.gateway.service.log_host import LogHost
from tests.unit.gateway.store.samples import sample

FIRST, SECOND = (signing_key(number).public() for number in (1, 2))


@pytest.fixture
def host(redis: Redis, tmp_path: Path) -> LogHost:
    return LogHost(redis, tmp_path / "a")


def entry(number: int) -> Entry:
    return Entry("report", {"digest": f"sha256:{number:064x}"})


async def put(store: LogStore, numbers: range) -> None:
    for number in numbers:
        await store.put(entry(number), request="req_1", token=f"t{number}")


async def bodies(store: LogStore) -> list[dict[str, Any]]:
    """What is behind all leaves, each opened."""
    leaves = await store.leaves(0, 10**6)
    return [dict(opened(Leaf.from_bytes(leaf), await store.opening(i)).body) for i, leaf in enumerate(leaves)]


async def test_a_request_s_life_is_in_the_log(host: LogHost, redis: Redis) -> None:
    requests = RequestStore(redis)
    record, _ = await requests.create(sample(tenant="acme-tenant"), b"sealed")
    await requests.queue(record.id)
    await requests.transition(
        record.id,
        expected={RequestState.QUEUED},
        to=RequestState.FAILED,
        changes={"error": {"code": "out_of_time", "message": "a text of somebody's", "retryable": False}},
    )
    checkpoint = await host.settle()
    assert (checkpoint.origin, checkpoint.size) == (ORIGIN, 4)
    found = [body for body in await bodies(host.store) if "state" in body]
    assert [(body["previous"], body["state"], body["error"]) for body in found] == [
        (None, "registered", None),
        ("registered", "queued", None),
        ("queued", "failed", "out_of_time"),
    ]
    assert {body["request"] for body in found} == {record.id}
    assert {body["commitment"] for body in found} == {record.commitment}
    everything = b"".join(await host.store.leaves(0, 4)) + json.dumps(found).encode()
    assert b"somebody" not in everything
    assert record.tenant.encode() not in everything


async def test_append_answers_when_a_signed_checkpoint_covers_the_leaf(host: LogHost) -> None:
    async def sequence() -> None:
        while True:
            await host.sequencer.step()

    task = asyncio.create_task(sequence())
    index = await host.store.append(entry(1), request="req_1")
    task.cancel()
    file = ProofFile.from_text(await host.store.proof_file(index))
    leaf = (await host.store.leaves(index, index + 1))[0]
    checkpoint = file.check(leaf)
    assert (await host.store.keys()).checked_checkpoint(file.checkpoint)[0] == checkpoint
    assert opened(Leaf.from_bytes(leaf), await host.store.opening(index)) == entry(1)


async def test_append_waits_no_longer_than_it_is_told_and_logs_once(host: LogHost) -> None:
    for _ in range(2):
        with pytest.raises(LogUnavailable):
            await host.store.append(entry(1), token="once", timeout_s=0)
    await host.settle()
    assert await host.store.append(entry(1), token="once", timeout_s=0) == 0
    assert sum("digest" in body for body in await bodies(host.store)) == 1


@pytest.mark.parametrize("steps", [(1, 1, 1), (254, 1, 1, 1), (300,)])
async def test_every_checkpoint_is_the_one_before_and_more(host: LogHost, steps: tuple[int, ...]) -> None:
    before = await host.settle()
    done = 0
    for step in steps:
        await put(host.store, range(done, done + step))
        done += step
        after = await host.settle()
        proof = await host.store.consistency(before.size, after.size)
        check_consistency(before.size, after.size, before.root, after.root, proof)
        before = after
    assert before.size == done + 1
    assert [body for body in await bodies(host.store) if "digest" in body] == [entry(i).body for i in range(done)]
    leaves = await host.store.leaves(0, before.size)
    for index in {0, done // 2, done}:
        ProofFile.from_text(await host.store.proof_file(index)).check(leaves[index])


class Killed(BaseException):
    """As by kill -9: nobody catches it."""


@pytest.mark.parametrize("call", ["head", "commit", "root", "publish"])
@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("times", [1, 2])
async def test_nothing_is_lost_or_doubled_by_a_kill_at_any_step(
    redis: Redis, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str, when: str, times: int
) -> None:
    host = LogHost(redis, tmp_path / "a")
    before = await host.settle()
    await put(host.store, range(5))
    real = getattr(LogTail, call)
    calls = 0

    async def killed(*args: Any, **options: Any) -> Any:
        nonlocal calls
        calls += 1
        if when == "before" and calls == times:
            raise Killed
        result = await real(*args, **options)
        if calls == times:
            raise Killed
        return result

    with monkeypatch.context() as patch:
        patch.setattr(LogTail, call, killed)
        try:
            await host.sequencer.advance()
            await host.sequencer.advance()
        except Killed:
            pass
    again = LogHost(redis, tmp_path / "a")
    after = await again.settle()
    assert [body for body in await bodies(again.store) if "digest" in body] == [entry(i).body for i in range(5)]
    assert after.size == 6
    proof = await again.store.consistency(before.size, after.size)
    check_consistency(before.size, after.size, before.root, after.root, proof)


async def test_a_process_that_is_killed_while_it_sequences_leaves_a_whole_log(
    redis: Redis, redis_url: str, tmp_path: Path
) -> None:
    command = [sys.executable, "-m", "tests.unit.gateway.service.log_host", redis_url, str(tmp_path / "a")]
    process = await asyncio.create_subprocess_exec(*command)
    store, done = LogStore(redis), 0
    while await store.size() == 0:  # it comes up, and logs its key
        await asyncio.sleep(0.05)
    while await store.size() < 20:  # it is in the middle of them, wherever that is
        await put(store, range(done, done + 5))
        done += 5
    process.kill()
    await process.wait()
    host = LogHost(redis, tmp_path / "a")
    assert (await host.settle()).size == done + 1
    digests = [body["digest"] for body in await bodies(host.store) if "digest" in body]
    assert digests == [entry(number).body["digest"] for number in range(done)]


async def test_two_sequencers_at_once_make_one_log(redis: Redis, tmp_path: Path) -> None:
    hosts = [LogHost(redis, tmp_path / name) for name in "ab"]

    async def write(host: LogHost, numbers: range) -> None:
        for number in numbers:
            await host.store.put(entry(number), token=f"t{number}")
            await host.sequencer.advance()

    await asyncio.gather(write(hosts[0], range(12)), write(hosts[1], range(12, 24)), hosts[0].settle())
    checkpoint = await hosts[1].settle()
    digests = [body["digest"] for body in await bodies(hosts[0].store) if "digest" in body]
    assert sorted(digests) == [entry(i).body["digest"] for i in range(24)]
    assert checkpoint.size == 25
    await hosts[0].settle()
    assert hosts[0].file.load() == hosts[1].file.load() == checkpoint


async def test_hosts_whose_clocks_differ_make_one_order(
    redis: Redis, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Leaves have the time of Redis: what a host believes shows nowhere in them."""
    hosts = [LogHost(redis, tmp_path / name) for name in "ab"]
    requests = RequestStore(redis)
    for number, (host, skew_s) in enumerate(zip(hosts * 3, (-86_400, 86_400, 0) * 2, strict=True)):
        monkeypatch.setattr("time.time", lambda skew_s=skew_s: 1_000_000_000.0 + skew_s)
        await requests.create(sample(id=f"req_{number}"), b"sealed")
        await host.settle()
    leaves = [Leaf.from_bytes(leaf) for leaf in await hosts[0].store.leaves(0, 100)]
    times = [leaf.at for leaf in leaves]
    assert times == sorted(times)
    assert all(at > "2026" for at in times), "not what the hosts said"
    order = [body["request"] for body in await bodies(hosts[0].store) if "request" in body]
    assert order == [f"req_{number}" for number in range(6)]


@pytest.mark.parametrize(
    "damage",
    [
        "cut",
        "cut and grown",
        "flushed",
        "another leaf hash",
        "another leaf",
        "tile cut",
        "another root",
        "another name",
    ],
)
async def test_a_log_that_is_not_what_was_signed_is_not_signed(host: LogHost, redis: Redis, damage: str) -> None:
    await put(host.store, range(10))
    signed = await host.settle()
    tile = "log:tile:0:0"
    if damage.startswith("cut"):
        await redis.set(SIZE, 6)
        await redis.set(tile, (await host.store.tiles([TileId(0, 0)]))[TileId(0, 0)][: 6 * 32])
    if damage == "cut and grown":
        await put(host.store, range(20, 30))
        head = await host.store.head()
        await host.store.commit(6, head.waiting, None)
    elif damage == "flushed":
        await redis.flushall()
    elif damage == "another leaf hash":
        await redis.setrange(tile, 3 * 32, b"x" * 32)
    elif damage == "another leaf":
        await redis.setrange("log:tile:entries:0", 500, b"x")
    elif damage == "tile cut":
        await redis.set(tile, b"x" * 32)
    elif damage == "another root":
        note = await host.store.checkpoint()
        await redis.hset(CHECKPOINT, "note", note.replace("\n11\n", "\n10\n"))
    elif damage == "another name":
        await redis.set("log:keys", KeySet("other.example", (await host.store.keys()).known).to_pem())
    await put(host.store, range(40, 41))
    restarted = LogHost(redis, host.file.path.parent)
    if damage == "another leaf":  # a monitor reads it; the log's own tree is of hashes, and goes on
        await restarted.settle()
        with pytest.raises(Exception, match=r"leaf|JSON"):
            await bodies(restarted.store)
        return
    for each in (host, restarted):
        with pytest.raises(LogInconsistent):
            await each.sequencer.advance()
        assert each.metrics.log_refusals.labels("log_inconsistent")._value.get() == 1
    assert host.file.load() == signed


async def test_a_host_remembers_what_it_has_only_seen(redis: Redis, tmp_path: Path) -> None:
    signer, reader = LogHost(redis, tmp_path / "a"), LogHost(redis, tmp_path / "b")
    await put(signer.store, range(3))
    checkpoint = await signer.settle()
    await reader.sequencer.advance()
    assert reader.file.load() == checkpoint
    await redis.set(SIZE, 1)
    with pytest.raises(LogInconsistent):
        await reader.sequencer.advance()


async def test_a_damaged_checkpoint_file_is_not_taken_for_none(host: LogHost) -> None:
    await host.settle()
    host.file.path.write_text("log.example\n")
    with pytest.raises(LogInconsistent):
        await host.sequencer.advance()


async def test_a_log_goes_on_under_its_name(redis: Redis, tmp_path: Path) -> None:
    host = LogHost(redis, tmp_path / "a", origin=None)
    assert (await host.settle()).origin == "unlearning-gateway/" + FIRST.ed25519_id.removeprefix("sha256:")[:16]
    with pytest.raises(LogInconsistent, match=ORIGIN):
        await LogHost(redis, tmp_path / "b", origin=ORIGIN).sequencer.advance()


async def test_a_rotated_key_is_vouched_for_by_the_one_before(host: LogHost, redis: Redis) -> None:
    await put(host.store, range(3))
    await host.settle()
    old_note = await host.store.checkpoint()
    rotating = LogHost(redis, host.file.path.parent, 2, 1)
    change = await rotating.settle()
    keys = await rotating.store.keys()
    assert [(key.keys, key.state, key.since) for key in keys.known] == [
        (SECOND, KeyState.CURRENT, None),
        (FIRST, KeyState.RETIRED, change.size - 1),
    ]
    note = await rotating.store.checkpoint()
    for pem in (FIRST.to_pem(), SECOND.to_pem(), keys.to_pem()):
        assert KeySet.from_pem(pem).checked_checkpoint(note)[0] == change
    assert keys.checked_checkpoint(old_note)[0].size == 4, "what was signed before still counts"
    assert (await bodies(rotating.store))[-1]["event"] == "rotated"
    await put(rotating.store, range(5, 6))
    await rotating.settle()
    with pytest.raises(UnknownSigner):
        KeySet.from_pem(FIRST.to_pem()).checked_checkpoint(await rotating.store.checkpoint())
    # A host that has only the old key signs no more, and what it is told is logged all the same.
    await put(host.store, range(6, 7))
    with pytest.raises(EvidenceKeyNotCurrent):
        await host.sequencer.advance()
    assert (await LogHost(redis, host.file.path.parent, 2).settle()).size == change.size + 2


async def test_a_lost_key_is_replaced_by_an_operator_alone(host: LogHost, redis: Redis) -> None:
    await host.settle()
    new = LogHost(redis, host.file.path.parent, 2)
    await put(new.store, range(2))
    with pytest.raises(EvidenceKeyNotCurrent, match="rotate --lost"):
        await new.sequencer.advance()
    assert await new.sequencer.replace_key() == SECOND
    checkpoint = await new.settle()
    assert checkpoint.size == 4
    assert (await bodies(new.store))[-1]["event"] == "replaced"
    keys = await new.store.keys()
    assert keys.current == SECOND
    assert FIRST.to_pem() in keys.to_pem(), "the old public keys stay published"
    await new.settle()
    assert KeySet.from_pem(new.file.keys_path.read_text()) == keys


async def test_a_revoked_key_counts_for_what_was_logged_before(host: LogHost, redis: Redis) -> None:
    await host.settle()
    with pytest.raises(StateConflict, match="rotate first"):
        await host.sequencer.revoke_key(FIRST.ed25519_id)
    with pytest.raises(StateConflict, match="make another"):
        await host.sequencer.replace_key()
    with pytest.raises(UnknownSigner):
        await host.sequencer.revoke_key(SECOND.ed25519_id)
    envelope = sign(b"{}", IN_TOTO, signing_key(1))
    await host.store.put(Entry("certificate", {"digest": "sha256:00"}), token="certificate")
    await host.settle()
    old_proof = await host.store.proof_file(1)
    new = LogHost(redis, host.file.path.parent, 2, 1)
    await new.settle()
    await new.sequencer.revoke_key(FIRST.mldsa44_id)
    await new.settle()
    keys = await new.store.keys()
    assert [(key.state, key.since) for key in keys.known] == [(KeyState.CURRENT, None), (KeyState.REVOKED, 2)]
    assert (await bodies(new.store))[-1]["event"] == "revoked"
    # A proof of the revoked key's time is worth nothing, and one of today is what the log gives.
    with pytest.raises(KeyRevoked):
        keys.checked_checkpoint(ProofFile.from_text(old_proof).checkpoint)
    proof = ProofFile.from_text(await new.store.proof_file(1))
    proof.check((await new.store.leaves(1, 2))[0])
    keys.checked_checkpoint(proof.checkpoint)
    assert keys.checked_envelope(envelope, IN_TOTO, logged_at=1) == b"{}"
    with pytest.raises(KeyRevoked):
        keys.checked_envelope(envelope, IN_TOTO, logged_at=4)


async def test_a_key_revoked_before_anybody_signed_again_does_not_end_the_log(host: LogHost, redis: Redis) -> None:
    await host.settle()
    new = LogHost(redis, host.file.path.parent, 2)
    await new.sequencer.replace_key()
    head = await new.store.head()
    await new.sequencer._commit(head)
    await new.sequencer.revoke_key(FIRST.ed25519_id)
    await new.sequencer._commit(await new.store.head())
    assert (await new.settle()).size == 3


async def test_redaction_leaves_the_leaf_and_takes_what_is_behind_it(host: LogHost) -> None:
    await put(host.store, range(3))
    await host.store.put(entry(9), request="req_2", token="t9")
    before = await host.settle()
    assert [opening.body for opening in await host.store.openings("req_1")] == [entry(i).body for i in range(3)]
    assert await host.store.redact("req_1") == 3
    assert await host.store.redact("req_1") == 0
    assert await host.store.openings("req_1") == []
    assert [opening.body for opening in await host.store.openings("req_2")] == [entry(9).body]
    assert (await host.settle()) == before
    leaf = (await host.store.leaves(0, 1))[0]
    ProofFile.from_text(await host.store.proof_file(0)).check(leaf)


async def test_the_metrics_say_how_the_log_is(host: LogHost) -> None:
    await put(host.store, range(3))
    await host.settle()
    await put(host.store, range(3, 5))
    await host.sequencer.advance()
    assert host.metrics.log_waiting._value.get() == 2
    assert host.metrics.log_size._value.get() == 6
    assert host.metrics.log_checkpoint_age._value.get() >= 0
