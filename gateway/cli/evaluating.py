"""`verify --again --examples`: the evaluation of a certificate, made anew by whoever still has the examples."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from adapters.examples import Example
from gateway.cli.context import CommandContext
from gateway.cli.failures import UsageFailed
from gateway.cli.forget_files import read_items
from gateway.cli.records import progress_line
from gateway.errors import Unprocessable
from gateway.evidence.report.report import Report
from gateway.evidence.verification.finding import Fault
from gateway.jobs.again import Again, evaluate_again
from gateway.requests.example_set import example_set
from gateway.requests.items import Item
from gateway.store.records import RequestState

_ITEMS: TypeAdapter[list[Item]] = TypeAdapter(list[Item])


def held_against(
    context: CommandContext, report: Report, examples: Path, retain: Path | None
) -> Iterator[tuple[Fault, str]]:
    """Evaluate a request by these examples, as the service answers now; where that comes to something else.

    Raises `UsageFailed` for files that hold no examples, and for a request whose answers cannot be asked for.
    """
    forget, kept = _examples("forget", examples), () if retain is None else _examples("retain", retain)
    with context.client() as client:
        state = client.show(report.request.id)["state"]
        if state not in (RequestState.ACTIVE, RequestState.READY):
            raise UsageFailed(f"{report.request.id} is {state}: nothing of it is left to ask")
        found = asyncio.run(
            evaluate_again(
                client,
                report,
                forget,
                kept,
                lambda progress: context.note(progress_line(asdict(progress))),
                served=state == RequestState.ACTIVE,
            )
        )
    context.note(_summary(report, found))
    if not found.same_probes:
        yield Fault.PROBES_DIFFER, "these examples give other numbers of probes than the report has; are they the same?"
    if found.judgement.verdict is not report.verdict:
        yield Fault.VERDICT_DIFFERS, f"it comes to {found.judgement.verdict} now, and the report says {report.verdict}"


def _summary(report: Report, found: Again) -> str:
    then, now = report.evaluation, found.evaluation
    return (
        f"again: {found.judgement.verdict}; direct questions leak {now.forget.after.leaked} of {now.forget.after.n} "
        f"(certified {then.forget.after.leaked} of {then.forget.after.n}), attacks {now.pooled.after.leaked} of "
        f"{now.pooled.after.n} (certified {then.pooled.after.leaked} of {then.pooled.after.n})"
    )


def _examples(name: str, path: Path) -> tuple[Example, ...]:
    items = read_items(path)
    try:
        return example_set(name, _ITEMS.validate_python(items), most=len(items) * 1000).examples
    except (Unprocessable, ValidationError):
        raise UsageFailed(f"{path}: holds no examples as `unlearn forget` takes them") from None
