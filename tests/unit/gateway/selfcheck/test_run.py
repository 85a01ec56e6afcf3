"""Checks that end without an outcome of their own, and the report of all."""

from __future__ import annotations

import asyncio
import json

from adapters.errors import InvalidArtifact
from gateway.errors import AdapterUnavailable
from gateway.selfcheck.outcome import Outcome, Status, beyond, within
from gateway.selfcheck.run import Check, SelfCheck


async def passing() -> list[Outcome]:
    return [Outcome("passing", Status.PASS, "fine")]


async def warned() -> list[Outcome]:
    return [Outcome("warned", Status.WARN, "look at it")]


async def refused() -> list[Outcome]:
    raise AdapterUnavailable("the engine refused the adapter")


async def malformed() -> list[Outcome]:
    raise InvalidArtifact("not finite")


async def silent() -> list[Outcome]:
    await asyncio.sleep(60)
    return []


async def test_a_warning_is_no_failure() -> None:
    checks = SelfCheck([Check("a", passing), Check("b", warned)])
    report = await checks.run()
    assert report.passed
    assert checks.last is report
    assert report.summary == "all checks passed"


async def test_a_failure_that_no_answer_depends_on_is_told_and_keeps_nobody_waiting() -> None:
    async def failing() -> list[Outcome]:
        return [Outcome("worker", Status.FAIL, "none alive", blocks=False)]

    report = await SelfCheck([Check("a", passing), Check("queue", failing)]).run()
    assert not report.passed
    assert report.ready
    assert report.to_dict()["status"] == "fail"
    assert not (await SelfCheck([Check("a", refused), Check("queue", failing)]).run()).ready


async def test_a_check_that_cannot_be_made_has_failed_and_the_others_go_on() -> None:
    wanted = [Check("a", refused), Check("b", malformed), Check("c", silent), Check("d", passing)]
    report = await SelfCheck(wanted, longest_s=0.05).run()
    assert [outcome.check for outcome in report.failures] == ["a", "b", "c"]
    assert "refused the adapter" in report.summary
    assert "no result within 0.05 s" in report.summary
    assert report.outcomes[-1].check == "passing"


async def test_a_report_is_json_also_where_nothing_could_be_measured() -> None:
    async def odd() -> list[Outcome]:
        return [within("odd", float("nan"), 0.1, "nats", "try again"), beyond("far", float("inf"), 1.0, "nats", "")]

    report = json.loads(json.dumps((await SelfCheck([Check("odd", odd)]).run()).to_dict(), allow_nan=False))
    assert report["status"] == "fail"
    assert [(check["status"], check["measured"]) for check in report["checks"]] == [("fail", None), ("pass", None)]


def test_a_bound_is_kept_or_not() -> None:
    assert within("x", 0.1, 0.1, "nats", "advice").status is Status.PASS
    assert within("x", 0.11, 0.1, "nats", "advice").advice == "advice"
    assert beyond("x", 0.1, 0.1, "nats", "advice").advice == ""
    assert beyond("x", float("nan"), 0.1, "nats", "advice").status is Status.FAIL
