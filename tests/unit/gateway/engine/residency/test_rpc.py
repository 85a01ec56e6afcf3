"""Every worker says what it wrote, and is not believed to have written anything else."""

from __future__ import annotations

import hashlib
from typing import Any

import pytest

from gateway.engine.residency.rpc import RowRpc
from gateway.errors import AdapterUnavailable

CONTENT = b"an artifact"
RIGHT = (hashlib.sha256(CONTENT).hexdigest(), None)


def rpc(*said: tuple[str | None, str | None]) -> RowRpc:
    class Engine:
        async def collective_rpc(self, method: str, args: Any) -> list[tuple[str | None, str | None]]:
            assert (method, args) == ("install_soft_prompt", ([3, 4], CONTENT))
            return list(said)

    engine: Any = Engine()
    return RowRpc(engine)


async def test_workers_that_agree() -> None:
    await rpc(RIGHT).install([3, 4], CONTENT)
    await rpc(RIGHT, RIGHT).install([3, 4], CONTENT)


@pytest.mark.parametrize(
    ("said", "reason"),
    [
        ([(None, "ValueError: shape")], "ValueError: shape"),
        ([RIGHT, (None, "ValueError: shape")], "ValueError: shape"),
        ([RIGHT, ("f" * 64, None)], "has written ffffffffffff"),
    ],
)
async def test_a_worker_that_has_written_something_else(said: list[tuple[str | None, str | None]], reason: str) -> None:
    with pytest.raises(AdapterUnavailable, match=reason):
        await rpc(*said).install([3, 4], CONTENT)
