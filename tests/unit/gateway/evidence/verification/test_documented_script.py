"""The script of docs/verify.md, which shares no code with the gateway, and what it says to good files and to others."""

from __future__ import annotations

import base64
import copy
import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from gateway.evidence.certificate.statement import timestamp
from gateway.evidence.log.proof_file import ProofFile
from tests.unit.gateway.evidence.bundles import MemoryLog, Service, key

ROOT = Path(__file__).parents[5]
MOST_LINES = 30
File = dict[str, Any]


@pytest.fixture(scope="module")
def script() -> str:
    found = (ROOT / "docs/verify.md").read_text(encoding="utf-8").split("```python\n")[1].split("```")[0]
    assert len(found.splitlines()) <= MOST_LINES
    return found


@pytest.fixture(scope="module")
def service() -> Service:
    now = datetime.now(UTC) - timedelta(minutes=1)
    made = Service(log=MemoryLog(key(), at=now))
    made.issued_at = now
    return made


@pytest.fixture(scope="module")
def made(service: Service) -> File:
    at = timestamp(service.issued_at)
    report = service.report(made_at=at, valid_until=timestamp(service.issued_at + timedelta(days=90)))
    return service.file(report)


def run(script: str, file: File, service: Service, folder: Path) -> subprocess.CompletedProcess[str]:
    (folder / "certificate.json").write_text(json.dumps(file), encoding="utf-8")
    (folder / "keys.pem").write_text(service.keys.to_pem(), encoding="utf-8")
    (folder / "verify.py").write_text(script, encoding="utf-8")
    command = [sys.executable, "verify.py", "certificate.json", "keys.pem"]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True)


def test_a_file_as_the_service_gives_it_ends_with_no_error(
    script: str, made: File, service: Service, tmp_path: Path
) -> None:
    ended = run(script, made, service, tmp_path)
    assert (ended.returncode, ended.stderr) == (0, "")


def _report(file: File) -> None:
    file["report"]["evaluation"]["controls"]["kept"] = 18


def _statement(file: File) -> None:
    payload = base64.b64decode(file["envelopes"][0]["payload"])
    file["envelopes"][0]["payload"] = base64.b64encode(payload.replace(b"PASS", b"FAIL")).decode()


def _one_signature(file: File) -> None:
    del file["envelopes"][1]["signatures"][1]


def _opening(file: File) -> None:
    file["openings"][0]["body"]["seeds"] = {"templates": 7}


def _place(file: File) -> None:
    file["proofs"][1] = replace(ProofFile.from_text(file["proofs"][1]), index=2).to_text()


def _sibling(file: File) -> None:
    proof = ProofFile.from_text(file["proofs"][2])
    file["proofs"][2] = replace(proof, proof=(proof.proof[1], proof.proof[0])).to_text()


def _root(file: File) -> None:
    head, checkpoint, lines = file["proofs"][0].split("\n\n")
    other = base64.b64encode(b"r" * 32).decode()
    file["proofs"][0] = "\n\n".join([head, checkpoint[:-44] + other, lines])


def _promise(file: File) -> None:
    del file["openings"][0], file["proofs"][0]


@pytest.mark.parametrize(
    "tamper",
    [_report, _statement, _one_signature, _opening, _place, _sibling, _root, _promise],
    ids=lambda f: f.__name__,
)
def test_a_changed_one_ends_with_an_error(
    script: str, made: File, service: Service, tmp_path: Path, tamper: Callable[[File], None]
) -> None:
    file = copy.deepcopy(made)
    tamper(file)
    assert run(script, file, service, tmp_path).returncode == 1


def test_an_old_one_ends_with_an_error(script: str, service: Service, tmp_path: Path) -> None:
    assert run(script, Service(log=MemoryLog(key(), at=service.issued_at)).file(), service, tmp_path).returncode == 1
