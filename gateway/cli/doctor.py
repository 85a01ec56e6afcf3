"""`doctor`: whether the service computes what it should."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import typer
from rich.table import Table
from rich.text import Text

from gateway.cli.context import CommandContext

_STYLES = {"pass": "green", "warn": "yellow", "fail": "bold red"}


def doctor(ctx: typer.Context) -> None:
    """Check the running service: its engine's answers, Redis, queue, worker, log, disk and clock.

    Works also while the service is not ready because of it. Takes the operator's token. Ends with status 0 where
    nothing failed, 1 where something did.
    """
    context: CommandContext = ctx.obj
    with context.client() as client:
        report = client.doctor()
    if context.as_json:
        context.emit(report)
    else:
        context.out.print(_table(report))
        for check in report["checks"]:
            if check["advice"]:
                context.say(f"{check['check']}: {check['advice']}")
    if report["status"] != "pass":
        raise typer.Exit(1)


def _table(report: Mapping[str, Any]) -> Table:
    failed = sum(check["status"] == "fail" for check in report["checks"])
    title = f"{len(report['checks'])} checks in {report['seconds']:.1f} s, {failed} failed"
    table = Table(title=title, title_justify="left")
    for column in ("check", "", "found"):
        table.add_column(column, overflow="fold")
    for check in report["checks"]:
        table.add_row(Text(check["check"]), Text(check["status"], style=_STYLES[check["status"]]), Text(check["found"]))
    return table
