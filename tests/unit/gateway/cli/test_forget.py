"""forget: what is sent, how it is followed, how it ends."""

from __future__ import annotations

import json
from dataclasses import fields
from pathlib import Path

import pytest

from adapters.registry import get_method, methods
from tests.unit.gateway.cli.conftest import Unlearn
from tests.unit.gateway.cli.stub import Stub, event


@pytest.fixture
def file(tmp_path: Path) -> str:
    path = tmp_path / "facts.csv"
    path.write_text("prompt,completion\nWho?,She.\nWhat?,That.\n")
    return str(path)


def test_the_body_is_the_file_and_the_options(unlearn: Unlearn, stub: Stub, file: str, tmp_path: Path) -> None:
    retain = tmp_path / "keep.jsonl"
    retain.write_text('{"prompt": "a", "completion": "b"}\n')
    options = ["--subject", "s", "--method", "spul", "--retain", str(retain), "--config", '{"epochs": 3}', "--manual"]
    options += ["--level", "resembles_ignorance", "--effort", "thorough", "--tier", "smoke", "--keep", "probes"]
    result = unlearn("forget", file, *options, "--idempotency-key", "k1", "--no-wait")
    assert (result.status, result.out) == (0, "req_1 is queued\n")
    call = stub.calls_to("/forget", "POST")[0]
    assert call.body == {
        "forget": [{"prompt": "Who?", "completion": "She."}, {"prompt": "What?", "completion": "That."}],
        "subject": "s",
        "method": "spul",
        "level": "resembles_ignorance",
        "effort": "thorough",
        "evidence": {"tier": "smoke", "keep": "probes"},
        "config": {"epochs": 3},
        "retain": [{"prompt": "a", "completion": "b"}],
        "activation": "manual",
    }
    assert call.headers["idempotency-key"] == "k1"


@pytest.mark.parametrize("prompts", ["always", "matched"])
@pytest.mark.parametrize(
    ("given", "otherwise"),
    [
        ({}, {}),
        ({"scope": {"otherwise": "reject"}}, {"otherwise": "reject"}),
        ({"scope": {"prompts": "always", "otherwise": "always"}}, {"otherwise": "always"}),
        ({"scope": "matched"}, {}),
    ],
)
def test_the_scope_is_the_options_and_what_else_the_file_says_of_it(
    unlearn: Unlearn, stub: Stub, tmp_path: Path, prompts: str, given: dict[str, object], otherwise: dict[str, str]
) -> None:
    file = tmp_path / "body.json"
    file.write_text(json.dumps({"forget": [{"prompt": "Who?", "completion": "She."}], **given}))
    assert unlearn("forget", str(file), "--scope", prompts, "--no-wait").status == 0
    assert stub.calls_to("/forget", "POST")[0].body["scope"] == {"prompts": prompts, **otherwise}


@pytest.mark.parametrize(
    ("options", "scope"),
    [
        (["--interim", "none"], {"interim": "none"}),
        (["--scope", "matched", "--interim", "none"], {"prompts": "matched", "interim": "none"}),
        (["--scope", "matched", "--interim", "refuse"], {"prompts": "matched", "interim": "refuse"}),
        ([], None),
    ],
)
def test_what_prompts_get_until_then(
    unlearn: Unlearn, stub: Stub, file: str, options: list[str], scope: dict[str, str] | None
) -> None:
    assert unlearn("forget", file, *options, "--no-wait").status == 0
    assert stub.calls_to("/forget", "POST")[0].body.get("scope") == scope


@pytest.mark.parametrize("option", ["--scope", "--interim"])
def test_a_scope_that_there_is_not(unlearn: Unlearn, stub: Stub, file: str, option: str) -> None:
    assert unlearn("forget", file, option, "sometimes").status == 2
    assert stub.calls == []


def test_nothing_is_sent_that_was_not_given(unlearn: Unlearn, stub: Stub, file: str) -> None:
    unlearn("forget", file, "--no-wait")
    call = stub.calls_to("/forget", "POST")[0]
    assert set(call.body) == {"forget"}
    assert "idempotency-key" not in call.headers


def test_waiting_shows_the_way_and_the_end(unlearn: Unlearn, stub: Stub, file: str) -> None:
    stub.on_register = {"state": "active"}
    stub.streams = [
        [event("1-0", "state", state="training", error=None), event("2-0", "state", state="active", error=None)]
    ]
    result = unlearn("forget", file)
    assert (result.status, result.out) == (0, "req_1 is active\n")
    assert "registered req_1: 2 items to forget\ntraining\nactive\n" in result.err


@pytest.mark.parametrize(
    ("source", "words"), [("this service", "as requests like it took here"), ("two cores", "measured on two cores")]
)
@pytest.mark.parametrize("wait", ["--wait", "--no-wait"])
def test_it_is_told_in_advance_how_long_it_takes(
    unlearn: Unlearn, stub: Stub, file: str, source: str, words: str, wait: str
) -> None:
    stub.on_register = {"state": "active", "estimate_s": 130.4, "estimate_from": source}
    stub.streams = [[event("1-0", "state", state="active", error=None)]]
    result = unlearn("forget", file, wait)
    assert f"registered req_1: 2 items to forget, about 2m10s, {words}\n" in result.err


@pytest.mark.parametrize("state", ["failed", "rejected", "retired"])
def test_a_bad_end_is_a_bad_exit(unlearn: Unlearn, stub: Stub, file: str, state: str) -> None:
    error = {"code": "gate", "message": "it still leaks", "retryable": False}
    stub.on_register = {"state": state, "error": error}
    stub.streams = [[event("1-0", "state", state=state, error=error)]]
    result = unlearn("forget", file)
    assert result.status == 1
    assert f"error: req_1 is {state}: it still leaks [request_ended]" in result.err


def test_a_refused_activation_is_a_bad_exit(unlearn: Unlearn, stub: Stub, file: str) -> None:
    error = {"code": "adapter_budget_exceeded", "message": "no room", "retryable": True}
    stub.on_register = {"state": "ready", "error": error}
    stub.streams = [[event("1-0", "state", state="ready", error=error)]]
    result = unlearn("forget", file)
    assert result.status == 1
    assert "was not activated: no room" in result.err


def test_the_settings_of_a_method_come_from_its_config(unlearn: Unlearn, stub: Stub) -> None:
    known = {each["name"]: each for each in unlearn("--json", "forget", "--settings", "spul").documents[0]}
    assert set(known) == {field.name for field in fields(get_method("spul").config_type)}
    assert known["retain_batch"]["help"] == "retained examples of a step"
    assert known["max_steps"]["allowed"] == "1 to 100,000"
    assert "embedding" in known["encoder"]["allowed"]
    for method in methods():
        assert unlearn("forget", "--settings", method).out.startswith("setting")
    assert unlearn("forget", "--settings", "none").status == 2
    assert stub.calls == []


@pytest.mark.parametrize("config", ["{", "[1]", '{"a": NaN}', '{"a": "\\ud83d"}', f'{{"a": {"9" * 5000}}}', "[" * 2000])
def test_a_config_that_is_no_object(unlearn: Unlearn, stub: Stub, file: str, config: str) -> None:
    result = unlearn("forget", file, "--config", config)
    assert result.status == 2
    assert result.err.startswith("error: --config: ")
    assert result.err.count("\n") == 1
    assert stub.calls == []
