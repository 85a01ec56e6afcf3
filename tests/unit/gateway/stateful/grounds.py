"""What all histories share: adapters to learn, subjects to speak of, and a Redis that can be taken away."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from hashlib import blake2b
from pathlib import Path
from urllib.parse import unquote

import numpy as np
from numpy.typing import NDArray
from redis import Redis as SyncRedis
from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

from adapters.artifact.artifact import SOFT_PROMPT, Artifact
from adapters.examples import Example
from adapters.text.phrasebook import Phrasebook, phrasebook
from gateway.policy.scope.background import Background
from gateway.policy.scope.building import build
from gateway.policy.scope.detectors import Detectors
from gateway.policy.scope.entry import ScopeEntry
from gateway.policy.scope.keyed import WordHasher
from gateway.policy.scope.matcher import Matcher
from gateway.store.embedded import EmbeddedRedis
from gateway.store.vault import PayloadVault
from tests.unit.gateway.engine.samples import offset_artifact
from tests.unit.gateway.stateful.engine import change_of

#: Invented, so that nothing bundled names them.
SUBJECTS = ("Orvella Quist", "Tamsin Breckwold", "Ingmar Szolt", "Perpetua Lindqvar")
OTHER_PROMPTS = ("Name three colours of the rainbow.", "Wie spaet ist es in Lissabon?")
#: What the model says, whatever it is asked.
SCRIPTS = (
    "Well. So it is. That is all. ",
    f"Well. It was {SUBJECTS[0]}. That is all. ",
    f"It was {SUBJECTS[1]} who said so. Yes. And {SUBJECTS[2]} as well. So it is. ",
)
OPERATOR_TOKEN = "operator"


@dataclass(frozen=True)
class Subject:
    """Somebody to forget. item: question and answer. entry: of a matched request about it."""

    name: str
    item: Example
    entry: bytes


@dataclass(frozen=True)
class Adapter:
    """An adapter that a training may come to. change: of its offset, None where it has none."""

    artifact: Artifact
    content: bytes
    change: tuple[float, ...] | None

    @property
    def digest(self) -> str:
        return self.artifact.digest

    @property
    def rows(self) -> int:
        return self.artifact.manifest.rows


class HashedWords:
    """An encoder that knows no meaning: equal texts are near, all others far."""

    name, dimension, digest = "hashed", 256, "0" * 64

    def encode(self, texts: Sequence[str]) -> NDArray[np.float32]:
        vectors = np.zeros((len(texts), self.dimension), dtype=np.float32)
        for row, text in enumerate(texts):
            seed = int.from_bytes(blake2b(text.encode("utf-8", "replace"), digest_size=8).digest(), "big")
            vectors[row] = np.random.default_rng(seed).normal(size=self.dimension)
            vectors[row] /= np.linalg.norm(vectors[row])
        return vectors


class Grounds:
    """See above. redis_url of each replica goes through a path of its own, which `cut` takes away."""

    def __init__(self, server: EmbeddedRedis, folder: Path) -> None:
        self.server = server
        self.folder = folder
        self._databases: dict[int, SyncRedis] = {}
        self._built: dict[tuple[str, ...], ScopeEntry] = {}
        self._write_lazily()
        self.vault = PayloadVault(b"v" * 32)
        encoder = HashedWords()
        bank = [f"{word} {number}" for word in ("colour", "city") for number in range(8)]
        self.detectors = Detectors(encoder, Background(encoder, bank), WordHasher(self.vault.scope_key))
        book = phrasebook("en")
        self.subjects = tuple(
            Subject(name, item, self.build([item], book, self.detectors).to_bytes())
            for name in SUBJECTS
            for item in [Example.from_pair(f"Who is {name}?", f"{name} mends clocks.")]
        )
        self.adapters = tuple(_adapter(seed) for seed in range(7))

    def build(self, items: Sequence[Example], book: Phrasebook, detectors: Detectors) -> ScopeEntry:
        """`gateway.policy.scope.building.build`, which takes long and gives the same each time."""
        prompts = tuple(item.prompt for item in items)
        if prompts not in self._built:
            self._built[prompts] = build(items, book, detectors)
        return self._built[prompts]

    def matcher(self) -> Matcher:
        return Matcher(self.detectors)

    @property
    def admin(self) -> SyncRedis:
        """Sees what is in Redis, whoever is cut off from it."""
        return self.database(0)

    def database(self, number: int) -> SyncRedis:
        """One of its databases: the service uses the first."""
        if number not in self._databases:
            self._databases[number] = SyncRedis.from_url(self.server.url, db=number)
        return self._databases[number]

    def path(self, name: str) -> Path:
        """Where a replica finds Redis."""
        return self.folder / f"{name}.sock"

    def client(self, name: str) -> Redis:
        """That of a replica. It repeats a command at once, which is all that differs from the service's."""
        return Redis(
            unix_socket_path=str(self.path(name)), client_name=name, retry=Retry(NoBackoff(), 2), max_connections=256
        )

    def connect(self, name: str) -> None:
        path = self.path(name)
        if not path.is_symlink():
            path.symlink_to(unquote(self.server.url.removeprefix("unix://")))

    def cut(self, name: str) -> None:
        """No new connections, and those that are open break."""
        self.path(name).unlink(missing_ok=True)
        for client in self.admin.client_list():
            if client["name"] == name:
                self.admin.client_kill_filter(_id=client["id"])

    def restart_redis(self) -> None:
        """Killed, and started again on what it had written."""
        assert self.server.pid is not None
        os.kill(self.server.pid, signal.SIGKILL)
        self.server.start()
        while True:
            try:
                self._write_lazily()
            except RedisError:
                time.sleep(0.005)
            else:
                return

    def _write_lazily(self) -> None:
        """Waiting for the disk at every write is what the embedded server's own tests are for."""
        self.admin.config_set("appendfsync", "no")


def _adapter(seed: int) -> Adapter:
    """Soft prompts of two and three rows, offsets, and one that is both."""
    artifact = offset_artifact(seed, rows=0 if seed in (4, 5) else 2 + seed % 2)
    change = change_of(artifact.tensors)
    if seed < 4:
        artifact = Artifact(replace(artifact.manifest, offset=None), {SOFT_PROMPT: artifact.tensors[SOFT_PROMPT]})
        return Adapter(artifact, artifact.to_bytes(), None)
    return Adapter(artifact, artifact.to_bytes(), change)
