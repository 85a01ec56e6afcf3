"""Whatever is typed: a command ends with one line of error, never with a traceback."""

from __future__ import annotations

from pathlib import Path

import pytest

from gateway.cli import main as cli
from gateway.cli.context import CommandContext
from tests.unit.gateway.cli.conftest import Unlearn
from tests.unit.gateway.cli.stub import Stub

HALF = "\udcff"  # what Python makes of an argument that is no UTF-8


@pytest.mark.case("command line")
@pytest.mark.parametrize(
    ("args", "status"),
    [
        (["show", HALF], 1),
        (["show", ""], 1),
        (["show", "../v1/models"], 1),
        (["retire", "a/b?c#d"], 1),
        (["activate", "\n"], 1),
        (["watch", "é" * 300], 1),
        (["chat", HALF, "--candidate", "é\n"], 1),
        (["forget", "--subject", "x", "--idempotency-key", ""], 2),
        (["forget", "--subject", "x", "--idempotency-key", "é"], 2),
        (["forget", "--subject", "x", "--idempotency-key", "a\nb"], 2),
        (["forget", "--subject", "x", "--idempotency-key", HALF], 2),
        (["forget", f"no{HALF}.json"], 2),
        (["forget", "/"], 2),
        (["forget", "/tmp/.json/x.json"], 2),
        (["forget", "--subject", "x", "--config", HALF], 2),
        (["examples", "req_1", "none.csv"], 2),
    ],
)
def test_one_line_of_error(unlearn: Unlearn, stub: Stub, args: list[str], status: int) -> None:
    result = unlearn(*args)
    assert result.status == status, result
    assert result.err.startswith("error: ")
    assert result.err.count("\n") == 1
    assert result.out == ""
    assert stub.calls_to("/forget", "POST") == []


@pytest.mark.case("command line")
@pytest.mark.parametrize(
    "url",
    [
        "http://[",
        "http://",
        "http://:80",
        "http://127.0.0.1:99999",
        "http://127.0.0.1:x",
        "http://é\u0000",
        "localhost:80",
    ],
)
def test_a_url_that_is_none(capsys: pytest.CaptureFixture[str], url: str) -> None:
    assert cli.run(["--url", url, "list"], CommandContext()) in (2, 3)
    err = capsys.readouterr().err
    assert err.startswith("error: ")
    assert err.count("\n") == 1


def test_a_directory_and_a_file_that_may_not_be_read(unlearn: Unlearn, tmp_path: Path) -> None:
    (tmp_path / "folder.json").mkdir()
    assert unlearn("forget", str(tmp_path / "folder.json")).err.endswith("Is a directory [usage]\n")


def test_texts_of_half_a_character_are_the_services_to_refuse(unlearn: Unlearn, stub: Stub) -> None:
    assert unlearn("chat", HALF, "--system", HALF).status == 0
    assert stub.calls_to("/v1/chat/completions")[0].body["messages"][0]["content"] == HALF
