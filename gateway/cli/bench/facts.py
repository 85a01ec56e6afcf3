"""`bench facts`: attacks a running service with what it is to have forgotten, and rivals around the same model."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from pydantic import TypeAdapter, ValidationError
from rich.table import Table

from adapters.errors import HardwareUnavailable, InvalidConfig, InvalidExample
from adapters.examples import Example
from adapters.text.phrasebook import phrasebook_for
from gateway.checkpoints import default_model
from gateway.cli.bench import plans
from gateway.cli.context import CommandContext
from gateway.cli.demo.facts import find_fact
from gateway.cli.failures import UsageFailed
from gateway.cli.forget_files import read_items
from gateway.client.attacks import Attacker
from gateway.client.client import PLAN_OFF, UnlearnClient
from gateway.requests.items import Item

if TYPE_CHECKING:
    from adapters.evaluation.attacks.comparison import Comparison, Kept, Shown
    from adapters.evaluation.attacks.outcome import FamilyOutcome
    from adapters.evaluation.rivals.rival import Rival, Weights

#: Questions at once.
_BATCH = 32


def facts(
    ctx: typer.Context,
    file: Annotated[
        Path | None,
        typer.Argument(metavar="FILE", help="What was to be forgotten; same kinds of file as for forget, items only."),
    ] = None,
    fact: Annotated[str | None, typer.Option(metavar="NAME", help="A fact of the demo in place of FILE.")] = None,
    request: Annotated[
        str | None,
        typer.Option(
            metavar="ID", help="Attack this request's adapter alone. Without it: what every caller gets, all active."
        ),
    ] = None,
    baseline: Annotated[
        list[str] | None,
        typer.Option(
            metavar="RIVAL",
            help="Attack the model before with this around it too: refusal_prompt, filter, port, eco, router. "
            "May be given several times.",
        ),
    ] = None,
    family: Annotated[
        list[str] | None, typer.Option(metavar="NAME", help="Attack in this way alone. May be given several times.")
    ] = None,
    per_family: Annotated[int, typer.Option(min=1, help="Probes of each family, at most.")] = 12,
    checkpoint: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR", help="The served model's checkpoint, for rivals that read its states (eco, router)."
        ),
    ] = None,
    device: Annotated[
        str,
        typer.Option(
            metavar="NAME",
            help="Where that checkpoint is computed: auto, cpu, cuda, cuda:1. auto takes a card with room.",
        ),
    ] = "auto",
    seed: Annotated[int, typer.Option(help="Of what is drawn at random.")] = 0,
) -> None:
    """Attack what is to be forgotten in every way, before and after, and print how often it comes out.

    Takes the operator's token. A rate is of the probes in which the model before gave the answer; ≤ is its exact upper
    bound of 95 %. Rivals are put around the model as it was, with all adapters off.
    """
    from adapters.evaluation.attacks.comparison import Comparison

    context: CommandContext = ctx.obj
    items = _items(file, fact)
    chosen = _rivals(baseline or [])
    _check_families(family or [])
    name, plan = plans.after(request)
    with context.client() as client:
        before, after = Attacker(client, PLAN_OFF, _BATCH), Attacker(client, plan, _BATCH)
        book = phrasebook_for(text for item in items for text in (item.prompt, item.completion))
        context.note(f"attacking the model before with {len(items)} items …")
        comparison = Comparison.of(
            items, book, before.respond, before.score, per_family=per_family, only=family or None, seed=seed
        )
        context.note(f"attacking {name} where that leaked: {comparison.leaks} probes …")
        shown = {name: comparison.shown_by(after.respond, after.score)}
        weights = _weights(context, client, chosen, checkpoint, device)
        for rival in chosen:
            context.note(f"attacking {rival.name} …")
            shown[rival.name] = _shown_by(comparison, rival, items, before, weights)
    if context.as_json:
        context.emit({"plan": plan or plans.ACTIVE, "models": {name: each.to_dict() for name, each in shown.items()}})
    else:
        context.tabulate(_table(shown))


def _items(file: Path | None, fact: str | None) -> list[Example]:
    """Raises `UsageFailed`; never quotes an item."""
    if (file is None) == (fact is None):
        raise UsageFailed("give a FILE with what was to be forgotten, or a --fact of the demo")
    if fact is not None:
        return [Example.from_pair(prompt, completion) for prompt, completion in find_fact(fact).forget]
    assert file is not None
    reader: TypeAdapter[Any] = TypeAdapter(Item)
    examples: list[Example] = []
    for number, item in enumerate(read_items(file), start=1):
        try:
            examples += reader.validate_python(item).examples()
        except (ValidationError, InvalidExample) as error:
            said = error.errors()[0]["msg"] if isinstance(error, ValidationError) else str(error)
            raise UsageFailed(f"{file}: item {number}: {said}") from None
    return examples


def _rivals(names: Sequence[str]) -> list[Rival]:
    from adapters.evaluation.rivals.registry import rivals

    known = rivals()
    for name in names:
        if name not in known:
            raise UsageFailed(f"--baseline: no rival {name!r}; there are {', '.join(known)}")
    return [known[name] for name in dict.fromkeys(names)]


def _check_families(names: Sequence[str]) -> None:
    from adapters.evaluation.attacks.registry import families

    known = families()
    for name in names:
        if name not in known:
            raise UsageFailed(f"--family: no family {name!r}; there are {', '.join(known)}")


def _weights(
    context: CommandContext, client: UnlearnClient, chosen: Sequence[Rival], checkpoint: Path | None, device: str
) -> Weights | None:
    """The served model in this process, where a rival needs it. Raises `UsageFailed`."""
    needing = [rival.name for rival in chosen if rival.needs_weights]
    if not needing:
        return None
    if checkpoint is None:
        if client.model() != default_model.NAME:
            raise UsageFailed(f"{needing[0]} reads the model's states: name its checkpoint with --checkpoint")
        checkpoint = default_model.prepare(context.settings.cache_dir)
    from adapters.evaluation.rivals.rival import Weights
    from adapters.models.workbench import Workbench

    bench = Workbench(checkpoint, device)
    try:
        where = bench.hardware.device
    except (ValueError, HardwareUnavailable) as error:
        raise UsageFailed(f"--device: {error}") from None
    context.note(f"loading {checkpoint} on {where} …")
    try:
        return Weights(bench.target, bench.tokenizer)
    except (OSError, ValueError, InvalidConfig) as error:
        raise UsageFailed(f"--checkpoint: {checkpoint} cannot be loaded: {str(error).splitlines()[0]}") from None


def _shown_by(
    comparison: Comparison, rival: Rival, items: Sequence[Example], model: Attacker, weights: Weights | None
) -> Shown:
    from adapters.evaluation.rivals.rival import Forgotten, Respondent

    try:
        guard = rival.around(Respondent(model.respond, model.score, weights), Forgotten.of(items))
    except InvalidConfig as error:
        raise UsageFailed(f"--baseline {rival.name}: {error}") from None
    return comparison.shown_by(guard.respond, guard.score)


def _table(shown: dict[str, Shown]) -> Table:
    """A family a row, a model a column; what must stay below."""
    first = next(iter(shown.values()))
    columns = Table(box=None, header_style="bold", pad_edge=False)
    columns.add_column("family", no_wrap=True)
    columns.add_column(plans.BEFORE, justify="right", no_wrap=True)
    for name in shown:
        columns.add_column(name, justify="right", no_wrap=True)
    for family in first.families:
        outcomes = [each.families[family] for each in shown.values()]
        columns.add_row(family, _known(outcomes[0]), *map(_rate, outcomes))
    pooled = [each.pooled for each in shown.values()]
    columns.add_row("all", _known(pooled[0]), *map(_rate, pooled), style="bold", end_section=True)
    columns.add_row("kept: of the kind", "", *(_kept(each.near) for each in shown.values()))
    columns.add_row("kept: anything else", "", *(_kept(each.other) for each in shown.values()))
    return columns


def _known(outcome: FamilyOutcome) -> str:
    return f"{outcome.known} of {outcome.asked}"


def _rate(outcome: FamilyOutcome) -> str:
    """`25% ≤ 57%`; in brackets where too few probes count to say anything."""
    if outcome.rate is None:
        return "–"
    said = f"{outcome.rate:.0%} ≤ {outcome.upper:.0%}"
    return said if outcome.conclusive else f"({said})"


def _kept(kept: Kept) -> str:
    return "–" if kept.rate is None else f"{kept.rate:.0%} of {kept.asked}"
