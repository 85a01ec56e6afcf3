"""Where data of a service may lie: its files, its Redis, its processes."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
from redis import Redis

#: Files here are memory that processes share.
MEMORY = ("/dev/shm/", "/memfd:")


@dataclass(frozen=True, slots=True)
class Place:
    """name: for a person to find it."""

    name: str
    content: bytes


def files(paths: Iterable[Path], *, changed_since: float) -> Iterator[Place]:
    """Files, and those below folders, with their paths; those of other users, and what ends meanwhile, are left out.

    changed_since: seconds of the epoch. The kernel notes when a file's content or name last changed, and no program
    can set that back: an older file cannot hold what came later.
    """
    for root in paths:
        below = (Path(parent, name) for parent, _, names in os.walk(root) for name in names)
        for path in below if root.is_dir() else [root]:
            with suppress(FileNotFoundError, PermissionError):
                found = path.lstat()
                if stat.S_ISREG(found.st_mode) and found.st_ctime >= changed_since:
                    yield Place(str(path), os.fsencode(path) + b"\n" + path.read_bytes())


def recent(folder: Path, *, since: float) -> list[Path]:
    """What has been made in a shared folder since then, or had its own entries changed."""
    return [path for path in folder.iterdir() if path.lstat().st_ctime >= since]


def redis_keys(redis: Redis) -> Iterator[Place]:
    """Every key with all that it holds. Raises ValueError for a type that cannot be read here."""
    for key in redis.scan_iter(count=1000):
        kind = str(redis.type(key), "ascii")  # type: ignore[arg-type]  # redis-py types replies as str too
        with suppress(KeyError):
            yield Place(f"redis {kind} {key.decode(errors='replace')}", key + b"\n" + _flat(_read(redis, kind, key)))


def _read(redis: Redis, kind: str, key: bytes) -> Any:
    """None for a key that is gone meanwhile."""
    match kind:
        case "string":
            return redis.get(key)
        case "hash":
            return redis.hgetall(key)
        case "list":
            return redis.lrange(key, 0, -1)
        case "set":
            return redis.smembers(key)
        case "zset":
            return redis.zrange(key, 0, -1, withscores=True)
        case "stream":
            return redis.xrange(key)
        case "none":
            return None
    raise ValueError(f"no way to read a Redis {kind}")


def _flat(value: Any) -> bytes:
    """All bytes in it."""
    if isinstance(value, bytes):
        return value
    if isinstance(value, dict):
        return b"\n".join(_flat(part) for pair in value.items() for part in pair)
    if isinstance(value, list | set | tuple):
        return b"\n".join(map(_flat, value))
    return b"" if value is None else str(value).encode()


def processes(pids: Iterable[int]) -> Iterator[Place]:
    """Command line and environment of each, which other programs of the user can read; and files that have no name any
    more and are still open. What ended meanwhile is left out."""
    for pid in pids:
        with suppress(psutil.NoSuchProcess, psutil.ZombieProcess, FileNotFoundError):
            process = psutil.Process(pid)
            said = [*process.cmdline(), *(f"{name}={value}" for name, value in process.environ().items())]
            yield Place(f"process {pid}", "\n".join(said).encode(errors="surrogateescape"))
            yield from _nameless(pid)


def _nameless(pid: int) -> Iterator[Place]:
    for descriptor in Path(f"/proc/{pid}/fd").iterdir():
        with suppress(OSError):
            target = os.readlink(descriptor)
            on_disk = target.startswith("/") and not target.startswith(MEMORY)
            if on_disk and target.endswith(" (deleted)") and stat.S_ISREG(descriptor.stat().st_mode):
                yield Place(f"process {pid}: {target}", descriptor.read_bytes())
