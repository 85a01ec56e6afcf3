"""What a job of δ-unlearning holds in memory: what the kernel says is resident, in processes of their own."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from adapters.artifact.checkpoint import CheckpointWeights
from tests.unit.adapters.conftest import save_model

PAIR_LAYERS = 2
#: Activations, states, the trained part and its optimiser, torch's own caches: what is not weights.
BESIDE = 128 * 2**20

_JOB = """
import json, sys
from dataclasses import replace
from pathlib import Path

from adapters.models.hardware import Hardware
from adapters.artifact.spec import PairSpec
from adapters.artifact.spec import PairSpec
from adapters.registry import get_method
from adapters.models.workbench import Workbench
from tests.unit.adapters.conftest import FORGET, RETAIN
from tests.unit.adapters.methods.runs import method_task

def resident(name):
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(name + ":"))

def learn(model, layers, report=lambda progress: None):
    pair, small = PairSpec(layers), {"rank": 2, "forget_batch": 1, "retain_batch": 1}
    small |= {"max_steps": 2, "retain_twins": 0, "retain_siblings": 0}
    task = method_task("delta", model, pair=pair, forget=FORGET[-1:], retain=RETAIN[1:3], report=report, **small)
    Workbench(model).train(get_method("delta"), task)

warm, model, layers, room = Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]), sys.argv[4]
if room == "cramped":
    Hardware.free = property(lambda self: 2**20)
learn(warm, 1)                                     # imports, and memory that torch keeps for good
before = resident("VmRSS")
Path("/proc/self/clear_refs").write_text("5")      # the peak is counted anew
held = []
learn(model, layers, lambda progress: held.append(resident("VmRSS")) if progress.phase == "training" else None)
print(json.dumps({"peak": resident("VmHWM") - before, "training": max(held) - before}))
"""


@pytest.fixture(scope="module")
def large_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of about 550 MB, 35 a layer."""
    return save_model(
        tmp_path_factory.mktemp("large"),
        hidden_size=768,
        intermediate_size=3072,
        num_hidden_layers=16,
        num_attention_heads=12,
        num_key_value_heads=4,
        initializer_range=0.02,
    )


def job(warm: Path, model: Path, room: str) -> dict[str, int]:
    """Bytes that a job takes at most, and while it trains."""
    arguments = [sys.executable, "-c", _JOB, str(warm), str(model), str(PAIR_LAYERS), room]
    done = subprocess.run(arguments, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stderr[-2000:]
    measured: dict[str, int] = json.loads(done.stdout.splitlines()[-1])
    return measured


def test_a_target_that_fits_is_held_once_and_given_up_before_training(tiny_model: Path, large_model: Path) -> None:
    weights = CheckpointWeights.of(large_model)
    measured = job(tiny_model, large_model, "roomy")
    assert 0.9 * weights.total < measured["peak"] < weights.total + BESIDE, "the whole of it, and once"
    assert measured["training"] < weights.first(PAIR_LAYERS) + BESIDE < 0.5 * weights.total


def test_a_target_that_does_not_fit_is_never_held(tiny_model: Path, large_model: Path) -> None:
    """K layers, and one more that is being read."""
    weights = CheckpointWeights.of(large_model)
    measured = job(tiny_model, large_model, "cramped")
    assert measured["peak"] < weights.first(PAIR_LAYERS + 1) + BESIDE < 0.5 * weights.total
