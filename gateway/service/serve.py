"""`unlearn serve`: the whole service in its order of start and stop.

socket (probes answer) → the stages of `gateway.service.gateway` → self-check → ready
SIGTERM: /readyz 503 → requests in flight end → HTTP → worker → engine → Redis
"""

from __future__ import annotations

import asyncio
import logging
import math
import os
import signal
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AsyncExitStack
from functools import partial
from pathlib import Path
from typing import Any

from gateway.access.keyring import POLL_S as KEYS_S
from gateway.access.rates import RENEW_S
from gateway.checkpoints import default_model
from gateway.engine import boot
from gateway.errors import GatewayError, PolicyUnavailable
from gateway.http.auth import is_loopback
from gateway.http.health import HealthApp
from gateway.policy.active import POLL_S, ActivePolicy
from gateway.requests.erasure import POLL_S as ERASURE_S
from gateway.requests.erasure import Erasure
from gateway.requests.upkeep import POLL_S as EVIDENCE_S
from gateway.selfcheck.run import SelfCheck
from gateway.service import http_server
from gateway.service.core_dumps import forbid_core_dumps
from gateway.service.gateway import Gateway, ModelSource, open_gateway
from gateway.service.housekeeping import supervise
from gateway.service.lifecycle import Lifecycle, Phase
from gateway.service.logs import configure_logging, progress_reporter
from gateway.service.residency_metrics import POLL_S as RESIDENCY_S
from gateway.service.supervisor import WorkerSupervisor, end_children, settings_environment
from gateway.service.webhooks import POLL_S as WEBHOOKS_S
from gateway.settings import Settings
from gateway.store.embedded import until_it_answers

logger = logging.getLogger(__name__)

_HEALTH_POLL_S = 1.0
_SAME_SIGNAL_S = 1.0
#: Between two self-checks while the service is not ready.
_RECHECK_S = 30.0
#: For what was brought up to be closed again.
_END_S = 30.0


class UnsafeBinding(GatewayError):
    """Listening beyond loopback without API keys."""

    code = "unsafe_binding"


def run(settings: Settings, engine_args: Sequence[str]) -> int:
    """Serve until SIGTERM or SIGINT. Returns the exit status: 0, 1 when the engine died, 2 for unusable settings."""
    configure_logging()
    forbid_core_dumps()
    try:
        keys = _api_keys(settings)
        model = _resolve_model(settings)
        sources = [model.source, *([settings.offset_model] if settings.offset_model else [])]
        boot.set_environment(local_model=all(Path(source).is_dir() for source in sources))
        sock = http_server.listen(settings.host, settings.port)
    except GatewayError as error:
        logger.error("%s", error.message)
        return 2
    import uvloop

    return uvloop.run(_Service(settings, keys, model, list(engine_args)).run(sock))


class _Service:
    def __init__(self, settings: Settings, keys: list[str], model: ModelSource, engine_args: list[str]) -> None:
        self._settings = settings
        self._keys = keys
        self._model = model
        self._engine_args = engine_args
        self._lifecycle = Lifecycle()
        self._health = HealthApp(self._lifecycle)
        self._stop = asyncio.Event()
        self._signalled_at = -math.inf
        self._status = 0

    async def run(self, sock: Any) -> int:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._on_signal, number)
        server = http_server.build(self._health)
        serving = asyncio.create_task(server.serve(sockets=[sock]))
        life = asyncio.create_task(self._live())
        try:
            await self._until_stopped(life)
        except GatewayError as error:
            logger.error("cannot start: %s", error.message)
            self._status = 2
        finally:
            drained = await self._lifecycle.drain(self._settings.drain_timeout_s)
            if not drained:
                logger.warning("ending %d requests that did not finish", self._lifecycle.in_flight)
            server.should_exit = True
            await serving
            life.cancel()
            # Bounded: a cancellation that comes in the middle of a call to Redis may be lost in its client.
            await asyncio.wait({life}, timeout=_END_S)
            end_children()
        logger.info("stopped")
        return self._status

    def _on_signal(self, number: int) -> None:
        now = time.monotonic()
        if now - self._signalled_at < _SAME_SIGNAL_S:
            return  # to the group, and passed on by a parent that got it too, as make does
        self._signalled_at = now
        if self._stop.is_set():
            logger.warning("second signal: not waiting for requests in flight")
            end_children(own_redis=True)
            os._exit(128 + number)
        logger.info("draining: no new requests are taken, %d are in flight", self._lifecycle.in_flight)
        self._stop.set()

    async def _until_stopped(self, life: asyncio.Task[None]) -> None:
        stop = asyncio.create_task(self._stop.wait())
        await asyncio.wait({life, stop}, return_when=asyncio.FIRST_COMPLETED)
        stop.cancel()
        if life.done():
            life.result()

    async def _live(self) -> None:
        """Bring everything up, then watch over it until cancelled."""
        async with AsyncExitStack() as stack:
            gateway = await open_gateway(
                stack,
                self._settings,
                self._model,
                self._engine_args,
                api_keys=self._keys,
                lifecycle=self._lifecycle,
            )
            self._health.attach(gateway.app, lambda: _missing(gateway.policy))
            await self._watch(stack, gateway)

    async def _become_ready(self, checks: SelfCheck) -> None:
        """Serve once no check fails that answers depend on: a service that answers garbage is worse than none."""
        self._lifecycle.phase, self._lifecycle.detail = Phase.CHECKING, "checking what the engine answers"
        while not (report := await checks.run()).ready:
            self._lifecycle.detail = f"self-check failed, see `unlearn doctor`: {report.summary}"
            await asyncio.sleep(_RECHECK_S)
        if self._lifecycle.phase is Phase.CHECKING:  # not told to stop meanwhile
            self._lifecycle.phase = Phase.SERVING
            logger.info("serving at %s", self._settings.service_url)

    async def _watch(self, stack: AsyncExitStack, gateway: Gateway) -> None:
        stores, engine, policy = gateway.stores, gateway.engine, gateway.policy
        async with asyncio.TaskGroup() as tasks:

            def keep(name: str, work: Callable[[], Awaitable[object]], every_s: float | None = None) -> None:
                tasks.create_task(supervise(name, work, gateway.metrics, every_s=every_s))

            keep("self-check", partial(self._become_ready, gateway.self_check))
            keep("policy", policy.refresh, POLL_S)
            keep("keys", gateway.keyring.refresh, KEYS_S)
            keep("rates", gateway.rates.renew, RENEW_S)
            keep("log", gateway.sequencer.step, 0.0)
            keep("evidence", gateway.evidence.upkeep.sweep, EVIDENCE_S)
            if gateway.evidence.delivery is not None:
                keep("webhooks", gateway.evidence.delivery.deliver, WEBHOOKS_S)
            keep("residency", engine.census.take, RESIDENCY_S)
            keep("erasure", Erasure(stores.requests, stores.blobs, engine.holdings, policy).sweep, ERASURE_S)
            if stores.own_redis is not None:  # ours to start again when it died
                keep("redis", partial(until_it_answers, stores.own_redis), _HEALTH_POLL_S)
            if self._settings.worker:
                supervisor = WorkerSupervisor(self._worker_environment(), self._lifecycle)
                stack.push_async_callback(supervisor.stop)
                keep("worker", supervisor.run)
            while not engine.llm.errored:
                await asyncio.sleep(_HEALTH_POLL_S)
            if not self._stop.is_set():  # a signal to the whole group ends the engine too
                logger.critical("the engine died; exiting so that the service is started again")
                self._status = 1
                self._stop.set()
            await asyncio.Event().wait()

    def _worker_environment(self) -> dict[str, str]:
        folder = boot.checkpoint_folder(self._model.source)
        return settings_environment(self._settings) | {"UNLEARN_MODEL": str(folder)}


def _missing(policy: ActivePolicy) -> str | None:
    try:
        policy.plan()
    except PolicyUnavailable as error:
        return error.message
    return None if policy.ready else "an active adapter is not in the engine"


def _api_keys(settings: Settings) -> list[str]:
    text = settings.api_keys.get_secret_value() if settings.api_keys else ""
    keys = [key.strip() for key in text.split(",") if key.strip()]
    if not keys and not is_loopback(settings.host):
        raise UnsafeBinding(f"listening on {settings.host} takes API keys: set UNLEARN_API_KEYS (comma-separated)")
    return keys


def _resolve_model(settings: Settings) -> ModelSource:
    if settings.model is not None:
        path = Path(settings.model)
        return ModelSource(settings.model, path.resolve().name if path.is_dir() else settings.model, False)
    with progress_reporter() as report:
        folder = default_model.prepare(settings.cache_dir, report)
    return ModelSource(str(folder), default_model.NAME, True)
