"""What workers say they hold is what the metrics say."""

from __future__ import annotations

from typing import Any

import pytest
from prometheus_client import CollectorRegistry

from gateway.engine.residency.census import Census
from gateway.service.residency_metrics import ResidencyMetrics, Resident, ResidentLora

Said = list[tuple[dict[str, int], list[list[Any]]]]


def census(said: Said) -> Census:
    class Engine:
        async def collective_rpc(self, method: str) -> Said:
            assert method == "resident_adapters"
            return said

    class Books:
        def kept(self) -> frozenset[str]:
            return frozenset()

    engine: Any = Engine()
    books: Any = Books()
    return Census(engine, books, ResidencyMetrics(CollectorRegistry()))


async def test_what_every_worker_holds_counts(caplog: pytest.LogCaptureFixture) -> None:
    x, y = ["x", True, False], ["y", False, False]
    one = ({"a": 2, "b": 3}, [x, y])
    whole = Resident(frozenset({"a", "b"}), (ResidentLora("x", True, False), ResidentLora("y", False, False)))
    assert await census([one]).take() == whole
    assert await census([one, one]).take() == whole
    assert not caplog.records
    assert await census([one, ({"a": 2}, [x])]).take() == Resident(frozenset({"a"}), (ResidentLora("x", True, False),))
    assert "different adapters" in caplog.text


async def test_a_set_that_is_there_twice_is_one_series() -> None:
    """The second is on its way out."""
    said: Said = [({}, [["x", False, False], ["x", True, False]])]
    assert (await census(said).take()).loras == (ResidentLora("x", True, False),)
