"""The command itself."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from adapters.evaluation.tofu.scoring import FORGET, score
from adapters.evaluation.tofu.summary import forget_quality
from gateway.cli.bench import plans
from gateway.cli.bench.tofu.dataset import Part, Split, load_parts
from gateway.cli.bench.tofu.results import Measured, Results, Settings, read_reference
from gateway.cli.bench.tofu.table import table
from gateway.cli.context import CommandContext
from gateway.cli.failures import CommandFailed, UsageFailed
from gateway.client.client import PLAN_OFF
from gateway.client.examiner import Examiner

#: Of an answer, as open-unlearning has it.
MAX_TOKENS = 200
#: How long a service that is busy is asked again: a run has thousands of questions.
_PATIENCE_S = 60.0


class Only(StrEnum):
    """Which of the two is measured."""

    BEFORE = "before"
    AFTER = "after"


def tofu(
    ctx: typer.Context,
    data: Annotated[Path, typer.Option(metavar="DIR", help="The data set locuslab/TOFU, downloaded.")],
    split: Annotated[Split, typer.Option(help="The rows that were to be forgotten.")] = Split.FORGET10,
    request: Annotated[
        str | None,
        typer.Option(
            metavar="ID", help="After: this request's adapter alone. Without it: what every caller gets, all active."
        ),
    ] = None,
    only: Annotated[Only | None, typer.Option(help="Measure this alone. Without it: both.")] = None,
    reference: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="What --out wrote of a service over a model trained without the rows, its model before: for forget "
            "quality.",
        ),
    ] = None,
    limit: Annotated[int | None, typer.Option(min=1, metavar="N", help="The first N rows of each part alone.")] = None,
    system: Annotated[str | None, typer.Option(metavar="TEXT", help="A system message before every question.")] = None,
    out: Annotated[Path | None, typer.Option(metavar="FILE", help="Write every row's figures there, as JSON.")] = None,
) -> None:
    """Measure TOFU's figures of the served model, before and after.

    Before takes the operator's token, and so does --request. A figure is a mean with its 95 % bootstrap interval.
    """
    context: CommandContext = ctx.obj
    if request and only is Only.BEFORE:
        raise UsageFailed("--request says what is measured after, and --only before leaves that out")
    if system is not None and not system.strip():
        raise UsageFailed("--system is empty")
    if out is not None and (out.is_dir() or not out.parent.is_dir()):
        raise UsageFailed(f"--out: {out} cannot be written")
    parts = load_parts(data, split, limit)
    sources = {name: part.source for name, part in parts.items()}
    settings = Settings(split=split, system=system, max_tokens=MAX_TOKENS, data=sources)
    retrained = None if reference is None else read_reference(reference, settings)
    chosen = dict(named for when, named in _plans(request).items() if only in (None, when))
    with context.client(patience_s=_PATIENCE_S) as client:
        client.readiness()  # where nothing answers, this says so at once
        examiner = Examiner(client, max_tokens=MAX_TOKENS, system=system)
        models = {name: _measure(context, examiner, parts, name, plan) for name, plan in chosen.items()}
        results = Results(model=client.model(), settings=settings, models=models)
    if retrained is not None:
        results = results.against(retrained)
    if context.as_json:
        context.emit(results.model_dump(mode="json"))
    else:
        context.tabulate(table(results))
        if limit is not None:
            _say_limits(context, results, compared=retrained is not None)
    if out is not None:
        _write(out, results)


def _plans(request: str | None) -> dict[Only, tuple[str, str | None]]:
    return {Only.BEFORE: (plans.BEFORE, PLAN_OFF), Only.AFTER: plans.after(request)}


def _measure(
    context: CommandContext, examiner: Examiner, parts: Mapping[str, Part], name: str, plan: str | None
) -> Measured:
    from adapters.evaluation.stemming import porter_stem

    stem = porter_stem()
    items = {}
    for part, asked in parts.items():
        context.note(f"asking {name}: {part.replace('_', ' ')}, {len(asked.rows)} questions …")
        items[part] = score(asked.rows, examiner.hear(asked.rows, plan=plan), stem)
    return Measured.of(plan or plans.ACTIVE, items)


def _say_limits(context: CommandContext, results: Results, *, compared: bool) -> None:
    rows = results.settings.data[FORGET].rows
    context.say("Of the first rows alone: other rows give other figures.")
    if compared:
        least = forget_quality([0.0] * rows, [1.0] * rows).p_value
        context.say(f"With so few rows no forget quality is below {least:.2g}.")


def _write(path: Path, results: Results) -> None:
    try:
        path.write_text(results.model_dump_json() + "\n", encoding="utf-8")
    except OSError as error:
        raise CommandFailed(f"--out: {path}: {error.strerror}") from None
