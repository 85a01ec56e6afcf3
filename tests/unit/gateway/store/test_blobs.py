from __future__ import annotations

import hashlib
import os
from pathlib import Path

import pytest
from redis.asyncio import Redis

from gateway.errors import AdapterUnavailable
from gateway.store.blobs import CHUNK_BYTES, BlobStore


@pytest.fixture
def blobs(redis: Redis, tmp_path: Path) -> BlobStore:
    return BlobStore(redis, tmp_path)


def local(tmp_path: Path, digest: str) -> Path:
    return tmp_path / "adapters" / f"{digest}.safetensors"


@pytest.mark.parametrize("size", [0, 1, CHUNK_BYTES, CHUNK_BYTES + 1, 3 * CHUNK_BYTES + 7])
async def test_what_was_put_comes_back(blobs: BlobStore, redis: Redis, tmp_path: Path, size: int) -> None:
    data = os.urandom(size)
    digest = await blobs.put(data)
    assert digest == hashlib.sha256(data).hexdigest()
    local(tmp_path, digest).unlink()
    assert await blobs.get(digest) == data
    chunks = await redis.keys(f"blob:{{{digest}}}:[0-9]*")
    assert len(chunks) == -(-size // CHUNK_BYTES)
    assert all([await redis.ttl(name) == -1 for name in chunks]), "committed chunks do not expire"
    assert local(tmp_path, digest).read_bytes() == data, "and is cached again"


async def test_a_changed_chunk_is_noticed(blobs: BlobStore, redis: Redis, tmp_path: Path) -> None:
    digest = await blobs.put(os.urandom(2 * CHUNK_BYTES))
    local(tmp_path, digest).unlink()
    await redis.setrange(f"blob:{{{digest}}}:1", 5, b"tampered")
    with pytest.raises(AdapterUnavailable, match="damaged"):
        await blobs.get(digest)
    assert not local(tmp_path, digest).exists()


async def test_a_missing_chunk_is_noticed(blobs: BlobStore, redis: Redis, tmp_path: Path) -> None:
    digest = await blobs.put(os.urandom(2 * CHUNK_BYTES))
    local(tmp_path, digest).unlink()
    await redis.delete(f"blob:{{{digest}}}:0")
    with pytest.raises(AdapterUnavailable, match="damaged"):
        await blobs.get(digest)


async def test_a_changed_file_is_replaced_from_redis(blobs: BlobStore, tmp_path: Path) -> None:
    digest = await blobs.put(b"artifact")
    local(tmp_path, digest).write_bytes(b"tampered")
    assert await blobs.get(digest) == b"artifact"
    assert local(tmp_path, digest).read_bytes() == b"artifact"


async def test_the_file_alone_is_enough(blobs: BlobStore, redis: Redis) -> None:
    digest = await blobs.put(b"artifact")
    await redis.flushall()
    assert await blobs.get(digest) == b"artifact"
    assert not await blobs.exists(digest)


@pytest.mark.parametrize("digest", ["", "abc", "../../etc/passwd", "A" * 64])
async def test_names_that_are_no_digest_are_refused(blobs: BlobStore, digest: str) -> None:
    with pytest.raises(AdapterUnavailable, match="SHA-256"):
        await blobs.get(digest)


async def test_a_cache_that_cannot_be_written_costs_nothing_but_speed(redis: Redis, tmp_path: Path) -> None:
    (tmp_path / "adapters").write_text("a file in the way")
    blobs = BlobStore(redis, tmp_path)
    assert await blobs.get(await blobs.put(b"artifact")) == b"artifact"


async def test_the_last_owner_to_release_a_blob_deletes_it(blobs: BlobStore, redis: Redis, tmp_path: Path) -> None:
    digest = await blobs.put(os.urandom(CHUNK_BYTES + 1), owner="req_a")
    assert await blobs.put(local(tmp_path, digest).read_bytes(), owner="req_b") == digest
    await blobs.release(digest, owner="req_a")
    assert await blobs.exists(digest)
    await blobs.release(digest, owner="req_b")
    assert [key async for key in redis.scan_iter("blob:*")] == []
    assert not local(tmp_path, digest).exists()
    with pytest.raises(AdapterUnavailable, match="not in the store"):
        await blobs.get(digest)
    await blobs.release(digest, owner="req_b")


async def test_a_host_may_keep_no_copies(redis: Redis, blobs: BlobStore, tmp_path: Path) -> None:
    apart = BlobStore(redis, None)
    digest = await apart.put(b"artifact")
    assert await apart.get(digest) == b"artifact"
    assert await apart.local() == await blobs.local() == frozenset()
    await blobs.get(digest)
    assert await blobs.local() == {digest}
    await apart.discard(digest)
    assert local(tmp_path, digest).exists(), "another host's copy is not its own"


async def test_what_a_writer_died_over_goes_when_it_is_old(blobs: BlobStore, tmp_path: Path) -> None:
    digest = await blobs.put(b"artifact")
    fresh, stale, other = (tmp_path / "adapters" / name for name in (".writing-a", ".writing-b", "notes.txt"))
    for path in (fresh, stale, other):
        path.write_text("half")
    os.utime(stale, (0, 0))
    assert await blobs.local() == {digest}
    assert [path.exists() for path in (fresh, stale, other)] == [True, False, True]
