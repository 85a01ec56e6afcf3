"""`python -m tests.unit.gateway.jobs.toy_job`: the real job, which knows the toy method and attacks only."""

from __future__ import annotations

from unittest.mock import patch

import adapters.registry
from adapters.evaluation.attacks import suite
from gateway.jobs.__main__ import main
from tests.unit.gateway.jobs import toy, toy_attacks

if __name__ == "__main__":
    adapters.registry.methods = toy.methods
    with patch.object(suite, "families", toy_attacks.families):
        main()
