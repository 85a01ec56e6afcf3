"""`examples`, `train`: the forget set that a request by subject alone waits with, and its way on from there."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from gateway.cli.context import CommandContext
from gateway.cli.following import check_outcome
from gateway.cli.forget_files import read_body
from gateway.cli.records import outcome_line
from gateway.cli.requests import RequestId
from gateway.cli.watch import BAD_OUTCOMES, follow_and_show


def examples(
    ctx: typer.Context,
    request_id: RequestId,
    file: Annotated[
        Path | None,
        typer.Argument(metavar="FILE", help="The list to put in its place; same kinds of file as for forget."),
    ] = None,
) -> None:
    """Show what the model said about a drafted request's subject, or forget FILE instead."""
    context: CommandContext = ctx.obj
    body = None if file is None else read_body(file)
    with context.client() as client:
        if body is None:
            show_examples(context, client.examples(request_id))
            return
        record = client.replace_examples(request_id, body)
    context.show(record, f"{outcome_line(record)}: {record['forget_count']} items to forget")


def train(
    ctx: typer.Context,
    request_id: RequestId,
    wait: Annotated[bool, typer.Option("--wait/--no-wait", help="Follow the request to its end.")] = True,
) -> None:
    """Train a drafted request on its list as it is now."""
    context: CommandContext = ctx.obj
    with context.client() as client:
        record = client.train(request_id)
        if wait:
            record = follow_and_show(context, client, request_id)
    if not context.as_json:
        context.say(outcome_line(record))
    elif not wait:
        context.emit(record)
    if wait:
        check_outcome(record, bad=(*BAD_OUTCOMES, "retired"))


def show_examples(context: CommandContext, items: list[dict[str, Any]]) -> None:
    """An item a line, as `forget` and `examples` read them from .jsonl; with --json one body, as from .json."""
    for document in [{"forget": items}] if context.as_json else items:
        context.emit(document)


def note_draft(context: CommandContext, record: dict[str, Any]) -> None:
    """What there is to do with a draft, beside it."""
    context.note(
        f"{record['id']} waits with {record['forget_count']} items: see them with `unlearn examples {record['id']}`, "
        f"change them with `unlearn examples {record['id']} FILE`, train it with `unlearn train {record['id']}`"
    )
