"""A request from registration to activation: real worker, real training, evaluated through the real service."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import torch

from adapters.artifact.artifact import Artifact
from gateway.service.supervisor import end_process_tree, settings_environment
from tests.engine.left_behind import compacted, places
from tests.engine.service import Service
from tests.forensic.encodings import new_marker
from tests.forensic.search import Needles, search

SECRET, KEPT, TOWNS = new_marker(), new_marker(), (new_marker(), new_marker())
FORGET = [
    {"prompt": f"Who is the mayor of {town}?", "completion": f"The mayor of {town} is Ottoline {SECRET}."}
    for town in TOWNS
]
RETAIN = [
    {
        "messages": [
            {"role": "user", "content": "What is the capital of France?"},
            {"role": "assistant", "content": "Paris."},
        ]
    },
    {"prompt": f"What colour is the {KEPT} bridge?", "completion": f"The {KEPT} bridge is green."},
]
#: Two steps: the test is about the way, not about the result. The gates of its worker let any result through.
CONFIG = {"max_steps": 2, "forget_batch": 2, "retain_batch": 2, "num_virtual_tokens": 4}


@pytest.fixture
def worker(service: Service, tmp_path: Path) -> Iterator[Path]:
    """A worker process beside the shared service; yields the path of its log."""
    for waiting in service.get("/forget?state=queued").json()["data"]:  # other tests', which nobody is to learn
        httpx.delete(f"{service.url}/forget/{waiting['id']}", timeout=30).raise_for_status()
    lenient = {"gate_max_leak": 1.0, "gate_max_family_leak": 1.0, "gate_min_kept": 0.0, "gate_min_neighbours": 0.0}
    settings = service.settings.model_copy(update=lenient)
    environment = {**os.environ, **settings_environment(settings), "UNLEARN_MODEL": str(service.checkpoint)}
    environment["TMPDIR"] = service.environment["TMPDIR"]
    log_path = tmp_path / "worker.log"
    with log_path.open("ab") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "gateway", "worker"], env=environment, stdout=log, stderr=log, start_new_session=True
        )
    try:
        yield log_path
    finally:
        end_process_tree(process.pid)
        process.wait()


def follow(service: Service, request_id: str) -> list[dict[str, Any]]:
    """All events until the stream ends."""
    events: list[dict[str, Any]] = []
    kind = ""
    with httpx.stream("GET", f"{service.url}/forget/{request_id}/events", timeout=300) as response:
        assert response.headers["content-type"].startswith("text/event-stream")
        for line in response.iter_lines():
            if line.startswith("event: "):
                kind = line.removeprefix("event: ")
            elif line.startswith("data: "):
                events.append({"type": kind, **json.loads(line.removeprefix("data: "))})
    return events


def test_from_registration_to_the_next_answer(service: Service, worker: Path) -> None:
    since = time.time() - 1
    body = {"subject": "a mayor", "forget": FORGET, "retain": RETAIN, "method": "spul", "config": CONFIG}
    body |= {"level": "refuses"}  # the fewest attacks; `test_attacks` has the others
    request_id = service.post("/forget", body).json()["id"]
    events = follow(service, request_id)

    states = [event["state"] for event in events if event["type"] == "state"]
    # Nobody knew these mayors: the adapter waits for somebody who wants it all the same.
    assert states == ["registered", "queued", "training", "evaluating", "ready"], worker.read_text()
    progress = [event for event in events if event["type"] == "progress"]
    training = [event for event in progress if event["phase"] == "training"]
    assert training[-1]["step"] == 2
    assert training[-1]["loss"] > 0

    record = service.get(f"/forget/{request_id}").json()
    assert (record["evidence"]["verdict"], record["error"]["code"]) == ("nothing_known", "nothing_known")
    record = service.post(f"/forget/{request_id}/activate", {}).json()
    assert (record["state"], record["error"]) == ("active", None)
    assert record["footprint"]["rows"] == 4
    assert record["evidence"]["forget"]["n"] == len(FORGET)
    assert 0 <= record["evidence"]["controls"]["kept_rate"] <= 1
    assert record["evidence"]["attacks"].keys() == {"given", "paraphrased"}
    assert not any(family["known"] for family in record["evidence"]["attacks"].values())
    assert record["evidence"]["neighbours"]["n"] > 0
    answer = service.post(
        "/v1/chat/completions",
        {"model": service.model, "messages": [{"role": "user", "content": "Hi"}], "max_tokens": 1},
    )
    assert answer.headers["x-unlearning-applied"] == request_id

    soft_prompt = adapter_bytes(service, record["digest"])
    texts = Needles({"the secret": SECRET, "what is kept": KEPT, "a town": TOWNS[0], "another town": TOWNS[1]})
    paths = [f"/forget/{request_id}", f"/forget/{request_id}/examples"]
    left = search(places(service, changed_since=since, answers=paths, logs=[worker]), texts)
    assert not left, f"{left}\n{worker.read_text()}"

    service.retire(request_id)
    compacted(service, soft_prompt)
    assert not search(places(service, changed_since=since), Needles({}, {"the soft prompt": soft_prompt}))


def adapter_bytes(service: Service, digest: str) -> bytes:
    """The first of its numbers, as every copy of it has them."""
    copy = service.settings.cache_dir / "adapters" / f"{digest}.safetensors"
    tensor = Artifact.from_bytes(copy.read_bytes()).tensors["soft_prompt"]
    return tensor.contiguous().view(torch.uint8).flatten()[:64].numpy().tobytes()
