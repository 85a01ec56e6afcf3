"""vLLM's own queue in shared memory, with a reader that sleeps."""

from __future__ import annotations

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from vllm.distributed.device_communicators import shm_broadcast
from vllm.distributed.device_communicators.shm_broadcast import MessageQueue, SpinCondition

from gateway.engine.inside.message_queue import ASLEEP_MS, AWAKE_S, sleep_between_messages

PATIENCE_S = 30


@pytest.fixture
def as_it_was(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is set in a test is taken back after it."""
    monkeypatch.setattr(SpinCondition.__init__, "__defaults__", SpinCondition.__init__.__defaults__)
    interval = "SHM_READER_RECHECK_INTERVAL_MS"
    monkeypatch.setattr(shm_broadcast, interval, getattr(shm_broadcast, interval))


@pytest.fixture
def queue(as_it_was: None) -> Iterator[tuple[MessageQueue, MessageQueue]]:
    """A writer and its reader."""
    sleep_between_messages()
    sleep_between_messages()
    writer = MessageQueue(1, 1, max_chunk_bytes=1024, max_chunks=4)
    reader = MessageQueue.create_from_handle(writer.export_handle(), 0)
    with ThreadPoolExecutor(1) as other:
        ready = other.submit(writer.wait_until_ready)
        reader.wait_until_ready()
        ready.result(PATIENCE_S)
    yield writer, reader
    reader.shutdown()
    writer.shutdown()


def test_a_reader_sleeps_soon_and_not_for_long(queue: tuple[MessageQueue, MessageQueue]) -> None:
    assert queue[1]._spin_condition.busy_loop_s == AWAKE_S
    for timeout in (None, 60.0):
        waiting = MessageQueue.ReadTimeoutWithWarnings(timeout=timeout, should_warn=False)
        assert waiting.timeout_ms() == ASLEEP_MS


def test_every_message_wakes_a_reader_that_sleeps(queue: tuple[MessageQueue, MessageQueue]) -> None:
    writer, reader = queue
    with ThreadPoolExecutor(1) as other:
        for message in range(50):  # more than the queue has places for
            read = other.submit(reader.dequeue, timeout=PATIENCE_S)
            writer.enqueue(message, timeout=PATIENCE_S)
            assert read.result(PATIENCE_S) == message


def test_no_message_is_lost_by_a_reader_that_comes_late(queue: tuple[MessageQueue, MessageQueue]) -> None:
    writer, reader = queue
    for message in ("one", "two", "three"):
        writer.enqueue(message, timeout=PATIENCE_S)
    assert [reader.dequeue(timeout=PATIENCE_S) for _ in range(3)] == ["one", "two", "three"]


def test_a_call_to_wake_up_that_was_lost_costs_no_message(
    queue: tuple[MessageQueue, MessageQueue], monkeypatch: pytest.MonkeyPatch
) -> None:
    writer, reader = queue
    monkeypatch.setattr(writer._spin_condition, "notify", lambda: None)
    with ThreadPoolExecutor(1) as other:
        for message in range(5):
            read = other.submit(reader.dequeue, timeout=PATIENCE_S)
            time.sleep(2 * AWAKE_S)
            writer.enqueue(message, timeout=PATIENCE_S)
            assert read.result(PATIENCE_S) == message


@pytest.mark.parametrize("missing", ["default", "constant"])
def test_another_vllm_is_refused(as_it_was: None, monkeypatch: pytest.MonkeyPatch, missing: str) -> None:
    if missing == "default":
        monkeypatch.setattr(SpinCondition.__init__, "__defaults__", None)
    else:
        monkeypatch.delattr(shm_broadcast, "SHM_READER_RECHECK_INTERVAL_MS")
    with pytest.raises(RuntimeError, match="another way"):
        sleep_between_messages()
