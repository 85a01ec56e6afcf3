"""Keys in memory: refreshed by generation, used for a bounded time without Redis, never guessed."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from gateway.access.api_key import ApiKey, token_digest
from gateway.access.keyring import KeyChanges, Keyring
from gateway.errors import DataLost, KeysUnavailable, StoreUnavailable
from gateway.store.generation import KEYS_FILE, Generation, GenerationFile
from tests.unit.gateway.access.samples import sample_key

DIGEST = token_digest("ug-token")


class Source:
    """The store as the keyring sees it."""

    def __init__(self, *keys: ApiKey) -> None:
        self.keys = list(keys)
        self.changed: tuple[ApiKey, ...] = ()
        self.number = len(keys)
        self.away = self.lost = False
        self.reads = 0

    async def read(self, seen: Generation | None) -> KeyChanges | None:
        self.reads += 1
        if self.away:
            raise StoreUnavailable("Redis is away")
        if self.lost and seen is not None:
            raise DataLost("Redis lost its data")
        current = Generation(self.number, "m")
        if seen == current:
            return None
        changed, self.changed = (tuple(self.keys), ()) if seen is None else (self.changed, ())
        return KeyChanges(current, changed)

    def change(self, *keys: ApiKey) -> None:
        """These keys, new ones or others in the place of those of the same ids."""
        self.keys = [*keys, *(key for key in self.keys if key.id not in {each.id for each in keys})]
        self.changed, self.number = (*self.changed, *keys), self.number + 1


@pytest.fixture
def memory(tmp_path: Path) -> GenerationFile:
    return GenerationFile(tmp_path, KEYS_FILE)


async def test_before_the_first_refresh_no_key_is_known(memory: GenerationFile) -> None:
    with pytest.raises(KeysUnavailable, match="not loaded"):
        Keyring(Source(), memory, staleness_s=60).find(DIGEST)


async def test_a_change_counts_from_the_next_refresh(memory: GenerationFile) -> None:
    key = sample_key()
    source = Source(key)
    keyring = Keyring(source, memory, staleness_s=60)
    await keyring.refresh()
    assert keyring.find(DIGEST) == key
    assert keyring.find(token_digest("ug-nobody")) is None
    rotated = replace(key, digest=token_digest("ug-new"), previous_digest=DIGEST, previous_until=time.time() + 60)
    source.change(rotated)
    await keyring.refresh()
    assert keyring.find(DIGEST) == keyring.find(token_digest("ug-new")) == rotated
    source.change(replace(rotated, revoked_at=1.0))
    await keyring.refresh()
    assert keyring.find(DIGEST) is keyring.find(token_digest("ug-new")) is None
    assert keyring.issued, "a key that is revoked was issued all the same"


async def test_a_change_of_one_key_leaves_the_others(memory: GenerationFile) -> None:
    others = [sample_key(f"ug-{number}") for number in range(3)]
    source = Source(*others)
    keyring = Keyring(source, memory, staleness_s=60)
    await keyring.refresh()
    source.change(replace(others[1], digest=DIGEST))
    source.change(sample_key("ug-new"))
    await keyring.refresh()
    held = [keyring.find(token_digest(f"ug-{name}")) is not None for name in ("0", "1", "2", "new", "token")]
    assert held == [True, False, True, True, True]


@pytest.mark.parametrize("ending", [{"expires_at": time.time() - 1}, {"revoked_at": 1.0}])
async def test_what_has_ended_is_refused_without_a_refresh(memory: GenerationFile, ending: dict[str, Any]) -> None:
    keyring = Keyring(Source(sample_key(**ending)), memory, staleness_s=60)
    await keyring.refresh()
    assert keyring.find(DIGEST) is None


async def test_while_redis_is_away_keys_count_for_a_bounded_time(memory: GenerationFile) -> None:
    source = Source(sample_key())
    keyring = Keyring(source, memory, staleness_s=60)
    await keyring.refresh()
    source.away = True
    with pytest.raises(StoreUnavailable):
        await keyring.refresh()
    reads = source.reads
    assert keyring.find(DIGEST) is not None
    assert source.reads == reads, "finding a key asks nobody"
    keyring._fresh_at -= 61
    with pytest.raises(KeysUnavailable, match="61 s old"):
        keyring.find(DIGEST)
    source.away = False
    await keyring.refresh()
    assert keyring.find(DIGEST) is not None


async def test_where_no_key_was_ever_made_nothing_can_be_too_old(memory: GenerationFile) -> None:
    keyring = Keyring(Source(), memory, staleness_s=60)
    await keyring.refresh()
    keyring._fresh_at -= 1000
    assert keyring.find(DIGEST) is None
    assert not keyring.issued
    assert not memory.path.exists()


async def test_a_redis_that_lost_the_keys_is_not_believed_after_a_restart(memory: GenerationFile) -> None:
    source = Source(sample_key())
    await Keyring(source, memory, staleness_s=60).refresh()
    source.lost, source.keys = True, []
    restarted = Keyring(source, memory, staleness_s=60)
    with pytest.raises(DataLost):
        await restarted.refresh()
    with pytest.raises(KeysUnavailable):
        restarted.find(DIGEST)
    assert restarted.issued, "a lost key does not open the service"
    memory.path.unlink()
    accepting = Keyring(source, memory, staleness_s=60)
    await accepting.refresh()
    assert accepting.find(DIGEST) is None
