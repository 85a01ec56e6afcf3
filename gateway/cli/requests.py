"""`list`, `show`, `activate`, `deactivate`, `retire`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any

import typer

from gateway.cli.context import CommandContext
from gateway.cli.records import card, error_line, losses, outcome_line, table
from gateway.client.client import UnlearnClient
from gateway.store.records import RequestState

RequestId = Annotated[str, typer.Argument(metavar="ID", help="The request's id, as `unlearn list` shows it.")]


def list_requests(
    ctx: typer.Context,
    state: Annotated[RequestState | None, typer.Option(help="Only requests in this state.")] = None,
    limit: Annotated[int, typer.Option(min=1, help="At most this many.")] = 50,
) -> None:
    """Show the unlearning requests, newest first."""
    context: CommandContext = ctx.obj
    with context.client() as client:
        records = list(client.requests(state=state, limit=limit))
    if context.as_json:
        context.emit({"object": "list", "data": records})
    elif records:
        context.out.print(table(records))
    else:
        context.say("no requests" if state is None else f"no requests are {state}")


def show(ctx: typer.Context, request_id: RequestId) -> None:
    """Show one request: its state, settings, progress and evidence."""
    context: CommandContext = ctx.obj
    with context.client() as client:
        record = client.show(request_id)
    if context.as_json:
        context.emit(record)
    else:
        context.out.print(card(record))


def activate(ctx: typer.Context, request_id: RequestId) -> None:
    """Apply a ready request to every answer from now on."""
    _step(ctx.obj, request_id, UnlearnClient.activate)


def deactivate(ctx: typer.Context, request_id: RequestId) -> None:
    """Stop applying an active request; it stays ready."""
    _step(ctx.obj, request_id, UnlearnClient.deactivate)


def retire(ctx: typer.Context, request_id: RequestId) -> None:
    """Retire a request for good: it stops applying or training, its texts and its adapter are erased."""
    _step(ctx.obj, request_id, UnlearnClient.retire)


def _step(context: CommandContext, request_id: str, step: Callable[[UnlearnClient, str], dict[str, Any]]) -> None:
    with context.client() as client:
        record = step(client, request_id)
    if context.as_json:
        context.emit(record)
        return
    context.say(outcome_line(record))
    if record.get("error"):
        context.note(error_line(record["error"]))
    for said in losses(record):
        context.note(said)
