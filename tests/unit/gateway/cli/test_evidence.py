from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterable
from datetime import timedelta
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from adapters.progress import Progress
from gateway.cli import evaluating
from gateway.evidence.report.judging import Judgement
from gateway.evidence.report.policy import Verdict
from gateway.evidence.report.report import Report
from gateway.jobs.again import Again
from tests.unit.documents import commands
from tests.unit.gateway.cli.conftest import Unlearn
from tests.unit.gateway.cli.stub import Stub
from tests.unit.gateway.evidence.bundles import MADE, Service

AT = ("--at", "2025-11-28")


@pytest.fixture(scope="module")
def service() -> Service:
    return Service()


@pytest.fixture(scope="module")
def file(service: Service) -> str:
    return json.dumps(service.file())


@pytest.fixture
def folder(tmp_path: Path, service: Service, file: str, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "certificate.json").write_text(file, encoding="utf-8")
    (tmp_path / "keys.pem").write_text(service.keys.to_pem(), encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_a_sound_certificate_is_one_line(folder: Path, unlearn: Unlearn) -> None:
    result = unlearn("verify", "certificate.json", "--keys", "keys.pem", *AT)
    assert result.status == 0, result.err
    assert result.out.splitlines() == [
        "sound: req_0123456789abcdef01234567 PASS at level suppresses, weights unchanged, until 2026-02-25T08:05:00Z"
    ]


def test_findings_are_a_line_each_and_status_1(folder: Path, unlearn: Unlearn) -> None:
    result = unlearn(
        "verify", "certificate.json", "--keys", "keys.pem", "--at", "2027-01-01", "--answer-digests", "none"
    )
    assert result.status == 1
    assert [line.partition(":")[0] for line in result.out.splitlines()] == ["expired", "answer-not-covered"]


def test_a_script_gets_one_document(folder: Path, unlearn: Unlearn) -> None:
    early = (MADE - timedelta(days=1)).strftime("%Y-%m-%dT%H:%M:%SZ")
    result = unlearn("--json", "verify", "certificate.json", "--keys", "keys.pem", "--at", early)
    (document,) = result.documents
    assert result.status == 1
    assert document["sound"] is False
    assert {each["finding"] for each in document["findings"]} == {"from-the-future"}
    assert document["checks"]["times"] == "failed"
    assert document["checks"]["verdict"] == "passed"
    assert document["about"]["verdict"] == "PASS"


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (("certificate.json",), "--keys"),
        (("nothing.json", "--keys", "keys.pem"), "nothing.json"),
        (("certificate.json", "--keys", "nothing.pem"), "nothing.pem"),
        (("certificate.json", "--keys", "certificate.json"), "certificate.json"),
        (("certificate.json", "--keys", "keys.pem", "--at", "tomorrow"), "tomorrow"),
        (("certificate.json", "--keys", "keys.pem", "--signatures", "rsa"), "rsa"),
        (("certificate.json", "--keys", "keys.pem", "--answer-digests", "abc"), "--answer-digests"),
        (("certificate.json", "--keys", "keys.pem", "--answer-digests", ""), "lower-case hex"),
    ],
)
def test_what_makes_no_sense_is_status_2(folder: Path, unlearn: Unlearn, args: tuple[str, ...], said: str) -> None:
    result = unlearn("verify", *args)
    assert result.status == 2
    assert said in result.err


def test_a_file_that_is_none_has_a_finding(folder: Path, unlearn: Unlearn) -> None:
    result = unlearn("verify", "keys.pem", "--keys", "keys.pem")
    assert result.status == 1
    assert result.out.startswith("file-unreadable: ")


def test_one_algorithm_is_a_policy_of_the_verifier(folder: Path, unlearn: Unlearn) -> None:
    file: dict[str, Any] = json.loads((folder / "certificate.json").read_text())
    for envelope in file["envelopes"]:
        del envelope["signatures"][1]
    (folder / "certificate.json").write_text(json.dumps(file))
    asked = ("verify", "certificate.json", "--keys", "keys.pem", *AT)
    assert unlearn(*asked, "--signatures", "ed25519").status == 0
    assert unlearn(*asked).status == 1


def needed(names: Iterable[str]) -> set[str]:
    """These distributions and all that they require."""
    found: set[str] = set()
    waiting = [canonicalize_name(name) for name in names]
    while waiting:
        name = waiting.pop()
        if name not in found:
            found.add(name)
            requirements = map(Requirement, metadata.requires(name) or ())
            waiting += [
                canonicalize_name(each.name)
                for each in requirements
                if each.marker is None or each.marker.evaluate({"extra": ""})
            ]
    return found


def test_it_asks_no_service_and_needs_no_package_but_those_that_the_documentation_names(folder: Path) -> None:
    (named,) = (words[4:] for page, words in commands() if page == "docs/verify.md" and "cryptography" in words)
    there = needed(named)
    others = [
        module
        for module, owners in metadata.packages_distributions().items()
        if not there & {canonicalize_name(owner) for owner in owners} and module not in ("gateway", "adapters")
    ]
    assert {"torch", "vllm", "transformers", "redis", "fastapi"} <= {*others}
    program = (
        f"import sys, socket; socket.socket.connect = None; sys.modules.update(dict.fromkeys({others!r}))\n"
        "from gateway.cli.main import run\nfrom gateway.cli.context import CommandContext\n"
        f"print(run(['verify', 'certificate.json', '--keys', 'keys.pem', *{AT!r}], CommandContext()))"
    )
    ended = subprocess.run([sys.executable, "-c", program], cwd=folder, capture_output=True, text=True)
    assert ended.stdout.splitlines()[-1:] == ["0"], ended.stderr


def test_a_certificate_is_written_as_the_service_gave_it(folder: Path, unlearn: Unlearn, stub: Stub, file: str) -> None:
    stub.certificates["req_1"] = json.loads(file)
    assert unlearn("certificate", "req_1", "--out", "got.json").status == 0
    assert unlearn("certificate", "req_1").documents == [stub.certificates["req_1"]]
    assert unlearn("verify", "got.json", "--keys", "keys.pem", *AT).status == 0
    assert unlearn("certificate", "req_1", "--out", "no/such/folder.json").status == 2
    assert unlearn("certificate", "req_2").status == 1


@pytest.mark.parametrize(
    ("state", "served", "verdict", "same", "found"),
    [
        ("active", True, Verdict.PASS, True, []),
        ("active", True, Verdict.FAIL, True, ["verdict-differs"]),
        ("ready", False, Verdict.PASS, False, ["probes-differ"]),
        ("ready", False, Verdict.INCONCLUSIVE, False, ["probes-differ", "verdict-differs"]),
    ],
)
def test_an_evaluation_made_again_is_held_against_the_certificate(
    folder: Path,
    unlearn: Unlearn,
    stub: Stub,
    monkeypatch: pytest.MonkeyPatch,
    verdict: Verdict,
    same: bool,
    found: list[str],
    state: str,
    served: bool,
) -> None:
    asked: list[Any] = []

    async def evaluate(_client: object, report: Report, forget: Any, retain: Any, tell: Any, **options: Any) -> Again:
        asked.append((len(forget), len(retain), options))
        tell(Progress("evaluation", 1, 2))
        return Again(report.evaluation, Judgement(verdict, (), ()), same)

    monkeypatch.setattr(evaluating, "evaluate_again", evaluate)
    (folder / "forget.csv").write_text("prompt,completion\nWho wrote Emma?,Jane Austen wrote Emma.\n")
    stub.add("req_0123456789abcdef01234567", state=state)
    asking = ("--again", "--examples", "forget.csv", "--retain", "forget.csv")
    result = unlearn("verify", "certificate.json", "--keys", "keys.pem", *AT, *asking)
    assert result.status == (1 if found else 0)
    assert [line.partition(":")[0] for line in result.out.splitlines()] == (found or ["sound"])
    assert asked == [(1, 1, {"served": served})]


def test_a_certificate_with_findings_is_not_evaluated(folder: Path, unlearn: Unlearn, stub: Stub) -> None:
    late = ("--at", "2027-01-01", "--again", "--examples", "nothing.csv")
    result = unlearn("verify", "certificate.json", "--keys", "keys.pem", *late)
    assert (result.status, result.out.partition(":")[0]) == (1, "expired")
    assert stub.calls == []


@pytest.mark.parametrize("text", ["prompt,completion\n,\n", "text\n \n"])
def test_examples_that_are_none_are_status_2(folder: Path, unlearn: Unlearn, text: str) -> None:
    (folder / "forget.csv").write_text(text)
    again = ("--again", "--examples", "forget.csv")
    assert unlearn("verify", "certificate.json", "--keys", "keys.pem", *AT, *again).status == 2


def test_nothing_is_left_to_ask_of_a_retired_request(folder: Path, unlearn: Unlearn, stub: Stub) -> None:
    (folder / "forget.csv").write_text("prompt,completion\nWho wrote Emma?,Jane Austen wrote Emma.\n")
    stub.add("req_0123456789abcdef01234567", state="retired")
    result = unlearn("verify", "certificate.json", "--keys", "keys.pem", *AT, "--again", "--examples", "forget.csv")
    assert result.status == 2
    assert "retired" in result.err
