"""`watch`: a request's way, live."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Protocol

import typer
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn

from gateway.cli.context import CommandContext
from gateway.cli.following import check_outcome, follow
from gateway.cli.records import duration, error_line, evidence_line, phase_name, progress_line
from gateway.cli.requests import RequestId
from gateway.client.client import Event, UnlearnClient

BAD_OUTCOMES = ("failed", "rejected")


class View(Protocol):
    """Shows updates as they come."""

    def show(self, update: Event) -> None: ...


def watch(ctx: typer.Context, request_id: RequestId) -> None:
    """Follow a request until it stays as it is: state, step, loss, time left."""
    context: CommandContext = ctx.obj
    with context.client() as client:
        record = follow_and_show(context, client, request_id)
    check_outcome(record, bad=BAD_OUTCOMES)


def follow_and_show(context: CommandContext, client: UnlearnClient, request_id: str) -> dict[str, Any]:
    """Show the request's events to the end; returns its record then."""
    with _view(context) as view:
        for update in follow(client, request_id):
            view.show(update)
    record = client.show(request_id)
    if not context.as_json:
        if record.get("evidence"):
            context.note(evidence_line(record["evidence"]))
        if record.get("timings"):
            context.note(f"took {duration(sum(record['timings'].values()))}")
    return record


class _JsonView:
    """One document an event."""

    def __init__(self, context: CommandContext) -> None:
        self._context = context

    def show(self, update: Event) -> None:
        self._context.emit({"id": update.id, "event": update.kind, "data": update.data})


class _LineView:
    """For a log: a line a state, and one a tenth of each phase."""

    def __init__(self, context: CommandContext) -> None:
        self._context = context
        self._tenth: tuple[str, int] | None = None

    def show(self, update: Event) -> None:
        if update.kind == "state":
            self._context.note(_state_line(update.data))
        elif update.kind == "progress":
            tenth = (update.data["phase"], 10 * update.data["step"] // max(1, update.data["steps"]))
            if tenth != self._tenth:
                self._tenth = tenth
                self._context.note(f"  {progress_line(update.data)}")


class _BarView:
    """For a terminal: a bar for the phase that runs."""

    def __init__(self, context: CommandContext, bar: Progress) -> None:
        self._context = context
        self._bar = bar
        self._task = bar.add_task("", total=None, visible=False, detail="")

    def show(self, update: Event) -> None:
        if update.kind == "state":
            self._bar.update(self._task, visible=False)
            self._context.note(_state_line(update.data))
        elif update.kind == "progress":
            data = update.data
            _, *detail = progress_line(data).split(", ")
            self._bar.update(
                self._task,
                description=phase_name(data["phase"]),
                completed=data["step"],
                total=max(1, data["steps"]),
                visible=True,
                detail=", ".join(detail),
            )


@contextmanager
def _view(context: CommandContext) -> Iterator[View]:
    if context.as_json:
        yield _JsonView(context)
    elif not context.err.is_terminal:
        yield _LineView(context)
    else:
        columns = (
            TextColumn("  {task.description}"),
            BarColumn(),
            TaskProgressColumn(),
            TimeElapsedColumn(),
            TextColumn("{task.fields[detail]}"),
        )
        with Progress(*columns, console=context.err, transient=True) as bar:
            yield _BarView(context, bar)


def _state_line(data: dict[str, Any]) -> str:
    return f"{data['state']}: {error_line(data['error'])}" if data.get("error") else str(data["state"])
