"""The group of commands."""

from __future__ import annotations

import typer

from gateway.cli.bench.facts import facts
from gateway.cli.bench.tofu.command import tofu

app = typer.Typer(no_args_is_help=True, rich_markup_mode=None)


@app.callback()
def bench() -> None:
    """Measure how deep the forgetting goes."""


app.command()(facts)
app.command()(tofu)
