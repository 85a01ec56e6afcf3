"""What a request is told to take: what those like it took here."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from adapters.evaluation.levels import Level
from adapters.training.effort import Effort
from gateway.evidence.report.tiers import Tier
from gateway.requests.estimate import Estimate, estimate
from gateway.store.records import RequestRecord
from tests.unit.gateway.store.samples import sample

AUTO: dict[str, Any] = {"selection": {"asked": {}, "candidates": [], "trials": []}, "level": Level.SUPPRESSES}


def finished(seconds: float, **changes: Any) -> RequestRecord:
    timings = {"queued_s": 1000.0, "training_s": seconds - 5, "evaluating_s": 5.0}
    return sample(**AUTO | {"evidence": {"forget": {}}, "timings": timings} | changes)


def test_it_is_the_median_of_the_last_five() -> None:
    latest = [finished(seconds) for seconds in (40, 20, 90, 30, 50, 1, 1, 1)]
    assert estimate(sample(**AUTO), latest) == Estimate(40.0, 5.0, "this service")
    assert estimate(sample(**AUTO), latest[:2]) == Estimate(30.0, 5.0, "this service")


@pytest.mark.parametrize(
    "other",
    [
        {"level": Level.REFUSES},
        {"effort": Effort.STANDARD},
        {"evaluation": {"tier": "smoke"}},
        {"selection": None},  # its method was named
        {"model_digest": "e" * 64},
        {"evidence": None},  # it failed, or is not done
    ],
)
def test_what_is_not_like_it_does_not_count(other: dict[str, Any]) -> None:
    assert estimate(sample(**AUTO), [finished(40, **other)]).source == "two cores"
    assert estimate(sample(**AUTO), [finished(40, **other), finished(70)]) == Estimate(70.0, 5.0, "this service")


def test_of_a_named_method_objective_and_method_are_to_be_the_same() -> None:
    asked = sample(method="delta", config={"objective": "npo"})
    latest = [
        finished(10, selection=None, level=asked.level, method=method, config=config)
        for method, config in (
            ("delta", {}),
            ("lora", {"objective": "npo"}),
            ("delta", {"objective": "npo", "rank": 4}),
        )
    ]
    assert estimate(asked, latest[:2]).source == "two cores"
    assert estimate(asked, latest) == Estimate(10.0, 5.0, "this service")


def test_each_tier_is_told_its_time_before_anything_was_measured_here() -> None:
    told = [estimate(sample(**AUTO, evaluation={"tier": tier}), []) for tier in Tier]
    assert {(each.seconds, each.source) for each in told} == {(None, "two cores")}
    times = [each.evaluation_s for each in told]
    assert times == sorted(set(times))


def test_what_a_request_learns_by_default_is_told_its_time() -> None:
    first = sample(**AUTO, method="delta", config={"objective": "counterfactual"}, effort=Effort.QUICK)
    told = estimate(first, [])
    assert told.seconds is not None
    assert told.seconds > told.evaluation_s
    assert estimate(replace(first, effort=Effort.THOROUGH), []).seconds is None
