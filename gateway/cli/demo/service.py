"""A service of the demo's own, where none runs yet: data in a temporary folder, ended with the demo."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx

from gateway.cli.context import CommandContext
from gateway.cli.failures import CommandFailed
from gateway.client.client import UnlearnClient
from gateway.client.errors import ServiceUnreachable
from gateway.http.auth import is_loopback
from gateway.service.supervisor import end_process_tree

#: The first start makes the default model's checkpoint and compiles; later ones take about a minute.
_READY_WITHIN_S = 600.0
_POLL_S = 1.0
_STOP_S = 60.0
_LOG_LINES = 15
LOG_NAME = "service.log"


class DemoServiceFailed(CommandFailed):
    """The service the demo started did not come up."""

    code = "service_failed"


@contextmanager
def running_service(context: CommandContext) -> Iterator[UnlearnClient]:
    """A client of the service at the context's URL; where nothing answers there, one is started, and ended after."""
    with context.client() as client:
        if _answers(client):
            _wait_until_ready(client, None, context)
            yield client
            return
    if not is_loopback(httpx.URL(context.service_url).host):
        raise DemoServiceFailed(f"no service answers at {context.service_url}, and one can be started here only")
    with tempfile.TemporaryDirectory(prefix="unlearn-demo-") as folder, _started(context, Path(folder)) as own:
        yield own


def _answers(client: UnlearnClient) -> bool:
    try:
        client.readiness()
    except ServiceUnreachable:
        return False
    return True


@contextmanager
def _started(context: CommandContext, folder: Path) -> Iterator[UnlearnClient]:
    url = httpx.URL(context.service_url)
    context.note(f"no service answers at {url}; starting one for the demo (about a minute)")
    # Its own data and Redis: requests of an installation that exists are none of the demo's business.
    environment = {name: value for name, value in os.environ.items() if name != "REDIS_URL"}
    environment |= {
        "UNLEARN_DATA_DIR": str(folder / "data"),
        "UNLEARN_GATEWAY_URL": str(url),
        "UNLEARN_WORKER": "true",
    }
    command = [sys.executable, "-m", "gateway", "serve", "--host", url.host, "--port", str(url.port or 80)]
    log = folder / LOG_NAME
    with log.open("wb") as output:
        process = subprocess.Popen(  # its own session: Ctrl-C reaches the demo, which ends it in order
            command,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    own = CommandContext(url=str(url), as_json=context.as_json)
    own.settings = context.settings.model_copy(update={"data_dir": folder / "data"})
    # A demo that is told to end leaves no service behind either.
    previous = signal.signal(signal.SIGTERM, lambda number, _frame: sys.exit(128 + number))
    try:
        with own.client() as client:
            _wait_until_ready(client, (process, log), context)
            yield client
    finally:
        signal.signal(signal.SIGTERM, previous)
        _end(process, context)


def _wait_until_ready(
    client: UnlearnClient, started: tuple[subprocess.Popen[bytes], Path] | None, context: CommandContext
) -> None:
    deadline = time.monotonic() + _READY_WITHIN_S
    told = ""
    while time.monotonic() < deadline:
        if started is not None and started[0].poll() is not None:
            raise DemoServiceFailed(f"the service ended at once:\n{_tail(started[1])}")
        try:
            ready, detail = client.readiness()
        except ServiceUnreachable:
            ready, detail = False, ""
        if ready:
            return
        if detail and detail != told:
            told = detail
            context.note(f"  {detail}")
        time.sleep(_POLL_S)
    raise DemoServiceFailed(f"the service at {client.url} is not ready after {_READY_WITHIN_S:.0f} s: {told}")


def _end(process: subprocess.Popen[bytes], context: CommandContext) -> None:
    if process.poll() is not None:
        return
    context.note("ending the demo's service")
    process.terminate()
    try:
        process.wait(_STOP_S)
    except subprocess.TimeoutExpired:
        end_process_tree(process.pid)
        process.wait()


def _tail(log: Path) -> str:
    return "\n".join(log.read_text(encoding="utf-8", errors="replace").splitlines()[-_LOG_LINES:])
