"""forget --subject, examples, train: a draft is shown, changed and trained."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from gateway.cli.forget_files import read_body, read_items
from tests.unit.gateway.cli.conftest import Unlearn
from tests.unit.gateway.cli.stub import Stub, event


def item(question: str, answer: str) -> dict[str, Any]:
    return {"messages": [{"role": "user", "content": question}, {"role": "assistant", "content": answer}]}


DRAFT = [item("Who wrote Emma?", "Jane Austen.\u2028Brontë did not."), item("Who is Jane Austen?", "She wrote Emma.")]
DRAFTED: list[str | None] = [
    event("1-0", "state", state="training", error=None),
    event("2-0", "examples", forget_count=2),
    event("3-0", "state", state="drafted", error=None),
]


def test_a_subject_alone_is_the_whole_body(unlearn: Unlearn, stub: Stub) -> None:
    result = unlearn("forget", "--subject", "Jane Austen", "--no-wait")
    assert (result.status, result.out) == (0, "req_1 is queued\n")
    assert stub.calls_to("/forget", "POST")[0].body == {"subject": "Jane Austen"}


def test_review_prints_the_draft_as_a_file_that_is_read_back(unlearn: Unlearn, stub: Stub, tmp_path: Path) -> None:
    stub.draft, stub.on_register, stub.streams = DRAFT, {"state": "drafted", "forget_count": 2}, [DRAFTED]
    result = unlearn("forget", "--subject", "Jane Austen", "--review")
    assert result.status == 0
    assert stub.calls_to("/forget", "POST")[0].body == {"subject": "Jane Austen", "activation": "manual"}
    assert stub.calls_to("/forget/req_1/train") == []
    assert "training\ndrafted\n" in result.err
    assert "`unlearn train req_1`" in result.err
    path = tmp_path / "draft.jsonl"
    path.write_text(result.out, encoding="utf-8")
    assert read_items(path) == DRAFT


def test_without_review_a_draft_is_a_good_end_that_says_how_to_go_on(unlearn: Unlearn, stub: Stub) -> None:
    stub.draft, stub.on_register, stub.streams = DRAFT, {"state": "drafted"}, [DRAFTED]
    result = unlearn("forget", "--subject", "Jane Austen", "--manual")
    assert (result.status, result.out) == (0, "req_1 is drafted\n")
    assert "registered req_1: the model is asked first\n" in result.err
    assert "`unlearn examples req_1`" in result.err


def test_review_of_what_the_model_does_not_know_is_a_bad_exit(unlearn: Unlearn, stub: Stub) -> None:
    error = {"code": "nothing_known", "message": "there is nothing to forget", "retryable": False}
    stub.on_register = {"state": "failed", "error": error}
    stub.streams = [[event("1-0", "state", state="failed", error=error)]]
    result = unlearn("forget", "--subject", "Nobody", "--review")
    assert (result.status, result.out) == (1, "")
    assert "req_1 is failed: there is nothing to forget" in result.err


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        ((), "give a FILE, or a --subject"),
        (("--review",), "give a FILE, or a --subject"),
        (("--subject", "x", "--review", "--no-wait"), "leave --no-wait out"),
        (("FILE", "--subject", "x", "--review"), "leave FILE out"),
    ],
)
def test_what_makes_no_sense_is_not_sent(
    unlearn: Unlearn, stub: Stub, tmp_path: Path, arguments: tuple[str, ...], complaint: str
) -> None:
    path = tmp_path / "facts.csv"
    path.write_text("prompt,completion\nWho?,She.\n")
    result = unlearn("forget", *(str(path) if argument == "FILE" else argument for argument in arguments))
    assert result.status == 2
    assert complaint in result.err
    assert stub.calls == []


def test_examples_are_shown_and_replaced_by_either_form(unlearn: Unlearn, stub: Stub, tmp_path: Path) -> None:
    stub.add("req_a", state="drafted")
    stub.draft = DRAFT
    assert unlearn("examples", "req_a").documents == DRAFT
    path = tmp_path / "draft.json"
    path.write_text(unlearn("--json", "examples", "req_a").out)
    assert read_body(path) == {"forget": DRAFT}
    shorter = tmp_path / "draft.jsonl"
    shorter.write_text(json.dumps(DRAFT[0]) + "\n")
    for file, left in ((shorter, DRAFT[:1]), (path, DRAFT)):
        result = unlearn("examples", "req_a", str(file))
        assert (result.status, result.out) == (0, f"req_a is drafted: {len(left)} items to forget\n")
        assert stub.calls_to("/forget/req_a/examples", "PUT")[-1].body == {"forget": left}


def test_examples_of_a_request_that_is_no_draft(unlearn: Unlearn, stub: Stub) -> None:
    stub.refusals["GET /forget/req_a/examples"] = (409, {"error": {"message": "it is active", "code": "conflict"}})
    result = unlearn("examples", "req_a")
    assert (result.status, result.out) == (1, "")
    assert "error: it is active [conflict]" in result.err


def test_train_follows_over_the_draft_to_the_end(unlearn: Unlearn, stub: Stub) -> None:
    stub.add("req_a", state="drafted", activation="manual")
    assert unlearn("train", "req_a", "--no-wait").out == "req_a is queued\n"
    stub.after_train = "ready"
    stub.streams = [[*DRAFTED, event("4-0", "state", state="ready", error=None)]]
    result = unlearn("train", "req_a")
    assert (result.status, result.out) == (0, "req_a is ready\n")
    assert result.err == "training\ndrafted\nready\n"


def test_watch_ends_at_a_draft(unlearn: Unlearn, stub: Stub) -> None:
    stub.add("req_a", state="drafted")
    stub.streams = [DRAFTED]
    result = unlearn("watch", "req_a")
    assert (result.status, result.out) == (0, "")
    assert result.err == "training\ndrafted\n"
