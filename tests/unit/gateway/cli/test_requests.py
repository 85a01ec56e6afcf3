"""list, show, activate, deactivate, retire; errors and exit statuses."""

from __future__ import annotations

import socket

import pytest

from gateway.cli import main as cli
from gateway.cli.context import CommandContext
from tests.unit.gateway.cli.conftest import Unlearn
from tests.unit.gateway.cli.stub import OPERATOR_TOKEN, Stub


def test_list_names_requests_and_filters(unlearn: Unlearn, stub: Stub) -> None:
    stub.add("req_a", subject="an [author]", state="active")
    stub.add("req_b", state="failed")
    shown = unlearn("list")
    assert shown.status == 0
    assert "req_a" in shown.out
    assert "an [author]" in shown.out
    assert "req_b" in shown.out
    assert "req_b" not in unlearn("list", "--state", "active").out
    assert "no requests are ready" in unlearn("list", "--state", "ready").out


def test_list_reads_all_pages_up_to_the_limit(unlearn: Unlearn, stub: Stub) -> None:
    for number in range(250):
        stub.add(f"req_{number}")
    assert len(unlearn("--json", "list", "--limit", "230").documents[0]["data"]) == 230
    assert [call.query["limit"] for call in stub.calls_to("/forget")] == ["100", "100", "30"]


def test_json_is_taken_before_and_after_the_command(unlearn: Unlearn, stub: Stub) -> None:
    record = stub.add("req_a")
    assert unlearn("--json", "show", "req_a").documents == [record]
    assert unlearn("show", "req_a", "--json").documents == [record]


def test_show_tells_evidence_error_and_adapter(unlearn: Unlearn, stub: Stub) -> None:
    stub.add(
        "req_a",
        state="rejected",
        evidence={
            "forget": {"n": 7, "leak_rate_before": 1.0, "leak_rate_after": 0.5},
            "controls": {"n": 12, "kept_rate": 0.75},
            "attacks": {
                "prefill": {"known": 12, "leaked": 8},
                "few_shot": {"known": 10, "leaked": 0},
                "reverse": {"known": 0, "leaked": 0},
            },
            "pooled": {"known": 22, "leaked": 8},
            "inconclusive": ["two_hop", "reverse"],
            "neighbours": {"n": 30, "kept": 27},
            "verdict": "nothing_known",
        },
        error={"code": "gate", "message": "half still leak", "retryable": False},
        digest="ab" * 32,
        artifact_bytes=27_648,
        timings={"training_s": 83.2},
        phases={"data": {"rewording": 8.4, "retain": 5.0}, "states": {"caching": 3.2}},
        intake={
            "forget": {"items": 3, "repeats": 1, "ignored": ["messages.name", "tools"]},
            "retain": {"items": 0, "repeats": 0, "ignored": []},
        },
    )
    out = " ".join(unlearn("show", "req_a").out.split())
    for words in (
        "rejected",
        "7 forget prompts leaked 100% of the time before, 50% after; 8 of 22 attacks that brought it out before still "
        "do; 75% of 12 control answers kept; 27 of 30 neighbours kept; nothing of it was known before",
        "attacks prefill 8 of 12, few shot 0 of 10 not judged two hop, reverse error",
        "given forget: 3 items, repeats: 1, ignored: messages.name, tools ",
        "half still leak [gate]",
        "24 virtual tokens, 27 KiB",
        "training 1m23s",
        "phases data 13s (rewording 8s, retain 5s), states 3s",
    ):
        assert words in out


@pytest.mark.parametrize(
    ("scope", "shown"),
    [
        ({}, None),
        ({"prompts": "always", "otherwise": "always"}, None),
        ({"prompts": "always", "otherwise": "reject"}, None),
        ({"prompts": "matched", "otherwise": "always"}, "scope matched, otherwise always"),
        ({"prompts": "matched", "otherwise": "reject"}, "scope matched, otherwise reject"),
    ],
)
def test_show_tells_a_scope_that_is_not_every_prompt(
    unlearn: Unlearn, stub: Stub, scope: dict[str, str], shown: str | None
) -> None:
    stub.add("req_a", scope=scope)
    out = " ".join(unlearn("show", "req_a").out.split())
    assert ("scope" in out) is (shown is not None)
    assert shown is None or shown in out


@pytest.mark.parametrize(
    ("missed", "said"),
    [
        ({"applies": True, "otherwise": "reject"}, ""),
        ({"applies": False, "otherwise": "always"}, ", too few, so that it applies to every prompt"),
        ({"applies": False, "otherwise": "reject"}, ", too few, so that it is rejected"),
    ],
)
def test_show_tells_what_becomes_of_a_scope_that_catches_too_little(
    unlearn: Unlearn, stub: Stub, missed: dict[str, object], said: str
) -> None:
    stub.add("req_a", evidence={"scope": {"n": 40, "caught": 20, "bound": 0.36, **missed}, "verdict": "forgotten"})
    out = " ".join(unlearn("show", "req_a").out.split())
    assert f"its scope catches 20 of 40 prompts that bring it out{said}" in out
    assert ("too few" in out) is bool(said)


@pytest.mark.parametrize(
    ("record", "shown"),
    [
        ({"state": "queued", "guarded": True}, "about it are refused until it is active or retired"),
        ({"state": "ready", "guarded": True}, "about it are refused until it is active or retired"),
        ({"state": "failed", "guarded": True}, "about it are refused until it is retired"),
        ({"state": "rejected", "guarded": True}, "about it are refused until it is retired"),
        ({"state": "active", "guarded": False}, None),
        ({"state": "queued"}, None),
    ],
)
def test_show_tells_that_its_prompts_are_refused(
    unlearn: Unlearn, stub: Stub, record: dict[str, object], shown: str | None
) -> None:
    stub.add("req_a", **record)
    out = " ".join(unlearn("show", "req_a").out.split())
    assert ("interim in force" in out) is (shown is not None)
    assert shown is None or shown in out


NOTES = [
    {"with": "req_b", "message": "beside req_b: 2 of 16 of its own probes leak", "lost": True},
    {"with": "req_c", "message": "beside req_c: met since it was measured: not measured", "lost": False},
]


def test_show_tells_what_it_does_beside_others(unlearn: Unlearn, stub: Stub) -> None:
    stub.add("req_a", interference=NOTES, evidence={"interference": {"n": 16, "lost": 2}})
    out = " ".join(unlearn("show", "req_a").out.split())
    assert "interference beside req_b: 2 of 16 of its own probes leak beside req_c: met since" in out
    assert "evidence 2 of 16 probes leak beside the requests it meets and not alone" in out


def test_an_activation_tells_what_is_lost_by_it(unlearn: Unlearn, stub: Stub) -> None:
    stub.add("req_a", state="ready", interference=NOTES)
    said = unlearn("activate", "req_a")
    assert (said.status, said.out) == (0, "req_a is active\n")
    assert said.err == "beside req_b: 2 of 16 of its own probes leak\n"


def test_steps_move_the_request(unlearn: Unlearn, stub: Stub) -> None:
    stub.add("req_a", state="ready")
    assert unlearn("activate", "req_a").out == "req_a is active\n"
    assert unlearn("deactivate", "req_a").out == "req_a is ready\n"
    assert unlearn("retire", "req_a").out == "req_a is retired\n"
    assert stub.records["req_a"]["state"] == "retired"


def test_an_error_of_the_service_is_one_line_with_its_code(unlearn: Unlearn, stub: Stub) -> None:
    result = unlearn("show", "req_none")
    assert (result.status, result.out) == (1, "")
    assert result.err == "error: no request req_none [not_found]\n"
    body = {"error": {"message": "the table is full", "code": "adapter_budget_exceeded"}}
    stub.add("req_a", state="ready")
    stub.refusals["POST /forget/req_a/activate"] = (409, body)
    assert unlearn("--json", "activate", "req_a").documents == [body]


def test_an_answer_that_is_no_gateways(unlearn: Unlearn, stub: Stub) -> None:
    stub.refusals["GET /forget"] = (502, {"oops": 1})
    assert unlearn("list").err == "error: the service answered with status 502 [http_502]\n"


def test_nobody_listening_says_how_to_start(capsys: object) -> None:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{sock.getsockname()[1]}"
    context = CommandContext()
    assert cli.run(["--url", url, "list"], context) == 3


def test_the_operators_token_is_sent_only_where_asked_for(
    unlearn: Unlearn, stub: Stub, own_environment: object
) -> None:
    assert unlearn("list").status == 0
    assert "authorization" not in stub.calls[-1].headers
    stub.keys_required = True
    assert unlearn("list").err == "error: takes the operator's token [operator_only]\n"


def test_a_refused_call_is_tried_as_the_operator(
    unlearn: Unlearn, stub: Stub, monkeypatch: object, own_environment: object
) -> None:
    from pathlib import Path

    assert isinstance(own_environment, Path)
    (own_environment / "operator.token").write_text(f"{OPERATOR_TOKEN}\n")
    stub.keys_required = True
    result = unlearn("list")
    assert result.status == 0
    assert [call.headers.get("authorization") for call in stub.calls_to("/forget")] == [
        None,
        f"Bearer {OPERATOR_TOKEN}",
    ]
    assert OPERATOR_TOKEN not in result.out + result.err
