"""What the service needs beside the engine: Redis, the queue and its worker, the log, disk, clock."""

from __future__ import annotations

import asyncio
import os
import tempfile
import time
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any

import psutil
from redis.asyncio import Redis

from gateway.evidence.errors import EvidenceError
from gateway.jobs.queue import QueueState
from gateway.selfcheck.outcome import Outcome, Status, within
from gateway.service.sequencer import LogState
from gateway.store.client import call
from gateway.store.secret_file import UnsafeSecretFile

_MIB = 2**20
#: Room for artifacts and an append-only file that is being rewritten.
_LEAST_FREE_MIB = 512
#: Clocks that differ by more make attempts, tokens and events appear in the wrong order.
_MOST_SKEW_S = 5.0


async def redis(client: Redis) -> list[Outcome]:
    """Answers, keeps what it is told, and does not throw keys away. Raises `StoreUnavailable`."""
    started = time.perf_counter()
    await call(client.ping)
    elapsed = 1000 * (time.perf_counter() - started)
    information: dict[str, Any] = await call(client.info)
    outcomes = [Outcome("Redis", Status.PASS, f"version {information.get('redis_version')}, {elapsed:.1f} ms")]
    written = information.get("aof_last_write_status", "ok"), information.get("rdb_last_bgsave_status", "ok")
    if "err" in written:
        advice = "look at Redis's log and its disk; a deletion request that is lost is not known to be lost"
        outcomes.append(Outcome("Redis persistence", Status.FAIL, "its last write to disk failed", advice=advice))
    elif not information.get("aof_enabled"):
        advice = "set appendonly yes; without it a crash loses requests that were accepted since the last snapshot"
        outcomes.append(Outcome("Redis persistence", Status.WARN, "no append-only file", advice=advice))
    else:
        outcomes.append(Outcome("Redis persistence", Status.PASS, "append-only file is written"))
    policy = information.get("maxmemory_policy", "noeviction")
    if policy != "noeviction":
        advice = "set maxmemory-policy noeviction: Redis would drop requests and adapters to make room"
        outcomes.append(Outcome("Redis eviction", Status.FAIL, f"maxmemory-policy is {policy}", advice=advice))
    return outcomes


async def clock(client: Redis) -> list[Outcome]:
    """This host's clock against Redis's."""
    before = time.time()
    seconds, microseconds = await call(client.time)
    after = time.time()
    theirs = seconds + microseconds / 1e6
    skew = max(before - theirs, theirs - after, 0.0)
    return [within("clock", skew, _MOST_SKEW_S, "s apart from Redis", "synchronise both hosts by NTP")]


async def queue(state: Callable[[], Awaitable[QueueState]], *, own_worker: bool) -> list[Outcome]:
    """Whether jobs are taken. own_worker: this service starts one itself."""
    found = await state()
    waiting = f"{found.waiting} waiting, {found.running} running"
    outcomes = [Outcome("queue", Status.PASS, waiting)]
    if found.workers:
        outcomes.append(Outcome("worker", Status.PASS, f"{found.workers} alive"))
    elif found.waiting and not own_worker:
        advice = "start `unlearn worker` with this service's REDIS_URL, or look at its log"
        # What is active goes on being answered for: a worker that died must not take the gateway with it.
        outcomes.append(Outcome("worker", Status.FAIL, f"none alive, {waiting}", advice=advice, blocks=False))
    else:
        advice = "it starts with the service" if own_worker else "requests will wait until one starts"
        outcomes.append(Outcome("worker", Status.WARN, "none alive yet", advice=advice))
    return outcomes


async def log(state: Callable[[], Awaitable[LogState]]) -> list[Outcome]:
    """Whether the log is gone on with, and its key is here. Answers go on without: none of it keeps them back."""
    try:
        found = await state()
    except (EvidenceError, UnsafeSecretFile) as error:
        advice = "what happens meanwhile waits to be logged, and no certificate is made; docs/log.md says what to do"
        return [Outcome("log", Status.FAIL, error.message, advice=advice, blocks=False)]
    return [_log(found), _evidence_key(found)]


def _log(found: LogState) -> Outcome:
    leaves = f"{found.size} leaves, {found.waiting} waiting"
    advice = "keep data_dir on a disk that outlives the service: by log.checkpoint there a log is told that was cut"
    if found.size and not found.kept:
        return Outcome("log", Status.WARN, f"{leaves}; no checkpoint is kept beside the data", advice=advice)
    if found.believed:
        believed = f"{leaves}; the first {found.believed} were believed, for no checkpoint had been kept here"
        return Outcome("log", Status.WARN, believed, advice=advice)
    return Outcome("log", Status.PASS, leaves)


def _evidence_key(found: LogState) -> Outcome:
    if found.signs:
        return Outcome("evidence key", Status.PASS, "the log's current one")
    advice = (
        "give all hosts the same UNLEARN_EVIDENCE_KEY or evidence.key; where the log's key is lost, run "
        "`unlearn evidence-keys rotate --lost`"
    )
    return Outcome("evidence key", Status.FAIL, "not the one that the log is signed with", advice=advice, blocks=False)


async def disk(folders: Sequence[Path]) -> list[Outcome]:
    """Each folder can be written, and has room."""
    return [await asyncio.to_thread(_disk, folder) for folder in dict.fromkeys(folders)]


def _disk(folder: Path) -> Outcome:
    name = f"disk {folder}"
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        with tempfile.TemporaryFile(dir=folder) as file:
            file.write(b"\0" * 4096)
            os.fsync(file.fileno())
        free = psutil.disk_usage(str(folder)).free / _MIB
    except OSError as error:
        advice = "mount it writable for this user, or set UNLEARN_DATA_DIR and UNLEARN_CACHE_DIR"
        return Outcome(name, Status.FAIL, f"cannot be written: {error.strerror}", advice=advice)
    if free < _LEAST_FREE_MIB:
        return Outcome(
            name, Status.FAIL, f"{free:.0f} MiB free", free, _LEAST_FREE_MIB, "free some, or mount a larger volume"
        )
    return Outcome(name, Status.PASS, f"{free / 1024:.1f} GiB free", free, _LEAST_FREE_MIB)
