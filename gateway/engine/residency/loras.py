"""Brings LoRAs on the pair and on the target into the engine ahead of requests, and takes broken ones out of service.

A request has one LoRA in vLLM, so those of a plan are merged into one, built here, off the request path. vLLM
swaps LoRAs between its slots by itself and makes requests wait for one; a folder stays on disk for as long as a request
may make vLLM read it again.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
import shutil
import time
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

_IDS = range(1, 256)


class OffsetEngine(Protocol):
    """The engine's side."""

    async def add(self, offset: Offset, modules: Sequence[str], *, plain_sum: bool) -> None:
        """Load a LoRA folder. Raises `AdapterUnavailable` with the engine's reason."""

    async def remove(self, offset: Offset) -> None:
        """Forget it."""

    async def scrub(self) -> None:
        """Make finite what the caches hold."""


@dataclass(frozen=True, slots=True)
class Offset:
    """A loaded LoRA on the pair, the target, or both: its id in the engine, the name that keys its cache blocks, its
    folder."""

    id: int
    name: str
    folder: Path


def merged_name(digests: Sequence[str]) -> str:
    """The digest of one adapter, or of the sorted set of several."""
    if len(digests) == 1:
        return digests[0]
    return hashlib.sha256("|".join(sorted(digests)).encode()).hexdigest()


class OffsetLibrary:
    """Offsets of one engine: `acquire` / `release`, `preload`, `evict`."""

    def __init__(
        self, engine: OffsetEngine, source: ArtifactSource, folder: Path, metrics: GatewayMetrics, *, max_rank: int
    ) -> None:
        """folder: where LoRAs lie for the engine to load. max_rank: of a merge, as the engine takes it."""
        self._engine = engine
        self._max_rank = max_rank
        self._source = source
        self._folder = folder
        self._metrics = metrics
        self._loaded: dict[str, Offset] = {}
        self._members: dict[str, frozenset[str]] = {}
        self._holders: dict[str, int] = {}
        self._failed: dict[str, tuple[float, str]] = {}
        self._faulted: set[str] = set()
        self._doomed: set[str] = set()
        self._lock = asyncio.Lock()  # whatever changes what the engine holds happens under it
        self._preloaded: str | None = None

    async def acquire(self, digests: Sequence[str]) -> Offset | None:
        """Hold the LoRA of this set of adapters, loading it first when it is absent; None for an empty set.

        Raises `AdapterUnavailable`; nothing is held then.
        """
        if not digests:
            return None
        name = merged_name(digests)
        self._refuse_failed([name, *digests])
        offset = self._loaded.get(name) or await self._load(name, digests)
        self._holders[name] = self._holders.get(name, 0) + 1
        return offset

    async def release(self, offset: Offset | None) -> None:
        """Let go of what `acquire` gave."""
        if offset is None:
            return
        self._holders[offset.name] -= 1
        if not self._holders[offset.name]:
            del self._holders[offset.name]
            if offset.name in self._doomed:
                async with self._lock:
                    await self._unload(offset.name)

    async def preload(self, digests: Sequence[str]) -> None:
        """Keep the LoRA of this set loaded from now on, in place of the one before. Raises `AdapterUnavailable`."""
        offset = await self.acquire(digests)
        previous = self._loaded.get(self._preloaded) if self._preloaded else None
        self._preloaded = None if offset is None else offset.name
        await self.release(previous)
        if previous is not None and previous is not offset and len(self._members.get(previous.name, ())) > 1:
            async with self._lock:
                await self._unload(previous.name)  # a merge nobody will ask for again

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

    async def take_out(self, offset: Offset) -> AdapterUnavailable:
        """Refuse an adapter whose logits were not finite. Returns the error to answer with.

        For a while at the first fault, and for good at the second: what a broken offset left in the pair's cache may
        have reached a sound one, until it is scrubbed, which happens here.
        """
        reason = f"adapter {offset.name[:12]} gave logits that are not finite; it is out of service"
        if time.monotonic() >= self._failed.get(offset.name, (0.0, ""))[0]:  # not another row of the same batch
            again = offset.name in self._faulted
            self._faulted.add(offset.name)
            self._failed[offset.name] = (float("inf") if again else time.monotonic() + RETRY_AFTER_S, reason)
            self._metrics.offset_faults.inc()
            logger.error(
                "offset out of service digest=%s for_good=%s reason=logits not finite", offset.name[:12], again
            )
            await self._engine.scrub()
        return AdapterUnavailable(reason)

    async def _load(self, name: str, digests: Sequence[str]) -> Offset:
        async with self._lock:
            if name in self._loaded:  # somebody else loaded it meanwhile
                return self._loaded[name]
            self._refuse_failed([name])  # or tried to
            started = time.monotonic()
            try:
                offset = await self._bring_in(name, digests)
            except AdapterUnavailable as error:
                self._metrics.install_failures.inc()
                self._failed[name] = (time.monotonic() + RETRY_AFTER_S, error.message)
                logger.error("cannot load offset digest=%s reason=%s", name[:12], error.message)
                raise
            self._loaded[name] = offset
            self._members[name] = frozenset(digests)
            self._failed.pop(name, None)
            self._doomed.discard(name)
            self._metrics.installs.inc()
            self._metrics.offsets_loaded.set(len(self._loaded))
            logger.info(
                "loaded offset digest=%s merged=%d ms=%.1f",
                name[:12],
                len(digests),
                1000 * (time.monotonic() - started),
            )
            return offset

    async def _bring_in(self, name: str, digests: Sequence[str]) -> Offset:
        taken = {offset.id for offset in self._loaded.values()}
        free = next((number for number in _IDS if number not in taken), None)
        if free is None:
            raise AdapterUnavailable(f"the engine holds {len(taken)} offsets already; none is free for another")
        contents = [await self._source.get(digest) for digest in sorted(digests)]
        offset = Offset(free, name, self._folder / name)
        try:
            artifact = await asyncio.to_thread(_read, contents, self._max_rank)
            await asyncio.to_thread(write_lora_folder, artifact, offset.folder)
        except InvalidArtifact as error:
            raise AdapterUnavailable(f"offset {name[:12]} cannot be used: {error}") from error
        except OSError as error:
            raise AdapterUnavailable(f"offset {name[:12]} cannot be written to disk: {error.strerror}") from error
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
            await self._engine.add(offset, module_names(artifact), plain_sum=plain_sum)
        except BaseException:
            # A load that was cancelled may have happened: its id must not find this adapter when it is given out again.
            await self._discard(offset)
            raise
        return offset

    async def _unload(self, name: str) -> None:
        if self._holders.get(name):
            self._doomed.add(name)
            return
        offset = self._loaded.pop(name, None)
        self._members.pop(name, None)
        self._doomed.discard(name)
        self._metrics.offsets_loaded.set(len(self._loaded))
        if offset is not None:
            await self._discard(offset)

    async def _discard(self, offset: Offset) -> None:
        await self._engine.remove(offset)
        await asyncio.to_thread(shutil.rmtree, offset.folder, ignore_errors=True)

    def _refuse_failed(self, names: Sequence[str]) -> None:
        for name in names:
            until, reason = self._failed.get(name, (0.0, ""))
            if time.monotonic() < until:
                raise AdapterUnavailable(reason)


def _read(contents: Sequence[bytes], max_rank: int) -> Artifact:
    artifacts = [Artifact.from_bytes(content) for content in contents]
    return artifacts[0] if len(artifacts) == 1 else merge_loras(artifacts, max_rank=max_rank)
