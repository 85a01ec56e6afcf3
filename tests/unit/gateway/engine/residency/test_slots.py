"""Rows are reserved, committed, held and given back; never taken from a request that holds them."""

from __future__ import annotations

import random

import pytest

from gateway.engine.residency.slots import NoFreeRows, SlotTable


def resident(table: SlotTable, digest: str, rows: int) -> None:
    table.reserve(digest, rows)
    table.commit(digest)


def test_reserved_rows_are_not_served_until_committed() -> None:
    table = SlotTable(8)
    slot, evicted = table.reserve("a", 3)
    assert len(set(slot.rows)) == 3
    assert evicted == ()
    assert table.acquire("a") is None
    table.commit("a")
    assert table.acquire("a") == slot


def test_a_cancelled_reservation_gives_its_rows_back() -> None:
    table = SlotTable(4)
    table.reserve("a", 4)
    table.cancel("a")
    assert table.rows_in_use == 0
    resident(table, "b", 4)


def test_the_least_recently_used_idle_adapter_goes_first() -> None:
    table = SlotTable(6)
    for digest in ("a", "b", "c"):
        resident(table, digest, 2)
    table.acquire("a")
    table.release("a")
    _, evicted = table.reserve("d", 2)
    assert [slot.digest for slot in evicted] == ["b"]
    assert table.resident == ("c", "a")


def test_held_rows_are_never_given_away() -> None:
    table = SlotTable(4)
    resident(table, "a", 2)
    resident(table, "b", 2)
    table.acquire("a")
    with pytest.raises(NoFreeRows):
        table.reserve("c", 3)
    assert set(table.resident) == {"a", "b"}, "a reservation that fails evicts nothing"
    assert table.evict("a") is None
    slot, _ = table.reserve("c", 2)
    assert not set(slot.rows) & set(table.acquire("a").rows)  # type: ignore[union-attr]


def test_releasing_more_often_than_acquiring_is_an_error() -> None:
    table = SlotTable(2)
    resident(table, "a", 1)
    table.acquire("a")
    table.acquire("a")
    table.release("a")
    assert table.holders("a") == 1
    table.release("a")
    with pytest.raises(ValueError, match="more often"):
        table.release("a")


def test_an_adapter_is_reserved_once() -> None:
    table = SlotTable(4)
    table.reserve("a", 1)
    with pytest.raises(ValueError, match="already"):
        table.reserve("a", 1)
    table.commit("a")
    with pytest.raises(ValueError, match="already"):
        table.reserve("a", 1)


def test_rows_stay_disjoint_through_a_long_random_life() -> None:
    table, rng, held = SlotTable(32), random.Random(0), [""] * 0
    for _ in range(3000):
        digest = f"d{rng.randrange(12)}"
        if held and rng.random() < 0.5:
            table.release(held.pop(rng.randrange(len(held))))
        elif table.acquire(digest) is not None:
            held.append(digest)
        else:
            try:
                table.reserve(digest, 1 + int(digest[1:]))
            except NoFreeRows:
                continue
            table.commit(digest)
        slots = [table.acquire(name) for name in table.resident]
        rows = [row for slot in slots if slot for row in slot.rows]
        for slot in slots:
            table.release(slot.digest)  # type: ignore[union-attr]
        assert len(rows) == len(set(rows)) == table.rows_in_use
        assert all(name in table.resident for name in held)
