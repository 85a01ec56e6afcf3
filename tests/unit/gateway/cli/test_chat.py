"""chat: plain, streamed, and as the model was."""

from __future__ import annotations

import io
from pathlib import Path

import pytest

from tests.unit.gateway.cli.conftest import Unlearn
from tests.unit.gateway.cli.stub import MODEL, OPERATOR_TOKEN, Stub

QUESTION = "Who wrote it?"


@pytest.fixture(autouse=True)
def answers(stub: Stub) -> None:
    stub.add("req_a", state="active")
    stub.answers[QUESTION] = "J. K. [Rowling] did."
    stub.forgotten[QUESTION] = "I cannot say."


def test_the_answer_is_printed_as_it_is(unlearn: Unlearn, stub: Stub) -> None:
    result = unlearn("chat", QUESTION, "--max-tokens", "9", "--system", "Be brief.")
    assert (result.status, result.out) == (0, "I cannot say.\n")
    assert stub.calls[-1].body == {
        "model": MODEL,
        "messages": [{"role": "system", "content": "Be brief."}, {"role": "user", "content": QUESTION}],
        "temperature": 0.0,
        "max_tokens": 9,
    }


def test_before_takes_the_operators_token_and_never_prints_it(
    unlearn: Unlearn, stub: Stub, own_environment: Path
) -> None:
    refused = unlearn("chat", QUESTION, "--before")
    assert (refused.status, refused.out) == (1, "")
    assert "[operator_only]" in refused.err
    (own_environment / "operator.token").write_text(OPERATOR_TOKEN)
    result = unlearn("chat", QUESTION, "--before")
    assert (result.status, result.out) == (0, "J. K. [Rowling] did.\n")
    assert stub.calls[-1].headers["x-unlearning-plan"] == "off"
    assert OPERATOR_TOKEN not in result.out + result.err


def test_a_candidate_is_asked_by_its_id(unlearn: Unlearn, stub: Stub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("UNLEARN_OPERATOR_TOKEN", OPERATOR_TOKEN)
    assert unlearn("chat", QUESTION, "--candidate", "req_a").status == 0
    assert stub.calls[-1].headers["x-unlearning-plan"] == "candidate:req_a"
    assert unlearn("chat", QUESTION, "--candidate", "req_a", "--before").status == 2


def test_streamed_answers_come_whole(unlearn: Unlearn, stub: Stub) -> None:
    stub.forgotten[QUESTION] = "one\u2028two three"
    assert unlearn("chat", QUESTION, "--stream").out == "one\u2028two three \n"
    chunks = unlearn("--json", "chat", QUESTION, "--stream").documents
    assert "".join(chunk["choices"][0]["delta"]["content"] for chunk in chunks) == "one\u2028two three "


def test_the_prompt_comes_from_standard_input(unlearn: Unlearn, stub: Stub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO(QUESTION))
    assert unlearn("chat", "-").out == "I cannot say.\n"
    assert stub.calls[-1].body["messages"] == [{"role": "user", "content": QUESTION}]


def test_an_api_key_of_the_settings_is_sent(unlearn: Unlearn, stub: Stub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("UNLEARN_API_KEYS", " k1 , k2")
    unlearn("chat", QUESTION)
    assert stub.calls[-1].headers["authorization"] == "Bearer k1"
