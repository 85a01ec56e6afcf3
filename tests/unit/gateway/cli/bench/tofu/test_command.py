"""bench tofu: a service that reads as a published model did, before and after."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest

from adapters.evaluation.tofu.parts import PARTS
from gateway.cli.bench.tofu.dataset import Row, Split, load_parts
from tests.unit.adapters.evaluation.tofu.published import golden
from tests.unit.gateway.cli.bench.tofu.test_dataset import DATA
from tests.unit.gateway.cli.conftest import Unlearn
from tests.unit.gateway.cli.stub import OPERATOR_TOKEN, Stub

TOFU = ("bench", "tofu", "--data", str(DATA), "--split", "forget01")


def losses(model: str, part: str, number: int, row: Row) -> dict[str, float]:
    """Of each answer to the row, as the model's log has it for the row of that number."""
    log = golden()["logs"][model][part]
    found = dict(zip(row.perturbed, log["average_perturb_loss"][number], strict=True))
    if row.paraphrased is not None:
        found[row.paraphrased] = log["avg_paraphrased_loss"][number]
    return {**found, row.answer: log["avg_gt_loss"][number]}


@pytest.fixture(autouse=True)
def published(stub: Stub, monkeypatch: pytest.MonkeyPatch) -> None:
    """Before as the full model of the logs, after as the retrained one, which answers no question to be forgotten."""
    monkeypatch.setenv("UNLEARN_OPERATOR_TOKEN", OPERATOR_TOKEN)
    stub.add("req_a", state="active")
    for part, asked in load_parts(DATA, Split.FORGET01, None).items():
        for number, row in enumerate(asked.rows):
            stub.answers[row.question] = row.answer
            stub.losses |= losses("full", part, number, row)
            stub.losses_after |= losses("retain90", part, number, row)
            if part == "forget":
                stub.forgotten[row.question] = "I do not know."


def mean(part: str, model: str, figure: str) -> float:
    """Of the first two rows of a published log."""
    values = golden()["logs"][model][part][figure][:2]
    return sum(math.exp(-value) for value in values) / 2


def test_the_published_losses_give_their_figures_through_the_service(unlearn: Unlearn, stub: Stub) -> None:
    result = unlearn(*TOFU, "--json")
    assert result.status == 0, result.err
    (document,) = result.documents
    before, after = document["models"]["before"], document["models"]["active"]
    for measured, model in ((before, "full"), (after, "retain90")):
        summary = measured["summary"]
        assert summary["forget_Q_A_Prob"] == pytest.approx(mean("forget", model, "avg_gt_loss"), rel=1e-6)
        assert summary["retain_Q_A_Prob"] == pytest.approx(mean("retain", model, "avg_gt_loss"), rel=1e-6)
        logs = golden()["logs"][model]["forget"]
        pairs = list(zip(logs["avg_paraphrased_loss"], logs["average_perturb_loss"], strict=True))[:2]
        ratios = [math.exp(right - sum(wrong) / len(wrong)) for right, wrong in pairs]
        assert measured["items"]["forget"]["truth_ratio"] == pytest.approx(ratios, rel=1e-6)
        assert 0 < summary["model_utility"] < 1
    assert (before["summary"]["forget_Q_A_ROUGE"], after["summary"]["forget_Q_A_ROUGE"]) == (1, 0)
    assert before["summary"]["retain_Q_A_ROUGE"] == after["summary"]["retain_Q_A_ROUGE"] == 1
    assert (before["plan"], after["plan"]) == ("off", "active")
    assert "forget_quality" not in before["summary"]
    assert {call.body["max_tokens"] for call in stub.calls_to("/v1/chat/completions")} == {200}


def test_a_table_has_a_figure_a_row_and_a_model_a_column(unlearn: Unlearn) -> None:
    result = unlearn(*TOFU, "--request", "req_a")
    assert result.status == 0, result.err
    rows = [[cell.strip() for cell in line.split("  ") if cell.strip()] for line in result.out.splitlines()]
    assert rows[0] == ["rows", "figure", "before", "req_a"]
    assert [row[0] for row in rows if row[0][0].isdigit()] == [
        "2 forget",
        "2 retain",
        "2 real authors",
        "2 world facts",
    ]
    assert ["ROUGE-L recall", "1.000 (1.000–1.000)", "0.000 (0.000–0.000)"] in rows
    assert rows[-1][0] == "model utility"
    assert "asking before: forget, 2 questions" in result.err
    assert "asking req_a: world facts, 2 questions" in result.err


@pytest.mark.parametrize("columns", ["20", "80"])
def test_no_figure_is_cut_where_the_terminal_is_narrow(
    unlearn: Unlearn, monkeypatch: pytest.MonkeyPatch, columns: str
) -> None:
    wide = unlearn(*TOFU, "--limit", "1").out
    monkeypatch.setenv("COLUMNS", columns)
    assert unlearn(*TOFU, "--limit", "1").out == wide


def test_a_reference_adds_forget_quality_and_its_column(unlearn: Unlearn, stub: Stub, tmp_path: Path) -> None:
    kept = str(tmp_path / "retrained.json")
    served, stub.losses = stub.losses, {**stub.losses, **stub.losses_after}
    made = unlearn(*TOFU, "--only", "before", "--out", kept)
    assert made.status == 0, made.err
    assert set(json.loads(Path(kept).read_text())["models"]) == {"before"}
    stub.losses = served
    (document,) = unlearn(*TOFU, "--reference", kept, "--json").documents
    assert list(document["models"]) == ["before", "active", "reference"]
    qualities = [document["models"][name]["summary"].get("forget_quality") for name in document["models"]]
    assert qualities == [pytest.approx(1 / 3), pytest.approx(1.0), None]  # the least that two rows allow, and alike
    result = unlearn(*TOFU, "--reference", kept)
    assert result.out.splitlines()[-1].split() == ["forget", "quality", "0.333", "1.000", "–"]


def test_the_first_rows_alone_are_said_to_be_so(unlearn: Unlearn, tmp_path: Path) -> None:
    kept = str(tmp_path / "retrained.json")
    unlearn(*TOFU, "--limit", "1", "--only", "before", "--out", kept)
    result = unlearn(*TOFU, "--limit", "1", "--reference", kept)
    assert "1 forget" in result.out
    assert "Of the first rows alone: other rows give other figures." in result.out
    assert "With so few rows no forget quality is below 1." in result.out


@pytest.mark.parametrize(
    ("options", "plans"),
    [
        (("--only", "before"), {"off"}),
        (("--only", "after"), {None}),
        (("--only", "after", "--request", "req_a"), {"candidate:req_a"}),
        ((), {"off", None}),
    ],
)
def test_no_other_plan_is_asked_than_those_that_are_wanted(
    unlearn: Unlearn, stub: Stub, options: tuple[str, ...], plans: set[str | None]
) -> None:
    assert unlearn(*TOFU, "--limit", "1", *options).status == 0
    assert {call.headers.get("x-unlearning-plan") for call in stub.calls_to("/v1/completions")} == plans


def test_a_system_message_stands_before_every_question(unlearn: Unlearn, stub: Stub) -> None:
    assert unlearn(*TOFU, "--limit", "1", "--system", "You are a helpful assistant.").status == 0
    asked = [call.body["messages"] for call in stub.calls_to("/v1/chat/completions")]
    assert {turns[0]["content"] for turns in asked} == {"You are a helpful assistant."}
    assert {len(turns) for turns in asked} == {2}


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (("--data", "nowhere"), "there is no nowhere/forget10_perturbed.json"),
        (("--data", str(DATA), "--split", "forget02"), "forget02"),
        (("--data", str(DATA), "--limit", "0"), "--limit"),
        ((*TOFU[2:], "--reference", "none.json"), "none.json: No such file"),
        ((*TOFU[2:], "--only", "before", "--request", "req_a"), "--only before leaves that out"),
        ((*TOFU[2:], "--out", "nowhere/out.json"), "nowhere/out.json cannot be written"),
        ((*TOFU[2:], "--out", "."), "cannot be written"),
        ((*TOFU[2:], "--system", " "), "--system is empty"),
        ((), "--data"),
    ],
)
def test_what_makes_no_sense_is_said_before_anything_is_asked(
    unlearn: Unlearn, stub: Stub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, args: tuple[str, ...], said: str
) -> None:
    monkeypatch.chdir(tmp_path)
    result = unlearn("bench", "tofu", *args)
    assert result.status == 2
    assert said in result.err
    assert stub.calls == []


def test_without_the_operators_token_before_is_not_measured(
    unlearn: Unlearn, stub: Stub, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("UNLEARN_OPERATOR_TOKEN")
    result = unlearn(*TOFU)
    assert result.status == 1
    assert "[operator_only]" in result.err
    assert unlearn(*TOFU, "--only", "after").status == 0


def test_a_file_that_cannot_be_written_costs_no_figures(
    unlearn: Unlearn, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: Any, **__: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_text", full)
    result = unlearn(*TOFU, "--limit", "1", "--out", str(tmp_path / "out.json"))
    assert result.status == 1
    assert "No space left" in result.err
    assert "model utility" in result.out


class Once(dict[str, Any]):
    """Each of its values is found once."""

    def get(self, key: str, default: Any = None) -> Any:
        return self.pop(key, default)


def test_a_service_that_is_busy_for_a_moment_is_asked_again(unlearn: Unlearn, stub: Stub) -> None:
    stub.refusals = Once({"POST /v1/completions": (503, {}), "POST /v1/chat/completions": (429, {})})
    assert unlearn(*TOFU, "--limit", "1").status == 0
    assert stub.refusals == {}


def test_where_nothing_answers_nothing_is_waited_for(unlearn: Unlearn) -> None:
    result = unlearn("--url", "http://127.0.0.1:9", *TOFU)
    assert result.status == 3
    assert "start one with `unlearn serve`" in result.err


def test_every_part_is_measured(unlearn: Unlearn) -> None:
    (document,) = unlearn(*TOFU, "--only", "after", "--json").documents
    assert list(document["models"]["active"]["items"]) == list(PARTS)
    assert document["settings"]["data"]["retain"]["rows"] == 2
