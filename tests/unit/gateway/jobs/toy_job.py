"""`python -m tests.unit.gateway.jobs.toy_job`: the real job, which knows the toy method only."""

from __future__ import annotations

import adapters.registry
from gateway.jobs.__main__ import main
from tests.unit.gateway.jobs import toy

if __name__ == "__main__":
    adapters.registry.methods = toy.methods
    main()
