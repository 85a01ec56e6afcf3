"""watch: live progress, broken connections, ends."""

from __future__ import annotations

import pytest

from gateway.cli import following
from gateway.cli.following import follow
from gateway.client.client import UnlearnClient
from gateway.client.errors import ServiceRefused, ServiceUnreachable
from tests.unit.gateway.cli.conftest import Unlearn
from tests.unit.gateway.cli.stub import Stub, event

TRAINING = event("1-0", "state", state="training", error=None)
STEP = event("2-0", "progress", phase="training", step=12, steps=90, loss=1.23456, eta_s=65, metrics={})
ACTIVE = event("3-0", "state", state="active", error=None)


def test_states_and_progress_are_shown(unlearn: Unlearn, stub: Stub) -> None:
    stub.add("req_a", timings={"training_s": 100.0})
    stub.streams = [[TRAINING, ": ping\n\n", STEP, ACTIVE]]
    result = unlearn("watch", "req_a")
    assert (result.status, result.out) == (0, "")
    assert result.err == "training\n  training 12/90, loss 1.235, 1m05s left\nactive\ntook 1m40s\n"


def attacking(number: int, step: int, leaks: int, steps: int = 120) -> str:
    metrics = {"round": number, "leaks": leaks}
    data = {"phase": "attacking", "step": step, "steps": steps, "loss": None, "eta_s": None, "metrics": metrics}
    return event(f"2-{number}{step}", "progress", **data)


def test_rounds_of_attacks_are_shown_with_their_leaks(unlearn: Unlearn, stub: Stub) -> None:
    stub.add("req_a")
    stub.streams = [[TRAINING, attacking(1, 64, 3), attacking(1, 120, 5), STEP, attacking(2, 120, 0), ACTIVE]]
    assert unlearn("watch", "req_a").err.splitlines()[1:-1] == [
        "  red team 64/120, round 1: 3 of 64 leak",
        "  red team 120/120, round 1: 5 of 120 leak",
        "  training 12/90, loss 1.235, 1m05s left",
        "  red team 120/120, round 2: 0 of 120 leak",
    ]


def test_a_red_team_that_could_not_be_is_said(unlearn: Unlearn, stub: Stub) -> None:
    stub.add("req_a")
    stub.streams = [[TRAINING, attacking(0, 0, 0, steps=0), ACTIVE]]
    assert "  red team, left out: the model does not fit the device\n" in unlearn("watch", "req_a").err


def test_json_is_one_document_an_event(unlearn: Unlearn, stub: Stub) -> None:
    stub.add("req_a")
    stub.streams = [[TRAINING, STEP, ACTIVE]]
    result = unlearn("--json", "watch", "req_a")
    assert [(d["id"], d["event"]) for d in result.documents] == [
        ("1-0", "state"),
        ("2-0", "progress"),
        ("3-0", "state"),
    ]
    assert result.err == ""


@pytest.mark.parametrize("broken", [[TRAINING, STEP, None], [TRAINING, STEP, "id: 9-9\nevent: state\nda", None]])
def test_a_broken_stream_goes_on_after_the_last_event(stub: Stub, broken: list[str | None]) -> None:
    stub.add("req_a")
    stub.streams = [broken, [ACTIVE]]
    pauses: list[float] = []
    with UnlearnClient(stub.url) as client:
        ids = [update.id for update in follow(client, "req_a", pause=pauses.append)]
    assert ids == ["1-0", "2-0", "3-0"]
    first, second = stub.calls_to("/forget/req_a/events")
    assert "last-event-id" not in first.headers
    assert second.headers["last-event-id"] == "2-0"
    assert len(pauses) == 1


def test_a_stream_that_ends_early_is_no_end(stub: Stub) -> None:
    record = stub.add("req_a", state="training")
    stub.streams = [[TRAINING], [ACTIVE]]

    def pause(_seconds: float) -> None:
        record["state"] = "active"

    with UnlearnClient(stub.url) as client:
        assert [update.id for update in follow(client, "req_a", pause=pause)] == ["1-0", "3-0"]


def test_a_request_on_its_way_to_active_is_waited_for(stub: Stub) -> None:
    record = stub.add("req_a", state="ready", activation="auto")
    stub.streams = [[TRAINING], [ACTIVE]]
    with UnlearnClient(stub.url) as client:
        assert len(list(follow(client, "req_a", pause=lambda _: record.update(state="active")))) == 2


def test_it_gives_up_when_nothing_comes(stub: Stub) -> None:
    stub.add("req_a", state="training")
    stub.streams = [[TRAINING], *([[]] * 20)]
    pauses: list[float] = []
    with UnlearnClient(stub.url) as client, pytest.raises(ServiceUnreachable):
        list(follow(client, "req_a", pause=pauses.append))
    assert len(pauses) == following._TRIES - 1
    assert max(pauses) <= following._LONGEST_PAUSE_S


def test_a_service_that_is_starting_is_waited_for(stub: Stub) -> None:
    stub.add("req_a")
    stub.streams = [[TRAINING, None], [ACTIVE]]
    starting = (503, {"error": {"message": "starting", "code": "not_ready"}})

    def pause(_seconds: float) -> None:
        if stub.refusals:
            stub.refusals.clear()
        else:
            stub.refusals["GET /forget/req_a/events"] = starting

    with UnlearnClient(stub.url) as client:
        assert [update.id for update in follow(client, "req_a", pause=pause)] == ["1-0", "3-0"]


def test_a_request_nobody_knows(stub: Stub) -> None:
    with UnlearnClient(stub.url) as client, pytest.raises(ServiceRefused, match="no request"):
        list(follow(client, "req_none"))


def test_failure_is_a_bad_exit_and_retirement_is_none(unlearn: Unlearn, stub: Stub) -> None:
    error = {"code": "training_diverged", "message": "the loss is not finite", "retryable": True}
    stub.add("req_a", state="failed", error=error)
    stub.streams = [[event("1-0", "state", state="failed", error=error)]]
    result = unlearn("watch", "req_a")
    assert result.status == 1
    assert "failed: the loss is not finite [training_diverged] (can be tried again)" in result.err
    stub.add("req_b", state="retired")
    stub.streams = [[event("1-0", "state", state="retired", error=None)]]
    assert unlearn("watch", "req_b").status == 0
