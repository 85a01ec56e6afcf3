"""How `make test` deals the tests out to its processes."""

from __future__ import annotations

import pytest
from xdist.scheduler import LoadFileScheduling

pytest_plugins = ["tests.cases"]

ENGINE = "tests/engine/"
#: Starts a server of its own and uses none that the others share.
APART = f"{ENGINE}test_tensor_parallel.py"


class ByFile(LoadFileScheduling):  # type: ignore[misc]  # xdist ships no types
    """A file goes to one process, and so do the engine tests that share servers: these live for a session."""

    def _split_scope(self, nodeid: str) -> str:
        shared = nodeid.startswith(ENGINE) and not nodeid.startswith(APART)
        return ENGINE if shared else str(super()._split_scope(nodeid))


def pytest_xdist_make_scheduler(config: pytest.Config, log: object) -> ByFile:
    config.option.loadscopereorder = False  # as collected: the engine tier takes longest and comes first
    return ByFile(config, log)
