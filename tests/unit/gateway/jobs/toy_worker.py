"""`python -m tests.unit.gateway.jobs.toy_worker`: the real worker, whose jobs know the toy method only."""

from __future__ import annotations

import sys

from gateway.jobs.worker import run_worker
from gateway.settings import Settings

if __name__ == "__main__":
    status = run_worker(Settings(), (sys.executable, "-m", "tests.unit.gateway.jobs.toy_job"))
    assert "torch" not in sys.modules, "only a job may import torch"
    raise SystemExit(status)
