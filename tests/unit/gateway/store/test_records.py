from __future__ import annotations

import json

import pytest

from adapters.artifact.footprint import Footprint
from adapters.evaluation.levels import Level
from adapters.training.effort import DEFAULT_EFFORT, Effort
from gateway.store.records import FINAL, PENDING, TRANSITIONS, RequestRecord, RequestState, encode_fields
from tests.unit.gateway.store.samples import sample


def test_a_record_survives_the_hash() -> None:
    record = sample(config={"lr": 0.01, "layers": []}, evidence={"n": 1}, error=None, timings={"queued_s": 0.5})
    assert RequestRecord.from_fields(record.to_fields()) == record


@pytest.mark.parametrize("name", ["rows", "offset_rank", "target_rank"])
def test_an_older_record_keeps_its_footprint(name: str) -> None:
    fields = sample().to_fields()
    del fields["footprint"]
    assert RequestRecord.from_fields(fields | {name: "16"}).footprint == Footprint(**{name: 16})


def test_an_older_record_claims_the_least() -> None:
    record = sample(level=Level.SUPPRESSES)
    assert RequestRecord.from_fields(record.to_fields()).level is Level.SUPPRESSES
    fields = record.to_fields()
    del fields["level"]
    assert RequestRecord.from_fields(fields).level is Level.REFUSES
    assert json.loads(json.dumps(record.to_dict()))["level"] == "suppresses"


def test_an_older_record_was_worth_the_effort_that_is_the_default() -> None:
    record = sample(effort=Effort.QUICK)
    assert RequestRecord.from_fields(record.to_fields()).effort is Effort.QUICK
    fields = record.to_fields()
    for name in ("effort", "estimate_s", "estimate_from"):
        del fields[name]
    older = RequestRecord.from_fields(fields)
    assert (older.effort, older.estimate_s, older.estimate_from) == (DEFAULT_EFFORT, None, None)


@pytest.mark.parametrize(
    ("scope", "matched"),
    [
        ({"prompts": "matched", "otherwise": "always"}, True),
        ({"prompts": "matched", "otherwise": "reject"}, True),
        ({"prompts": "always", "otherwise": "reject"}, False),
        ({"prompts": "always"}, False),
        ({}, False),
    ],
)
def test_a_record_keeps_its_scope(scope: dict[str, str], matched: bool) -> None:
    record = RequestRecord.from_fields(sample(scope=scope).to_fields())
    assert (record.scope, record.matched) == (scope, matched)


def test_an_older_record_applies_to_every_prompt() -> None:
    fields = sample(scope={"prompts": "matched"}).to_fields()
    del fields["scope"]
    assert not RequestRecord.from_fields(fields).matched


def test_to_dict_is_json() -> None:
    assert json.loads(json.dumps(sample().to_dict()))["state"] == "registered"


def test_unknown_fields_are_refused() -> None:
    with pytest.raises(TypeError, match="stat"):
        encode_fields({"stat": "ready"})


def test_every_state_has_its_transitions_and_retired_is_the_end() -> None:
    assert set(TRANSITIONS) == set(RequestState)
    assert not TRANSITIONS[RequestState.RETIRED]
    assert all(RequestState.RETIRED in TRANSITIONS[state] for state in RequestState if state != "retired")
    assert all(RequestState.FAILED in TRANSITIONS[state] for state in PENDING)
    assert set(RequestState) == FINAL | PENDING | {RequestState.DRAFTED}


@pytest.mark.parametrize(
    ("changes", "awaits"),
    [
        ({"state": RequestState.READY, "activation": "auto"}, True),
        ({"state": RequestState.READY, "activation": "manual"}, False),
        ({"state": RequestState.READY, "activation": "auto", "activated_seq": 3}, False),
        ({"state": RequestState.READY, "activation": "auto", "error": {"code": "x"}}, False),
        ({"state": RequestState.ACTIVE, "activation": "auto"}, False),
    ],
)
def test_awaits_activation(changes: dict[str, object], awaits: bool) -> None:
    assert sample(**changes).awaits_activation is awaits
