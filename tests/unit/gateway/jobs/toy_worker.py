"""`python -m tests.unit.gateway.jobs.toy_worker`: the real worker, which knows the toy method only."""

from __future__ import annotations

import sys

import adapters.registry
from gateway.jobs.worker import run_worker
from gateway.settings import Settings
from tests.unit.gateway.jobs import toy

if __name__ == "__main__":
    adapters.registry.methods = toy.methods
    assert "torch" not in sys.modules, "the worker must not import torch before it forks"
    raise SystemExit(run_worker(Settings(**{})))
