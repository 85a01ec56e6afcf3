"""`unlearn serve`: the whole service in its order of start and stop.

socket (probes answer) → Redis → engine → app → policy, active adapters → self-check → ready
SIGTERM: /readyz 503 → requests in flight end → HTTP → worker → engine → Redis
"""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import sys
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil

from adapters.artifact.spec import PairSpec
from gateway.checkpoints import default_model
from gateway.checkpoints.digests import CheckpointDigests
from gateway.engine import boot as launch
from gateway.engine.planning import plan_engine
from gateway.engine.residency.holdings import Holdings
from gateway.engine.residency.loras import OffsetLibrary
from gateway.engine.residency.rows import Residency
from gateway.engine.residency.slots import SlotTable
from gateway.errors import GatewayError, PolicyUnavailable
from gateway.http.app import assemble, running
from gateway.http.auth import Gatekeeper, is_loopback
from gateway.http.health import HealthApp
from gateway.jobs.queue import JobQueue
from gateway.policy.active import POLL_S, ActivePolicy
from gateway.policy.plan import PlanBuilder
from gateway.requests.erasure import POLL_S as ERASURE_S
from gateway.requests.erasure import Erasure
from gateway.requests.offering import ServedModel
from gateway.requests.service import UnlearningService
from gateway.selfcheck import canaries
from gateway.selfcheck.assembly import EngineSelfCheck, self_check, texts
from gateway.selfcheck.canaries import CanaryMaker, Shelf
from gateway.selfcheck.engine import TOLERANCE
from gateway.selfcheck.run import SelfCheck
from gateway.service import http_server
from gateway.service.housekeeping import supervise
from gateway.service.lifecycle import Lifecycle, Phase
from gateway.service.logs import configure_logging, progress_reporter
from gateway.service.metrics import GatewayMetrics
from gateway.service.scratch import scratch_folder
from gateway.service.supervisor import WorkerSupervisor, end_process_tree, settings_environment
from gateway.settings import Settings
from gateway.store.blobs import BlobStore
from gateway.store.client import connected
from gateway.store.embedded import EmbeddedRedis, open_redis
from gateway.store.generation import GenerationFile
from gateway.store.requests import RequestStore
from gateway.store.tokens import load_or_create_operator_token
from gateway.store.vault import PayloadVault, load_or_create_key

if TYPE_CHECKING:
    from gateway.engine.memory import PairMemory

logger = logging.getLogger(__name__)

_HEALTH_POLL_S = 1.0
#: Between two self-checks while the service is not ready.
_RECHECK_S = 30.0


class UnsafeBinding(GatewayError):
    """Listening beyond loopback without API keys."""

    code = "unsafe_binding"


@dataclass(frozen=True, slots=True)
class _Model:
    source: str
    name: str
    is_default: bool


def run(settings: Settings, engine_args: Sequence[str]) -> int:
    """Serve until SIGTERM or SIGINT. Returns the exit status: 0, 1 when the engine died, 2 for unusable settings."""
    configure_logging()
    try:
        keys = _api_keys(settings)
        model = _resolve_model(settings)
        sources = [model.source, *([settings.offset_model] if settings.offset_model else [])]
        launch.set_environment(local_model=all(Path(source).is_dir() for source in sources))
        sock = http_server.listen(settings.host, settings.port)
    except GatewayError as error:
        logger.error("%s", error.message)
        return 2
    import uvloop

    return uvloop.run(_Service(settings, keys, model, list(engine_args)).run(sock))


class _Service:
    def __init__(self, settings: Settings, keys: list[str], model: _Model, engine_args: list[str]) -> None:
        self._settings = settings
        self._keys = keys
        self._model = model
        self._engine_args = engine_args
        self._lifecycle = Lifecycle()
        self._health = HealthApp(self._lifecycle)
        self._stop = asyncio.Event()
        self._status = 0

    async def run(self, sock: Any) -> int:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._on_signal)
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
            await asyncio.gather(life, return_exceptions=True)
            _end_children()
        logger.info("stopped")
        return self._status

    def _on_signal(self) -> None:
        if self._stop.is_set():
            logger.warning("second signal: not waiting for requests in flight")
            _end_children()
            os._exit(1)
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
        settings = self._settings
        async with AsyncExitStack() as stack:
            self._lifecycle.detail = "starting Redis"
            redis = await asyncio.to_thread(open_redis, settings)
            stack.callback(redis.stop)
            client = await stack.enter_async_context(connected(redis.url))
            store = RequestStore(client, compact=isinstance(redis, EmbeddedRedis))
            blobs = BlobStore(client, settings.cache_dir)
            token = load_or_create_operator_token(settings)
            memory = GenerationFile(settings.data_dir)
            await store.policy(memory.load())  # a Redis that is not there fails now, not after the engine is up

            self._lifecycle.detail = "loading the model"
            plan = plan_engine(
                self._model.source,
                served_name=self._model.name,
                settings=settings,
                extra_args=self._engine_args,
                default_model=self._model.is_default,
                spare_rows=canaries.ROWS,
            )
            async_llm = await launch.start_engine(plan)
            stack.callback(async_llm.shutdown)

            from gateway.engine.asking import EngineAsker
            from gateway.engine.door import EngineOffsets, EngineRowWriter, UnlearningEngine
            from gateway.engine.memory import pair_memory
            from gateway.engine.parts import EngineParts

            metrics = GatewayMetrics()
            metrics.rows_total.set(settings.soft_rows)
            plans = PlanBuilder(token.encode())
            shelf = Shelf(blobs)
            residency = Residency(SlotTable(plan.layout.soft_rows), shelf, EngineRowWriter(async_llm), metrics)
            digests = CheckpointDigests(settings.cache_dir)
            pair = await asyncio.to_thread(launch.named_pair, plan.layout.pair, digests)
            offsets = None
            if plan.layout.takes_loras:
                folder = stack.enter_context(scratch_folder(settings.cache_dir / "offsets"))
                offsets = OffsetLibrary(EngineOffsets(async_llm), shelf, folder, metrics, max_rank=settings.offset_rank)
                _report_memory(await pair_memory(async_llm, plan.layout), pair, metrics)
            holdings = Holdings(residency, offsets)
            policy = ActivePolicy(store, holdings, plans, metrics, memory, staleness_s=settings.policy_staleness_s)
            engine = UnlearningEngine(
                async_llm, plan.layout, holdings, plans, metrics, reserved_tokens=settings.prompt_budget
            )
            served = ServedModel(
                name=plan.args.served_model_name[0],
                digest=await asyncio.to_thread(launch.checkpoint_digest, self._model.source, digests),
                hidden_size=plan.hidden_size,
                max_tokens=engine.model_config.max_model_len,
                count_tokens=launch.token_counter(engine),
                pair=pair,
                target_lora=plan.layout.target_lora,
            )
            jobs = JobQueue(redis.url, settings)
            service = UnlearningService(
                settings,
                served,
                store,
                blobs,
                PayloadVault(load_or_create_key(settings)),
                jobs,
                policy,
                holdings,
            )
            encode = engine.renderer.get_tokenizer().encode
            checks = self_check(
                EngineSelfCheck(
                    EngineAsker(engine, plans),
                    EngineParts(async_llm),
                    CanaryMaker(shelf, hidden_size=plan.hidden_size, pair=pair),
                    holdings,
                    texts(lambda text: encode(text, add_special_tokens=False)),
                    tolerance=TOLERANCE[str(async_llm.model_config.dtype).removeprefix("torch.")]
                    * settings.self_check_tolerance,
                    soft="spul" in settings.offered,
                ),
                client,
                jobs.state,
                settings,
            )
            vllm_app = await launch.build_vllm_app(plan, engine)
            app = assemble(
                vllm_app,
                service=service,
                self_check=checks,
                gatekeeper=Gatekeeper(token, self._keys),
                policy=policy,
                holder=holdings,
                store=store,
                lifecycle=self._lifecycle,
                metrics=metrics,
                max_body_bytes=settings.max_body_bytes,
            )
            await stack.enter_async_context(running(vllm_app))
            self._lifecycle.detail = "loading active requests"
            await policy.refresh()
            await jobs.reconcile(store)
            self._health.attach(app, lambda: _missing(policy))
            await self._watch(stack, policy, Erasure(store, blobs, holdings, policy), redis, async_llm, checks, metrics)

    async def _become_ready(self, checks: SelfCheck) -> None:
        """Serve once no check fails that answers depend on: a service that answers garbage is worse than none."""
        self._lifecycle.phase, self._lifecycle.detail = Phase.CHECKING, "checking what the engine answers"
        while not (report := await checks.run()).ready:
            self._lifecycle.detail = f"self-check failed, see `unlearn doctor`: {report.summary}"
            await asyncio.sleep(_RECHECK_S)
        if self._lifecycle.phase is Phase.CHECKING:  # not told to stop meanwhile
            self._lifecycle.phase = Phase.SERVING
            logger.info("serving at %s", self._settings.service_url)

    async def _watch(
        self,
        stack: AsyncExitStack,
        policy: ActivePolicy,
        erasure: Erasure,
        redis: Any,
        async_llm: Any,
        checks: SelfCheck,
        metrics: GatewayMetrics,
    ) -> None:
        settings = self._settings
        async with asyncio.TaskGroup() as tasks:

            def keep(name: str, work: Callable[[], Awaitable[object]], every_s: float | None = None) -> None:
                tasks.create_task(supervise(name, work, metrics, every_s=every_s))

            keep("self-check", partial(self._become_ready, checks))
            keep("policy", policy.refresh, POLL_S)
            keep("erasure", erasure.sweep, ERASURE_S)
            if isinstance(redis, EmbeddedRedis):  # ours to start again when it died
                keep("redis", partial(asyncio.to_thread, redis.start), _HEALTH_POLL_S)
            if settings.worker:
                environment = settings_environment(settings) | {
                    "UNLEARN_MODEL": str(launch.checkpoint_folder(self._model.source))
                }
                supervisor = WorkerSupervisor(environment, self._lifecycle)
                stack.push_async_callback(supervisor.stop)
                keep("worker", supervisor.run)
            while not async_llm.errored:
                await asyncio.sleep(_HEALTH_POLL_S)
            logger.critical("the engine died; exiting so that the service is started again")
            self._status = 1
            self._stop.set()
            await asyncio.Event().wait()


def _report_memory(memory: PairMemory, pair: PairSpec | None, metrics: GatewayMetrics) -> None:
    metrics.pair_bytes.labels("weights").set(memory.weights)
    metrics.pair_bytes.labels("slots").set(memory.slots)
    metrics.kv_bytes_per_token.set(memory.kv_token)
    logger.info(
        "pair: %s; weights=%.1f MiB slots=%.1f MiB kv_bytes_per_token=%d, %d without it",
        "none" if pair is None else pair.describe(),
        memory.weights / 2**20,
        memory.slots / 2**20,
        memory.kv_token,
        memory.kv_token_alone,
    )


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


def _resolve_model(settings: Settings) -> _Model:
    if settings.model is not None:
        path = Path(settings.model)
        return _Model(settings.model, path.resolve().name if path.is_dir() else settings.model, False)
    with progress_reporter() as report:
        folder = default_model.prepare(settings.cache_dir, report)
    return _Model(str(folder), default_model.NAME, True)


def _end_children() -> None:
    """Nothing of ours is left behind: vLLM's processes, the worker and its job."""
    for child in psutil.Process().children():
        if child.name() != "redis-server":
            end_process_tree(child.pid)
    sys.stderr.flush()
