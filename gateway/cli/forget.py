"""`forget`: register an unlearning request, from a file or by its subject alone."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Any

import typer

from adapters.evaluation.levels import Level
from adapters.training.effort import Effort
from gateway.cli.config_option import parse_config
from gateway.cli.context import CommandContext
from gateway.cli.drafts import note_draft, show_examples
from gateway.cli.failures import UsageFailed
from gateway.cli.following import check_outcome
from gateway.cli.forget_files import read_body, read_items
from gateway.cli.method_settings import list_settings
from gateway.cli.records import estimate_line, outcome_line
from gateway.cli.watch import BAD_OUTCOMES, follow_and_show
from gateway.evidence.report.tiers import Keep, Tier
from gateway.store.records import Interim, Prompts, RequestState

_KEY = re.compile(r"[!-~]([ -~]*[!-~])?")


def forget(
    ctx: typer.Context,
    file: Annotated[
        Path | None,
        typer.Argument(
            metavar="FILE",
            help=".json: the request's body, or a list of items. .jsonl, .json: an item a line, as in OpenAI's "
            "fine-tuning files. .csv, .tsv: columns prompt,completion, or question,answer, or text. Without it the "
            "model is asked what it knows of --subject, and that is forgotten.",
        ),
    ] = None,
    subject: Annotated[
        str | None,
        typer.Option(
            help="A label for listings; without FILE, what the model is asked about. Stored in clear: no personal data."
        ),
    ] = None,
    method: Annotated[
        str | None,
        typer.Option(
            help="The unlearning method: spul, delta, uld, divergence, lora, or auto, which is the service's default."
        ),
    ] = None,
    level: Annotated[
        Level | None,
        typer.Option(help="What the evidence is to show; suppresses is the service's default. See docs/requests.md."),
    ] = None,
    effort: Annotated[
        Effort | None,
        typer.Option(help="What is spent on attacks while it is learned; quick is the service's default."),
    ] = None,
    scope: Annotated[
        Prompts | None,
        typer.Option(help="The prompts it applies to: those that are about it, as the service's default is, or all."),
    ] = None,
    interim: Annotated[
        Interim | None,
        typer.Option(
            help="With matched: whether prompts that are about it are refused until it is active, which is the "
            "service's default, or answered."
        ),
    ] = None,
    tier: Annotated[
        Tier | None,
        typer.Option(help="How much the evaluation asks; standard is the service's default. See docs/evidence.md."),
    ] = None,
    keep: Annotated[
        Keep | None,
        typer.Option(
            help="What stays of its questions: nothing, as the service's default is, or the probes, encrypted."
        ),
    ] = None,
    tenant: Annotated[
        str | None, typer.Option(help="Whose answers it applies to. [default: your tenant's, or everybody's]")
    ] = None,
    retain: Annotated[
        Path | None, typer.Option(metavar="FILE", help="What must stay; same kinds of file, items only.")
    ] = None,
    config: Annotated[
        str | None,
        typer.Option(metavar="JSON", help="The method's settings, as in '{\"max_steps\": 200}'; see --settings."),
    ] = None,
    settings: Annotated[
        str | None, typer.Option("--settings", metavar="METHOD", help="List the settings of a method and exit.")
    ] = None,
    manual: Annotated[bool, typer.Option("--manual", help="Do not activate when ready.")] = False,
    review: Annotated[
        bool,
        typer.Option(
            "--review",
            help="With a subject alone: print what the model knows of it, an item a line, and train nothing yet. "
            "Implies --manual.",
        ),
    ] = False,
    wait: Annotated[bool, typer.Option("--wait/--no-wait", help="Follow the request to its end.")] = True,
    idempotency_key: Annotated[
        str | None, typer.Option(help="The same key with the same file registers one request, however often.")
    ] = None,
) -> None:
    """Make the model forget what FILE holds, or what it knows of a subject."""
    context: CommandContext = ctx.obj
    if settings is not None:
        list_settings(context, settings)
        return
    body = {} if file is None else read_body(file)
    options = {
        "subject": subject,
        "tenant": tenant,
        "method": method,
        "level": None if level is None else level.value,
        "effort": None if effort is None else effort.value,
        "config": None if config is None else parse_config(config),
    }
    body |= {name: value for name, value in options.items() if value is not None}
    for part, chosen in (
        ("scope", {"prompts": scope, "interim": interim}),
        ("evidence", {"tier": tier, "keep": keep}),
    ):
        asked = {name: value.value for name, value in chosen.items() if value is not None}
        if asked:
            given = body.get(part)  # of a .json file; what else it says of this stays
            body[part] = {**(given if isinstance(given, dict) else {}), **asked}
    if retain is not None:
        body["retain"] = read_items(retain)
    if manual or review:
        body["activation"] = "manual"
    _check_usage(body, file, review=review, wait=wait)
    if idempotency_key is not None and not _KEY.fullmatch(idempotency_key):
        raise UsageFailed("--idempotency-key: must be printable ASCII characters, at least one")
    with context.client() as client:
        record = client.register(body, idempotency_key=idempotency_key)
        what = f"{record['forget_count']} items to forget" if record["forget_count"] else "the model is asked first"
        context.note(f"registered {record['id']}: {what}{_told(record)}")
        if not wait:
            context.show(record, outcome_line(record))
            return
        record = follow_and_show(context, client, record["id"])
        drafted = record["state"] == RequestState.DRAFTED
        if drafted and review:
            show_examples(context, client.examples(record["id"]))
    if drafted:
        note_draft(context, record)
    if not context.as_json and not review:
        context.say(outcome_line(record))
    check_outcome(record, bad=(*BAD_OUTCOMES, "retired"))


def _check_usage(body: dict[str, Any], file: Path | None, *, review: bool, wait: bool) -> None:
    if file is None and not body.get("subject"):
        raise UsageFailed("give a FILE, or a --subject to ask the model about")
    if review and "forget" in body:
        raise UsageFailed("--review: the request holds its forget set already; leave FILE out")
    if review and not wait:
        raise UsageFailed("--review waits for what the model says; leave --no-wait out")


def _told(record: dict[str, Any]) -> str:
    line = estimate_line(record)
    return f", {line}" if line else ""
