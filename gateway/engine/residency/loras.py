"""Brings LoRAs on the pair and on the target into the engine ahead of requests, and takes broken ones out of service.

A request has one LoRA in vLLM, so those of a plan are merged into one, built here, off the request path. vLLM
swaps LoRAs between its slots by itself and makes requests wait for one; a folder stays on disk for as long as a request
may make vLLM read it again. Of those that no request holds, the least recently used go when there are too many.
"""

from __future__ import annotations

import asyncio
import hashlib
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
from gateway.errors import AdapterUnavailable
from gateway.service.metrics import GatewayMetrics

logger = logging.getLogger(__name__)


class LoraEngine(Protocol):
    """The engine's side."""

    async def add(self, lora: Lora, modules: Sequence[str], *, plain_sum: bool) -> None:
        """Load a LoRA folder. Raises `AdapterUnavailable` with the engine's reason."""

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


def merged_name(digests: Sequence[str]) -> str:
    """The digest of one adapter, or of the sorted set of several."""
    if len(digests) == 1:
        return digests[0]
    return hashlib.sha256("|".join(sorted(digests)).encode()).hexdigest()


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
        kept: int = 64,
    ) -> None:
        """folder: where LoRAs lie for the engine to load. max_rank: of a merge, as the engine takes it. kept: LoRAs
        that stay loaded, each a folder on disk, while no request holds them."""
        self._engine = engine
        self._max_rank = max_rank
        self._kept = kept
        self._source = source
        self._folder = folder
        self._metrics = metrics
        self._ids = itertools.count(1)  # to vLLM 0 is no LoRA
        self._loaded: OrderedDict[str, Lora] = OrderedDict()  # least recently used first
        self._members: dict[str, frozenset[str]] = {}
        self._holders: dict[str, int] = {}
        self._failed: dict[str, tuple[float, str]] = {}
        self._faulted: set[str] = set()
        self._doomed: set[str] = set()
        self._lock = asyncio.Lock()  # whatever changes what the engine holds happens under it

    async def acquire(self, digests: Sequence[str]) -> Lora | None:
        """Hold the LoRA of this set of adapters, loading it first when it is absent; None for an empty set.

        Raises `AdapterUnavailable`; nothing is held then.
        """
        if not digests:
            return None
        name = merged_name(digests)
        self._refuse_failed([name, *digests])
        lora = self._loaded.get(name) or await self._load(name, digests)
        self._loaded.move_to_end(name)
        self._holders[name] = self._holders.get(name, 0) + 1
        return lora

    async def release(self, lora: Lora | None) -> None:
        """Let go of what `acquire` gave."""
        if lora is None:
            return
        self._holders[lora.name] -= 1
        if not self._holders[lora.name]:
            del self._holders[lora.name]
            if lora.name in self._doomed:
                async with self._lock:
                    await self._unload(lora.name)

    def digests(self) -> frozenset[str]:
        """Adapters that are loaded, alone or as part of a merge."""
        return frozenset().union(*self._members.values())

    async def evict(self, digest: str) -> bool:
        """Take an adapter, and every merge it is part of, out of the engine; those held go when they are released."""
        async with self._lock:
            names = [name for name, members in self._members.items() if digest in members]
            for name in names:
                await self._unload(name)
        return bool(names)

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
            for other in idle[: max(0, len(idle) - self._kept)]:
                await self._unload(other)
            return lora

    async def _bring_in(self, name: str, digests: Sequence[str]) -> Lora:
        contents = [await self._source.get(digest) for digest in sorted(digests)]
        lora = Lora(next(self._ids), name, self._folder / name)
        try:
            artifact = await asyncio.to_thread(_read, contents, self._max_rank)
            await asyncio.to_thread(write_lora_folder, artifact, lora.folder)
        except InvalidArtifact as error:
            raise AdapterUnavailable(f"adapter {name[:12]} cannot be used: {error}") from error
        except OSError as error:
            raise AdapterUnavailable(f"adapter {name[:12]} cannot be written to disk: {error.strerror}") from error
        kept = artifact.manifest.config.get("kept") if len(digests) > 1 else None
        if kept is not None and kept < 1:
            logger.info(
                "merge made smaller digest=%s merged=%d rank=%d least_kept=%.5f",
                name[:12],
                len(digests),
                self._max_rank,
                kept,
            )
        spec = artifact.manifest.offset
        plain_sum = spec is None or spec.is_plain_sum
        try:
            await self._engine.add(lora, module_names(artifact), plain_sum=plain_sum)
        except BaseException:
            # A load that was cancelled may have happened.
            await self._discard(lora)
            raise
        return lora

    async def _unload(self, name: str) -> None:
        if self._holders.get(name):
            self._doomed.add(name)
            return
        lora = self._loaded.pop(name, None)
        self._members.pop(name, None)
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
