"""Brings LoRAs on the pair and on the target into the engine ahead of requests, and takes broken ones out of service.

A request has one LoRA in vLLM, so those of a plan are merged into one, built here, off the request path. vLLM
swaps LoRAs between its slots by itself and makes requests wait for one; a folder stays on disk for as long as a request
may make vLLM read it again. Of those that no request holds, some go when there are too many: first those that were used
once, then the least recently used of the others. So sets that come by once do not push out those that come again.
"""

from __future__ import annotations

import asyncio
import itertools
import logging
import shutil
import time
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from adapters.artifact.artifact import Artifact
from adapters.artifact.merge import merge_loras
from adapters.errors import InvalidArtifact
from gateway.engine.residency.lora_folder import module_names, write_lora_folder
from gateway.engine.residency.rows import RETRY_AFTER_S, ArtifactSource
from gateway.engine.residency.unbroken import Unbroken
from gateway.engine.statement import set_name
from gateway.errors import AdapterUnavailable
from gateway.service.metrics import GatewayMetrics

logger = logging.getLogger(__name__)

#: vLLM's second model runner keeps the numbers of LoRAs in 32 bits.
_MOST_IDS = 2**31
#: Sets that may be waiting to be loaded; they are loaded one after another.
_MOST_LOADING = 32


class LoraEngine(Protocol):
    """The engine's side."""

    async def add(self, lora: Lora, modules: Sequence[str], *, plain_sum: bool) -> None:
        """Load a LoRA folder. Raises `AdapterUnavailable` with the engine's reason."""

    async def reload(self, lora: Lora) -> None:
        """Read the folder of a loaded LoRA once more. Raises `AdapterUnavailable` with the engine's reason."""

    async def remove(self, lora: Lora) -> None:
        """Forget it."""


@dataclass(frozen=True, slots=True)
class Lora:
    """A loaded LoRA on the pair, the target, or both.

    id: in the engine, given to no other for as long as it runs. name: keys its cache blocks.
    """

    id: int
    name: str
    folder: Path


class LoraLibrary:
    """The LoRAs of one engine: `acquire` / `release`, `evict`."""

    def __init__(
        self,
        engine: LoraEngine,
        source: ArtifactSource,
        folder: Path,
        metrics: GatewayMetrics,
        *,
        max_rank: int,
        kept: int,
        wait_s: float = 10.0,
    ) -> None:
        """folder: where LoRAs lie for the engine to load. max_rank: of a merge, as the engine takes it. kept: LoRAs
        that stay loaded, each a folder on disk, while no request holds them. wait_s: how long a request waits for one
        to be loaded; loading goes on without it."""
        self._engine = engine
        self._max_rank = max_rank
        self._kept = kept
        self._source = source
        self._folder = folder
        self._metrics = metrics
        self._wait_s = wait_s
        self._ids = itertools.cycle(range(1, _MOST_IDS))  # to vLLM 0 is no LoRA
        self._loaded: OrderedDict[str, Lora] = OrderedDict()  # least recently used first
        self._members: dict[str, frozenset[str]] = {}
        self._often: OrderedDict[str, None] = OrderedDict()  # used again since they were loaded
        self._loading: dict[str, asyncio.Task[Lora]] = {}
        self._holders: dict[str, int] = {}
        self._failed: dict[str, tuple[float, str]] = {}
        self._faulted: set[str] = set()
        self._doomed: set[str] = set()
        self._unbroken = Unbroken()
        self._lock = asyncio.Lock()  # whatever changes what the engine holds happens under it

    async def acquire(self, digests: Sequence[str]) -> Lora | None:
        """Hold the LoRA of this set of adapters, loading it first when it is absent; None for an empty set.

        Raises `AdapterUnavailable`, also where that takes too long; nothing is held then.
        """
        if not digests:
            return None
        name = set_name(digests)
        self._refuse_failed([name, *digests])
        lora = self._loaded.get(name)
        if lora is not None:
            self._used_again(name)
        self._holders[name] = self._holders.get(name, 0) + 1  # before it is waited for: it must not go meanwhile
        try:
            return lora or await self._wait_for(name, digests)
        except BaseException:
            await self._let_go(name)
            raise

    async def release(self, lora: Lora | None) -> None:
        """Let go of what `acquire` gave."""
        if lora is not None:
            await self._let_go(lora.name)

    def digests(self) -> frozenset[str]:
        """Adapters that are loaded, alone or as part of a merge."""
        return frozenset().union(*self._members.values())

    async def evict(self, digest: str) -> bool:
        """Take an adapter, and every merge it is part of, out of the engine; those held go when they are released."""
        return await self._unbroken.run(self._evict(digest))

    async def _evict(self, digest: str) -> bool:
        async with self._lock:
            names = [name for name, members in self._members.items() if digest in members]
            for name in names:
                await self._unload(name)
        return bool(names)

    async def repair(self, digests: Sequence[str]) -> None:
        """Write a loaded set's folder once more, and have the engine load it again. Raises `AdapterUnavailable`."""
        name = set_name(digests)
        async with self._lock:
            lora = self._loaded.get(name)
            if lora is not None:
                await self._write(lora, digests)
                await self._engine.reload(lora)

    def take_out(self, lora: Lora) -> AdapterUnavailable:
        """Refuse an adapter whose logits were not finite. Returns the error to answer with.

        For a while at the first fault, and for good at the second: what a broken LoRA left in the cache may have
        reached a sound one before it was scrubbed.
        """
        reason = f"adapter {lora.name[:12]} gave logits that are not finite; it is out of service"
        if time.monotonic() >= self._failed.get(lora.name, (0.0, ""))[0]:  # not another row of the same batch
            again = lora.name in self._faulted
            self._faulted.add(lora.name)
            self._failed[lora.name] = (float("inf") if again else time.monotonic() + RETRY_AFTER_S, reason)
            self._metrics.adapter_faults.inc()
            logger.error("adapter out of service digest=%s for_good=%s reason=logits not finite", lora.name[:12], again)
        return AdapterUnavailable(reason)

    async def _let_go(self, name: str) -> None:
        self._holders[name] -= 1
        if not self._holders[name]:
            del self._holders[name]
            if name in self._doomed:
                await self._unbroken.run(self._unload_doomed(name))

    async def _unload_doomed(self, name: str) -> None:
        async with self._lock:
            await self._unload(name)

    async def _wait_for(self, name: str, digests: Sequence[str]) -> Lora:
        """The set's LoRA once it is loaded, by a task that outlives whoever waits for it."""
        task = self._loading.get(name)
        if task is None:
            if len(self._loading) >= _MOST_LOADING:
                raise AdapterUnavailable(f"{len(self._loading)} other sets of adapters are being loaded; ask again")
            task = self._loading[name] = asyncio.create_task(self._load(name, digests))
            task.add_done_callback(lambda done: self._loading_ended(name, done))
        try:
            async with asyncio.timeout(self._wait_s):
                return await asyncio.shield(task)
        except TimeoutError:
            raise AdapterUnavailable(f"adapters {name[:12]} are still being loaded; ask again") from None

    def _loading_ended(self, name: str, task: asyncio.Task[Lora]) -> None:
        del self._loading[name]
        if not task.cancelled():
            task.exception()  # whoever waits has it; nobody may

    def _used_again(self, name: str) -> None:
        self._loaded.move_to_end(name)
        self._often[name] = None
        self._often.move_to_end(name)
        while len(self._often) > max(1, self._kept * 3 // 4):
            self._often.popitem(last=False)

    def _next_id(self) -> int:
        """A number that no loaded LoRA has."""
        taken = {lora.id for lora in self._loaded.values()}
        return next(number for number in self._ids if number not in taken)

    async def _load(self, name: str, digests: Sequence[str]) -> Lora:
        async with self._lock:
            if name in self._loaded:  # somebody else loaded it meanwhile
                return self._loaded[name]
            self._refuse_failed([name])  # or tried to
            started = time.monotonic()
            try:
                lora = await self._bring_in(name, digests)
            except AdapterUnavailable as error:
                self._metrics.install_failures.inc()
                self._failed[name] = (time.monotonic() + RETRY_AFTER_S, error.message)
                logger.error("cannot load LoRA digest=%s reason=%s", name[:12], error.message)
                raise
            self._loaded[name] = lora
            self._members[name] = frozenset(digests)
            self._failed.pop(name, None)
            self._doomed.discard(name)
            self._metrics.installs.inc()
            self._metrics.loras_loaded.set(len(self._loaded))
            logger.info(
                "loaded LoRA digest=%s merged=%d ms=%.1f",
                name[:12],
                len(digests),
                1000 * (time.monotonic() - started),
            )
            idle = [other for other in self._loaded if other != name and not self._holders.get(other)]
            idle.sort(key=lambda other: other in self._often)  # stable: within both, the least recently used first
            for other in idle[: max(0, len(idle) - self._kept)]:
                await self._unload(other)
            return lora

    async def _bring_in(self, name: str, digests: Sequence[str]) -> Lora:
        lora = Lora(self._next_id(), name, self._folder / name)
        try:
            artifact = await self._write(lora, digests)
            spec = artifact.manifest.offset
            plain_sum = spec is None or spec.is_plain_sum
            await self._engine.add(lora, module_names(artifact), plain_sum=plain_sum)
        except BaseException:
            # A load that was cancelled may have happened.
            await self._discard(lora)
            raise
        return lora

    async def _write(self, lora: Lora, digests: Sequence[str]) -> Artifact:
        """Make the LoRA's folder; returns what is in it."""
        members = sorted(digests)
        contents = [await self._source.get(digest) for digest in members]
        try:
            artifact = await asyncio.to_thread(_read, contents, self._max_rank)
            await asyncio.to_thread(write_lora_folder, artifact, lora.folder, members)
        except InvalidArtifact as error:
            raise AdapterUnavailable(f"adapter {lora.name[:12]} cannot be used: {error}") from error
        except OSError as error:
            raise AdapterUnavailable(f"adapter {lora.name[:12]} cannot be written to disk: {error.strerror}") from error
        kept = artifact.manifest.config.get("kept") if len(members) > 1 else None
        if kept is not None and kept < 1:
            logger.info(
                "merge made smaller digest=%s merged=%d rank=%d least_kept=%.5f",
                lora.name[:12],
                len(members),
                self._max_rank,
                kept,
            )
        return artifact

    async def _unload(self, name: str) -> None:
        if self._holders.get(name):
            self._doomed.add(name)
            return
        lora = self._loaded.pop(name, None)
        self._members.pop(name, None)
        self._often.pop(name, None)
        self._doomed.discard(name)
        self._metrics.loras_loaded.set(len(self._loaded))
        if lora is not None:
            await self._discard(lora)

    async def _discard(self, lora: Lora) -> None:
        await self._engine.remove(lora)
        await asyncio.to_thread(shutil.rmtree, lora.folder, ignore_errors=True)

    def _refuse_failed(self, names: Sequence[str]) -> None:
        for name in names:
            until, reason = self._failed.get(name, (0.0, ""))
            if time.monotonic() < until:
                raise AdapterUnavailable(reason)


def _read(contents: Sequence[bytes], max_rank: int) -> Artifact:
    artifacts = [Artifact.from_bytes(content) for content in contents]
    return artifacts[0] if len(artifacts) == 1 else merge_loras(artifacts, max_rank=max_rank)
