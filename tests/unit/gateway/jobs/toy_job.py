"""`python -m tests.unit.gateway.jobs.toy_job`: the real job, which knows the toy method and attacks only."""

from __future__ import annotations

from unittest.mock import patch

import adapters.registry
from adapters.evaluation import neighbours
from adapters.evaluation.attacks import asking, suite
from gateway.jobs import reporting
from gateway.jobs.__main__ import main
from tests.unit.gateway.jobs import toy, toy_attacks, toy_log

if __name__ == "__main__":
    adapters.registry.methods = toy.methods
    with (
        patch.object(suite, "families", toy_attacks.families),
        patch.object(asking, "MOST_OTHERS", 4),
        patch.object(asking, "MOST_KNOWN", 2),
        patch.object(neighbours, "_PLAIN", 1),
        patch.object(reporting, "LogStore", toy_log.ToyLog),
    ):
        main()
