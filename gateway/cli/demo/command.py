"""The command itself."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any

import typer

from adapters.evaluation.levels import Level
from adapters.training.effort import Effort
from gateway.cli.config_option import parse_config
from gateway.cli.context import CommandContext
from gateway.cli.demo import report
from gateway.cli.demo.facts import Fact, find_fact, load_facts, model_name
from gateway.cli.demo.service import running_service
from gateway.cli.demo.story import Outcome, play
from gateway.cli.failures import CommandFailed, UsageFailed
from gateway.cli.records import error_line
from gateway.cli.watch import follow_and_show
from gateway.client.client import UnlearnClient
from gateway.store.records import Prompts


class DemoFailed(CommandFailed):
    """A check failed; the tables say which."""

    code = "demo_failed"


def demo(
    ctx: typer.Context,
    fact: Annotated[
        list[str], typer.Option(metavar="ID", help="A fact to forget; may be given several times. --list names them.")
    ] = ["harry-potter"],  # noqa: B006
    every: Annotated[bool, typer.Option("--all", help="All facts one after the other, each alone.")] = False,
    together: Annotated[bool, typer.Option("--together", help="The facts named, all forgotten at once.")] = False,
    method: Annotated[str, typer.Option(help="The unlearning method, or auto.")] = "auto",
    config: Annotated[
        str | None, typer.Option(metavar="JSON", help='The method\'s own settings: {"objective": "dpo"}.')
    ] = None,
    level: Annotated[
        Level | None, typer.Option(help="What the evidence is to show; suppresses is the service's default.")
    ] = None,
    effort: Annotated[
        Effort | None, typer.Option(help="What is spent on attacks; quick is the service's default.")
    ] = None,
    scope: Annotated[
        Prompts | None,
        typer.Option(help="The prompts it applies to: those that are about it, or all; else the service's default."),
    ] = None,
    keep: Annotated[bool, typer.Option("--keep", help="Leave the requests active at the end.")] = False,
    list_facts: Annotated[bool, typer.Option("--list", help="Name the facts and exit.")] = False,
) -> None:
    """Forget a fact the default model knows; ask and attack before and after.

    Uses the service that runs, or starts one for the time being. Ends with status 1 when any check failed: a
    forgotten question that still names the fact, another that lost its own, or attacks that bring the fact out more
    often than the level allows.
    """
    context: CommandContext = ctx.obj
    if list_facts:
        _list(context)
        return
    facts = load_facts() if every else tuple(find_fact(name) for name in dict.fromkeys(fact))
    if keep and not together and len(facts) > 1:
        raise UsageFailed("--keep is for one fact, or for several --together: otherwise each is forgotten alone")
    settings = {} if config is None else parse_config(config)
    fields: dict[str, Any] = {
        name: each.value for name, each in (("level", level), ("effort", effort)) if each is not None
    }
    if scope is not None:
        fields["scope"] = {"prompts": scope.value}
    stories = [facts] if together else [(alone,) for alone in facts]
    with running_service(context) as client:
        outcomes: list[Outcome] = []
        for story in stories:
            outcomes += _play_and_show(context, client, story, method, settings, fields, keep=keep)
    _conclude(context, outcomes)


def _list(context: CommandContext) -> None:
    facts = load_facts()
    if context.as_json:
        context.emit([{"id": fact.id, "title": fact.title} for fact in facts])
        return
    for fact in facts:
        context.say(f"{fact.id:20} {fact.title}")


def _play_and_show(
    context: CommandContext,
    client: UnlearnClient,
    facts: Sequence[Fact],
    method: str,
    config: Mapping[str, Any],
    fields: Mapping[str, Any],
    *,
    keep: bool,
) -> list[Outcome]:
    model = client.model()
    if model != model_name():
        context.note(f"note: the facts were chosen for {model_name()}; {model} may not know them")
    if active := [record["id"] for record in client.requests(state="active")]:
        context.note(f"note: {len(active)} other requests are active and apply to the answers after")
    context.note(f"forgetting {', '.join(fact.title for fact in facts)}")
    quiet = CommandContext(as_json=False, err=context.err)

    def follow(request_id: str) -> dict[str, Any]:
        return follow_and_show(quiet, client, request_id)

    allowed = context.settings.gate_max_family_leak
    outcomes = play(
        client, facts, method=method, config=config, fields=fields, follow=follow, allowed=allowed, keep=keep
    )
    for outcome in () if context.as_json else outcomes:
        if outcome.rows:
            context.out.print(report.table(outcome), soft_wrap=False)
        elif outcome.record.get("error"):
            context.note(error_line(outcome.record["error"]))
        context.say(report.summary(outcome))
    return outcomes


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
