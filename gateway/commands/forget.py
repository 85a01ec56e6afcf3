"""`forget`: register an unlearning request from a file."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from gateway.commands.config_option import parse_config
from gateway.commands.context import CommandContext
from gateway.commands.following import check_outcome
from gateway.commands.forget_files import read_body, read_items
from gateway.commands.watch import BAD_OUTCOMES, follow_and_show


def forget(
    ctx: typer.Context,
    file: Annotated[
        Path,
        typer.Argument(
            metavar="FILE",
            help=".json: the request's body, or a list of items. .jsonl: an item a line, as in OpenAI's "
            "fine-tuning files. .csv: columns prompt,completion, or text.",
        ),
    ],
    subject: Annotated[
        str | None, typer.Option(help="A label for listings. Stored in clear: no personal data.")
    ] = None,
    method: Annotated[
        str | None,
        typer.Option(
            help="The unlearning method: spul, delta, uld, divergence, lora, or auto, which is the service's default."
        ),
    ] = None,
    retain: Annotated[
        Path | None, typer.Option(metavar="FILE", help="What must stay; same kinds of file, items only.")
    ] = None,
    config: Annotated[
        str | None, typer.Option(metavar="JSON", help="The method's settings, as in '{\"max_steps\": 200}'.")
    ] = None,
    manual: Annotated[bool, typer.Option("--manual", help="Do not activate when ready.")] = False,
    wait: Annotated[bool, typer.Option("--wait/--no-wait", help="Follow the request to its end.")] = True,
    idempotency_key: Annotated[
        str | None, typer.Option(help="The same key with the same file registers one request, however often.")
    ] = None,
) -> None:
    """Make the model forget what FILE holds."""
    context: CommandContext = ctx.obj
    body = read_body(file)
    options = {"subject": subject, "method": method, "config": None if config is None else parse_config(config)}
    body |= {name: value for name, value in options.items() if value is not None}
    if retain is not None:
        body["retain"] = read_items(retain)
    if manual:
        body["activation"] = "manual"
    with context.client() as client:
        record = client.register(body, idempotency_key=idempotency_key)
        if not wait:
            _print(context, record)
            return
        context.note(f"registered {record['id']}: {record['forget_count']} items to forget")
        record = follow_and_show(context, client, record["id"])
    if not context.as_json:
        _print(context, record)
    check_outcome(record, bad=(*BAD_OUTCOMES, "retired"))


def _print(context: CommandContext, record: dict[str, Any]) -> None:
    if context.as_json:
        context.emit(record)
    else:
        context.say(f"{record['id']} is {record['state']}")
