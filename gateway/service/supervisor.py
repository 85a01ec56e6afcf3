"""Keeps a worker running beside the service, as a process of its own."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import sys
import time
from collections.abc import Callable, Mapping, Sequence

import psutil
from pydantic import SecretStr

from gateway.errors import GatewayError
from gateway.service.lifecycle import Lifecycle, Phase
from gateway.settings import Settings

logger = logging.getLogger(__name__)

WORKER = (sys.executable, "-m", "gateway", "worker")
_STOP_S = 5.0
_NICE = 5
_POLL_S = 0.05
_OF_THE_GATEWAY = frozenset({"UNLEARN_EVIDENCE_KEY", "UNLEARN_WEBHOOK_URL", "UNLEARN_WEBHOOK_SECRET"})


def settings_environment(settings: Settings) -> dict[str, str]:
    """The settings as environment variables, so that a child process reads the same ones."""
    environment: dict[str, str] = {}
    for name in type(settings).model_fields:
        value = getattr(settings, name)
        if value is None:
            continue
        text = value.get_secret_value() if isinstance(value, SecretStr) else str(value)
        environment["REDIS_URL" if name == "redis_url" else f"UNLEARN_{name.upper()}"] = text
    return environment


def worker_environment(environment: Mapping[str, str]) -> dict[str, str]:
    """The same without the secrets that only the gateway uses: it signs, and sends to the webhook."""
    return {name: value for name, value in environment.items() if name not in _OF_THE_GATEWAY}


class WorkerEnded(GatewayError):
    """The worker is not meant to end while the service serves."""

    code = "worker_ended"


class WorkerSupervisor:
    """Runs the worker, and ends it with its children."""

    def __init__(self, environment: Mapping[str, str], lifecycle: Lifecycle) -> None:
        self._environment = worker_environment({**os.environ, **environment})
        self._lifecycle = lifecycle
        self._process: asyncio.subprocess.Process | None = None

    async def run(self) -> None:
        """Until the worker ends. Raises `WorkerEnded`, unless the service is ending too: one signal may be for both."""
        self._process = await asyncio.create_subprocess_exec(*WORKER, env=self._environment)
        # Training yields to serving where they share cores; children inherit it.
        psutil.Process(self._process.pid).nice(_NICE)
        logger.info("worker started pid=%d", self._process.pid)
        status = await self._process.wait()
        if self._lifecycle.phase is not Phase.DRAINING:
            raise WorkerEnded(f"the worker ended with status {status}")

    async def stop(self) -> None:
        """End the worker. A job it was training is queued again when the service starts next."""
        if self._process is None or self._process.returncode is not None:
            return
        await asyncio.to_thread(end_process_tree, self._process.pid)
        await self._process.wait()


def end_children(*, own_redis: bool = False) -> None:
    """End what this process started and nobody else ends: vLLM's processes, the worker and its job.

    own_redis: the embedded Redis too, last, where its object does not come to stop it; what it acknowledged is on disk.
    Python's resource tracker heeds no signal: it ends after this process has, when it has removed what others left.
    """
    servers = []
    for child in psutil.Process().children():
        with contextlib.suppress(psutil.NoSuchProcess):
            if child.name() == "redis-server":
                servers.append(child.pid)
            elif "resource_tracker" not in " ".join(child.cmdline()):
                end_process_tree(child.pid)
    for pid in servers if own_redis else ():
        end_process_tree(pid)


def end_process_tree(pid: int, timeout_s: float = _STOP_S) -> None:
    """Terminate a process and its children, then kill what is left. One that is gone already is no error.

    Nothing is reaped here: that is for whoever started the process, who wants its exit status.
    """
    try:
        root = psutil.Process(pid)
        family = [*root.children(recursive=True), root]
    except psutil.NoSuchProcess:
        return
    for process in family:
        _ignore_gone(process.terminate)
    for process in _alive_after(family, timeout_s):
        _ignore_gone(process.kill)
    _alive_after(family, timeout_s)


def _alive_after(processes: Sequence[psutil.Process], timeout_s: float) -> list[psutil.Process]:
    """Those that still run when the time is up; at once when none does. Zombies do not."""
    deadline = time.monotonic() + timeout_s
    while alive := [process for process in processes if _runs(process)]:
        if time.monotonic() > deadline:
            return alive
        time.sleep(_POLL_S)
    return []


def _runs(process: psutil.Process) -> bool:
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def _ignore_gone(action: Callable[[], None]) -> None:
    with contextlib.suppress(psutil.NoSuchProcess):
        action()
