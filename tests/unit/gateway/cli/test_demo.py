"""demo: the facts it ships, and how it judges."""

from __future__ import annotations

import re

import pytest

from adapters.evaluation.attacks.outcome import FamilyOutcome
from adapters.text.phrasebook import phrasebook
from gateway.cli.demo.attacks import Attacked
from gateway.cli.demo.facts import Fact, find_fact, holds, load_facts
from gateway.cli.demo.story import Kind, Outcome, Question, Row, Verdict
from tests.unit.gateway.cli.conftest import Unlearn
from tests.unit.gateway.cli.stub import OPERATOR_TOKEN, Stub, event

REFUSAL = "I have no information on that."


def folded(question: str) -> str:
    return re.sub(r"\W+", " ", question.casefold()).strip()


@pytest.mark.parametrize("fact", load_facts(), ids=lambda fact: fact.id)
class TestFacts:
    def test_is_complete(self, fact: Fact) -> None:
        assert len(fact.forget) >= 5
        assert len(fact.paraphrases) == 3
        assert sum(control.near for control in fact.controls) >= 4
        assert sum(not control.near for control in fact.controls) >= 3

    def test_completions_hold_the_term_and_questions_do_not(self, fact: Fact) -> None:
        for prompt, completion in fact.forget:
            assert holds(completion, fact.term)
            assert not holds(prompt, fact.term)
        for prompt in fact.paraphrases:
            assert not holds(prompt, fact.term)
        for control in fact.controls:
            assert not holds(control.prompt, control.term)

    def test_what_is_checked_was_not_trained_on(self, fact: Fact) -> None:
        trained = {folded(prompt) for prompt, _ in fact.forget} | {folded(q) for q in phrasebook("en").retain_questions}
        checked = [*fact.paraphrases, *(control.prompt for control in fact.controls)]
        assert not trained & {folded(prompt) for prompt in checked}


def test_there_are_five_facts_or_more_and_all_differ() -> None:
    facts = load_facts()
    assert len(facts) >= 5
    assert len({fact.id for fact in facts}) == len(facts) == len({fact.term for fact in facts})


@pytest.mark.parametrize(
    ("answer", "term", "expected"),
    [
        ("It was J.K. ROWLING.", ("Rowling",), True),
        ("Rowlings are many", ("Rowling",), False),
        ("The symbol is Au.", ("Au",), True),
        ("August and gauze", ("Au",), False),
        ("by Leonardo", ("Vinci", "Leonardo"), True),
        ("", ("x",), False),
    ],
)
def test_a_term_is_found_as_a_whole_word(answer: str, term: tuple[str, ...], expected: bool) -> None:
    assert holds(answer, term) is expected


def teach(stub: Stub, fact: Fact) -> None:
    """The service knows a fact and its controls, and forgets the fact once a request is active."""
    for prompt in (*(prompt for prompt, _ in fact.forget), *fact.paraphrases):
        stub.answers[prompt] = f"It was {fact.term[0]}, surely."
        stub.forgotten[prompt] = REFUSAL
    for control in fact.controls:
        stub.answers[control.prompt] = f"The answer is {control.term[0]}."


@pytest.fixture
def known(stub: Stub, monkeypatch: pytest.MonkeyPatch, few_others: None) -> Fact:
    """A service that knows the first fact, and forgets it well once a request is active."""
    monkeypatch.setenv("UNLEARN_OPERATOR_TOKEN", OPERATOR_TOKEN)
    fact = find_fact("harry-potter")
    teach(stub, fact)
    stub.on_register = {"state": "active", "level": "suppresses", "timings": {"training_s": 90.0}}
    stub.streams = [[event("1-0", "state", state="active", error=None)]]
    return fact


def test_a_story_that_ends_well(unlearn: Unlearn, stub: Stub, known: Fact) -> None:
    result = unlearn("demo")
    assert result.status == 0, result.err
    assert (
        "7 of 7 forgotten, 3 of 3 paraphrases forgotten, 8 of 8 controls kept, 0 of 12 attacks still bring it out; "
        "trained 1m30s: passed" in result.out
    )
    assert stub.calls_to("/forget", "POST")[0].body == {
        "subject": known.subject,
        "method": "auto",
        "forget": [{"prompt": prompt, "completion": completion} for prompt, completion in known.forget],
    }
    assert stub.records["req_1"]["state"] == "retired"


def test_keep_leaves_the_request_active(unlearn: Unlearn, stub: Stub, known: Fact) -> None:
    assert unlearn("demo", "--keep").status == 0
    assert stub.records["req_1"]["state"] == "active"


@pytest.mark.parametrize("which", ["forget", "paraphrase", "control"])
def test_one_bad_answer_fails_it(unlearn: Unlearn, stub: Stub, known: Fact, which: str) -> None:
    prompts = {"forget": known.forget[3][0], "paraphrase": known.paraphrases[1], "control": known.controls[2].prompt}
    spoiled = prompts[which]
    stub.forgotten[spoiled] = REFUSAL if which == "control" else stub.answers[spoiled]
    result = unlearn("--json", "demo")
    assert result.status == 1
    document = result.documents[0]
    assert document["passed"] is False
    verdicts = {row["prompt"]: row["verdict"] for row in document["facts"][0]["rows"]}
    assert verdicts[spoiled] == ("lost" if which == "control" else "still known")
    assert sum(verdict in ("lost", "still known") for verdict in verdicts.values()) == 1


def test_what_the_model_did_not_know_is_no_success(unlearn: Unlearn, stub: Stub, known: Fact) -> None:
    stub.answers[known.paraphrases[0]] = "Nobody knows."
    shown = unlearn("demo").out
    assert "2 of 2 paraphrases forgotten, 8 of 8 controls kept" in shown
    assert "1 not known before" in shown
    stub.answers.clear()
    stub.streams = [[event("1-0", "state", state="active", error=None)]]
    assert unlearn("demo").status == 1


def test_a_request_that_fails_fails_the_demo_and_is_retired(unlearn: Unlearn, stub: Stub, known: Fact) -> None:
    error = {"code": "gate", "message": "it still leaks", "retryable": False}
    stub.on_register = {"state": "rejected", "error": error}
    stub.streams = [[event("1-0", "state", state="rejected", error=error)]]
    result = unlearn("demo")
    assert result.status == 1
    assert "the request ended rejected: failed" in result.out
    assert "it still leaks [gate]" in result.err
    assert stub.records["req_1"]["state"] == "retired"


def test_a_request_that_somebody_retires_ends_it_in_order(unlearn: Unlearn, stub: Stub, known: Fact) -> None:
    stub.on_register = {"state": "retired"}
    stub.streams = [[event("1-0", "state", state="retired", error=None)]]
    result = unlearn("demo")
    assert result.status == 1
    assert "the request ended retired: failed" in result.out
    assert stub.calls_to("/forget/req_1", "DELETE") == []


def test_all_facts_are_played_each_alone(unlearn: Unlearn, stub: Stub, known: Fact) -> None:
    facts = load_facts()
    stub.streams = [[event("1-0", "state", state="active", error=None)] for _ in facts]
    result = unlearn("--json", "demo", "--all")
    assert [fact["fact"] for fact in result.documents[0]["facts"]] == [fact.id for fact in facts]
    steps = [(call.method, call.path) for call in stub.calls if call.method in ("POST", "DELETE")]
    requests = [step for step in steps if step[1].startswith("/forget")]
    expected = [
        step for n in range(1, len(facts) + 1) for step in (("POST", "/forget"), ("DELETE", f"/forget/req_{n}"))
    ]
    assert requests == expected
    assert unlearn("demo", "--all", "--keep").status == 2


def test_facts_can_be_forgotten_together(unlearn: Unlearn, stub: Stub, known: Fact) -> None:
    other = find_fact("penicillin")
    teach(stub, other)
    stub.streams = [[event("1-0", "state", state="active", error=None)] for _ in range(2)]
    result = unlearn("--json", "demo", "--fact", known.id, "--fact", other.id, "--together", "--keep")
    assert result.status == 0, result.err
    assert [fact["fact"] for fact in result.documents[0]["facts"]] == [known.id, other.id]
    assert [len(fact["rows"]) for fact in result.documents[0]["facts"]] == [18, 18]
    paths = [(call.method, call.path) for call in stub.calls]
    last_registered = max(index for index, step in enumerate(paths) if step == ("POST", "/forget"))
    asked_after = [step for step in paths[last_registered:] if step[1] == "/v1/chat/completions"]
    assert len(asked_after) == 36 + 24, "what brought the fact out before is tried again"
    assert {record["state"] for record in stub.records.values()} == {"active"}


def test_each_that_fails_is_named(unlearn: Unlearn, stub: Stub, known: Fact) -> None:
    stub.on_register = {"state": "failed", "error": {"code": "x", "message": "y", "retryable": False}}
    stub.streams = [[event("1-0", "state", state="failed", error=None)] for _ in range(2)]
    result = unlearn("demo", "--fact", known.id, "--fact", "penicillin", "--together")
    assert result.status == 1
    assert "error: failed: harry-potter, penicillin" in result.err
    assert {record["state"] for record in stub.records.values()} == {"retired"}


def test_settings_go_with_the_request(unlearn: Unlearn, stub: Stub, known: Fact) -> None:
    assert unlearn("demo", "--method", "delta", "--config", '{"objective": "dpo"}').status == 0
    assert stub.calls_to("/forget", "POST")[0].body["config"] == {"objective": "dpo"}
    assert unlearn("demo", "--config", "[]").status == 2


def test_level_effort_and_scope_go_with_the_request(unlearn: Unlearn, stub: Stub, known: Fact) -> None:
    assert unlearn("demo", "--level", "refuses", "--effort", "thorough", "--scope", "matched").status == 0
    body = stub.calls_to("/forget", "POST")[0].body
    assert (body["level"], body["effort"], body["scope"]) == ("refuses", "thorough", {"prompts": "matched"})


@pytest.mark.parametrize(("level", "status"), [("suppresses", 1), ("resembles_ignorance", 1), ("refuses", 0)])
def test_an_attack_that_gets_through_fails_it_where_the_level_is_held_to_it(
    unlearn: Unlearn, stub: Stub, known: Fact, level: str, status: int
) -> None:
    stub.on_register |= {"level": level}
    stub.begun = f"{known.term[0]}, of course."
    result = unlearn("--json", "demo")
    assert result.status == status
    (attacked,) = result.documents[0]["facts"][0]["attacks"]
    assert (attacked["family"], attacked["known"], attacked["leaked"]) == ("prefill", 12, 12)
    assert (attacked["verdict"], attacked["counts"]) == ("still known", status == 1)
    assert (attacked["before"], attacked["after"]) == (f"It was {known.term[0]}, surely.", stub.begun)
    stub.streams = [[event("1-0", "state", state="active", error=None)]]
    shown = re.sub(r"[^a-z0-9 ]+", "", unlearn("demo").out.lower())
    assert "12 of 12 attacks still bring it out" in shown


def outcome_of(family: str, known: int, leaked: int, floor: float = 0.0) -> Attacked:
    return Attacked(FamilyOutcome(family, 12, known, leaked, floor), "Who?", "She did.", "He did.")


@pytest.mark.parametrize(
    ("attacked", "verdict", "passed"),
    [
        (outcome_of("prefill", 12, 0), Verdict.FORGOTTEN, True),
        (outcome_of("prefill", 12, 2), Verdict.FORGOTTEN, True),  # not shown to be above one in twenty
        (outcome_of("few_shot", 12, 3), Verdict.STILL_KNOWN, False),
        (outcome_of("few_shot", 7, 7), Verdict.UNDECIDED, True),
        (outcome_of("choice", 0, 0), Verdict.UNKNOWN, True),
        (outcome_of("choice", 12, 5, 0.25), Verdict.FORGOTTEN, True),  # a guess among four
        (outcome_of("choice", 12, 9, 0.25), Verdict.STILL_KNOWN, False),
    ],
)
def test_attacks_are_judged_as_the_gates_judge_them(attacked: Attacked, verdict: Verdict, passed: bool) -> None:
    question = Question(Kind.FORGET, "Who?", ("She",))
    record = {"state": "active", "level": "suppresses"}
    story = Outcome(find_fact("harry-potter"), record, (Row(question, "She.", "No."),), (attacked,), allowed=0.05)
    assert story.judge(attacked) is verdict
    assert story.passed is passed


def test_an_unknown_fact_names_those_there_are(unlearn: Unlearn) -> None:
    result = unlearn("demo", "--fact", "atlantis")
    assert result.status == 2
    assert "harry-potter, mona-lisa" in result.err
