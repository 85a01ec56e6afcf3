"""`report`: what was measured of a request, as a page, as JSON, or in a few lines."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer
from pydantic import ValidationError

from gateway.cli.context import CommandContext
from gateway.cli.failures import CommandFailed
from gateway.cli.requests import RequestId
from gateway.evidence.report.page import render
from gateway.evidence.report.report import Report


class UnreadableReport(CommandFailed):
    """The service gave something that is no report of this version."""

    code = "unreadable_report"


def report(
    ctx: typer.Context,
    request_id: RequestId,
    html: Annotated[
        Path | None, typer.Option(help="Write the page to this file; a browser prints it as PDF.", dir_okay=False)
    ] = None,
) -> None:
    """Show the last report of a request: the verdict, why, and what it does not show."""
    context: CommandContext = ctx.obj
    with context.client() as client:
        found = client.report(request_id)
    if html is None and context.as_json:
        context.emit(found)
        return
    try:
        made = Report.from_json(json.dumps(found))
    except ValidationError as error:
        raise UnreadableReport(f"the service's report is none of this version: {error.error_count()} fields") from None
    if html is not None:
        html.write_text(render(made), encoding="utf-8")
        context.note(f"{html} written")
    if context.as_json:
        context.emit(found)
        return
    context.say(f"{made.verdict.value}, level {made.claim.level.value}: suppressed, weights unchanged")
    for sentence in made.reasons:
        context.say(f"  {sentence}")
    context.say("what this does not show:")
    for sentence in made.limits:
        context.say(f"  {sentence}")
    context.say(f"tier {made.evaluation.tier.value}, valid until {made.valid_until}, {made.digest}")
