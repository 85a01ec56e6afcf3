"""The command itself."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from gateway.commands.client import UnlearnClient
from gateway.commands.context import CommandContext
from gateway.commands.demo import report
from gateway.commands.demo.facts import Fact, find_fact, load_facts, model_name
from gateway.commands.demo.service import running_service
from gateway.commands.demo.story import Outcome, play
from gateway.commands.failures import CommandFailed, UsageFailed
from gateway.commands.records import error_line
from gateway.commands.watch import follow_and_show


class DemoFailed(CommandFailed):
    """A check failed; the tables say which."""

    code = "demo_failed"


def demo(
    ctx: typer.Context,
    fact: Annotated[str, typer.Option(metavar="ID", help="Which fact to forget; --list names them.")] = "harry-potter",
    every: Annotated[bool, typer.Option("--all", help="All facts one after the other, each alone.")] = False,
    method: Annotated[str, typer.Option(help="The unlearning method: spul, delta, uld, divergence, or auto.")] = "auto",
    keep: Annotated[bool, typer.Option("--keep", help="Leave the request active at the end.")] = False,
    list_facts: Annotated[bool, typer.Option("--list", help="Name the facts and exit.")] = False,
) -> None:
    """Forget a fact the default model knows; ask before and after.

    Uses the service that runs, or starts one for the time being. Ends with status 1 when any check failed: a
    forgotten question that still names the fact, or another that lost its own.
    """
    context: CommandContext = ctx.obj
    if list_facts:
        _list(context)
        return
    if every and keep:
        raise UsageFailed("--all and --keep exclude each other: each fact is forgotten alone")
    facts = load_facts() if every else (find_fact(fact),)
    with running_service(context) as client:
        outcomes = [_play_and_show(context, client, fact, method, keep=keep) for fact in facts]
    _conclude(context, outcomes)


def _list(context: CommandContext) -> None:
    facts = load_facts()
    if context.as_json:
        context.emit([{"id": fact.id, "title": fact.title} for fact in facts])
        return
    for fact in facts:
        context.say(f"{fact.id:20} {fact.title}")


def _play_and_show(context: CommandContext, client: UnlearnClient, fact: Fact, method: str, *, keep: bool) -> Outcome:
    model = client.model()
    if model != model_name():
        context.note(f"note: the facts were chosen for {model_name()}; {model} may not know them")
    if active := [record["id"] for record in client.requests(state="active")]:
        context.note(f"note: {len(active)} other requests are active and apply to the answers after")
    context.note(f"forgetting {fact.title}")
    quiet = CommandContext(as_json=False, err=context.err)

    def follow(request_id: str) -> dict[str, Any]:
        return follow_and_show(quiet, client, request_id)

    outcome = play(client, model, fact, method=method, follow=follow, keep=keep)
    if not context.as_json:
        if outcome.rows:
            context.out.print(report.table(outcome), soft_wrap=False)
        elif outcome.record.get("error"):
            context.note(error_line(outcome.record["error"]))
        context.say(report.summary(outcome))
    return outcome


def _conclude(context: CommandContext, outcomes: list[Outcome]) -> None:
    failed = [outcome.fact.id for outcome in outcomes if not outcome.passed]
    if context.as_json:
        context.emit({"passed": not failed, "facts": [outcome.to_dict() for outcome in outcomes]})
        if failed:
            raise typer.Exit(1)
        return
    if len(outcomes) > 1:
        context.say()
        for outcome in outcomes:
            context.say(report.summary(outcome))
    if failed:
        raise DemoFailed(f"failed: {', '.join(failed)}")
