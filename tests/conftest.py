"""How `make test` deals the tests out to its processes."""

from __future__ import annotations

import pytest
from xdist.scheduler import LoadFileScheduling

pytest_plugins = ["tests.cases"]

ENGINE = "tests/engine/"
#: Share a server of their own and use none that the others share: where they run, both processes have one to ask.
SEPARATE = (f"{ENGINE}test_separate_pair.py", f"{ENGINE}test_target_lora.py")


class ByFile(LoadFileScheduling):  # type: ignore[misc]  # xdist ships no types
    """A file goes to one process, and so do the engine tests that share servers: these live for a session."""

    def _split_scope(self, nodeid: str) -> str:
        if nodeid.startswith(SEPARATE):
            return "separate"
        return ENGINE if nodeid.startswith(ENGINE) else str(super()._split_scope(nodeid))


def pytest_xdist_make_scheduler(config: pytest.Config, log: object) -> ByFile:
    config.option.loadscopereorder = False  # as collected: the engine tier takes longest and comes first
    return ByFile(config, log)
