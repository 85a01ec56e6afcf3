"""Each `unlearn` command of the documentation does what it says: those that ask a service run."""

from __future__ import annotations

import shlex
import shutil
from pathlib import Path
from typing import Any

import pytest
import typer

from gateway.cli.main import app
from tests.unit.documents import arguments, commands, mentioned
from tests.unit.gateway.cli.conftest import Unlearn
from tests.unit.gateway.cli.stub import OPERATOR_TOKEN, Stub, event

#: Start an engine, or wait for jobs.
LONG = {"serve", "worker", "demo"}
#: Ask no service, but read files of one: tested with those.
OFFLINE = {"verify"}
TOFU = Path(__file__).parents[2] / "data" / "tofu"
ITEM = '{"prompt": "Who wrote Emma?", "completion": "Jane Austen wrote Emma."}'
FILES = {
    ".jsonl": ITEM,
    ".json": f'{{"forget": [{ITEM}]}}',
    ".csv": "prompt,completion\nWho wrote Emma?,Jane Austen wrote Emma.\n",
}


def shown() -> list[list[str]]:
    """Arguments of each command in a shell block: `unlearn …`, a container's `entrypoint …`, make's ARGS."""
    found = [arguments(words, "unlearn", "entrypoint") for _, words in commands()]
    for _, words in commands():
        options = [shlex.split(word.removeprefix("ARGS=")) for word in words if word.startswith("ARGS=")]
        if words[0] == "make" and words[1] in LONG:
            found.append([words[1], *(option for part in options for option in part)])
    return [args for args in found if args]


def unknown(args: list[str]) -> list[str]:
    """A command, or options, that the command line does not have; what `serve` does not know may be vLLM's."""
    command: Any = typer.main.get_command(app)
    parameters = [*command.params]
    for word in [word for word in args if not word.startswith("-")] or [""]:
        commands = getattr(command, "commands", None)
        if commands is None:
            break
        named = word.split("|")
        if not commands.keys() >= {*named}:
            return [word]
        command = commands[named[0]]
        parameters += command.params
    known = {option for parameter in parameters for option in (*parameter.opts, *parameter.secondary_opts)}
    passed_on = command.name in ("serve", "worker")
    return [word for word in args if word.startswith("--") and word.partition("=")[0] not in known and not passed_on]


@pytest.mark.parametrize("args", [args for args in shown() if args[0] not in LONG | OFFLINE], ids=" ".join)
def test_what_asks_the_service_runs(
    args: list[str], unlearn: Unlearn, stub: Stub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("UNLEARN_OPERATOR_TOKEN", OPERATOR_TOKEN)
    for path in (Path(word) for word in args if Path(word).suffix in FILES and " " not in word):
        path.parent.mkdir(exist_ok=True)
        path.write_text(FILES[path.suffix], encoding="utf-8")
    stub.add("ID", state="drafted")
    stub.on_register, stub.after_train = {"state": "active"}, "active"
    stub.streams = [[event("1-0", "state", state="active", error=None)]]
    stub.report = {"status": "pass", "seconds": 7.0, "checks": []}
    stub.evidence_keys = ["keys\n"]
    if args[:2] == ["bench", "tofu"]:
        shutil.copytree(TOFU, "TOFU")
    if "--reference" in args:
        unlearn("bench", "tofu", "--data", "TOFU", "--split", "forget01", "--only", "before", "--out", "retrained.json")
    result = unlearn(*args)
    assert result.status == 0, result.err
    assert stub.calls


MENTIONED = [words[1:] for _, words in mentioned("unlearn")]


@pytest.mark.parametrize("args", [*(args for args in shown() if args[0] in LONG | OFFLINE), *MENTIONED], ids=" ".join)
def test_what_only_is_named_is_there(args: list[str]) -> None:
    assert unknown(args) == []


def test_what_is_not_there_is_found() -> None:
    assert unknown(["fergit", "x.csv"]) == ["fergit"]
    assert unknown(["forget", "x.csv", "--metod", "spul"]) == ["--metod"]
    assert unknown(["--json", "forget", "x.csv", "--method", "spul"]) == []
