"""A host of the log as tests have it: a real Redis, a data directory and a key of its own, a sequencer."""

from __future__ import annotations

import asyncio
import base64
import sys
from pathlib import Path

from prometheus_client import CollectorRegistry
from redis.asyncio import Redis

from gateway.evidence.log.checkpoint import Checkpoint
from gateway.service.metrics import GatewayMetrics
from gateway.service.sequencer import Sequencer
from gateway.settings import Settings
from gateway.store.checkpoint_file import CheckpointFile
from gateway.store.client import connected
from gateway.store.evidence_key import EvidenceKeys
from gateway.store.log_tail import LogTail
from tests.unit.gateway.evidence.samples import ORIGIN


def seed(number: int) -> str:
    """The secret of `tests.unit.gateway.evidence.samples.signing_key(number)`."""
    return base64.b64encode(bytes([number]) * 32).decode()


class LogHost:
    """keys: of `seed`, the one to sign with first."""

    def __init__(self, redis: Redis, data_dir: Path, *keys: int, origin: str | None = ORIGIN) -> None:
        data_dir.mkdir(exist_ok=True, parents=True)
        self.metrics = GatewayMetrics(CollectorRegistry())
        self.store = LogTail(redis)
        self.file = CheckpointFile(data_dir)
        text = ",".join(map(seed, keys or (1,)))
        settings = Settings(data_dir=data_dir, evidence_key=text)  # type: ignore[arg-type]
        self.sequencer = Sequencer(self.store, EvidenceKeys(settings), self.file, self.metrics, origin=origin)

    async def settle(self) -> Checkpoint:
        """Log and sign all that waits; the checkpoint then, verified with the keys that the log names."""
        while True:
            await self.sequencer.advance()
            head = await self.store.head()
            if not head.backlog and head.keys is not None and head.note is not None:
                return head.keys.checked_checkpoint(head.note)[0]


async def _sequence(url: str, folder: str) -> None:
    async with connected(url) as redis:
        host = LogHost(redis, Path(folder))
        while True:
            await host.sequencer.step()


if __name__ == "__main__":  # a process of its own, to be killed
    asyncio.run(_sequence(*sys.argv[1:]))
