"""The command line, `unlearn`."""

from __future__ import annotations

import os
import sys
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from gateway.cli import (
    chat,
    doctor,
    drafts,
    evidence,
    evidence_keys,
    forget,
    keys,
    reports,
    requests,
    serve,
    watch,
)
from gateway.cli.bench.command import app as bench
from gateway.cli.context import CommandContext
from gateway.cli.demo.command import demo
from gateway.cli.failures import CommandFailed, exit_status
from gateway.cli.setting_options import with_setting_options
from gateway.client.errors import ClientError
from gateway.settings import DISTRIBUTION

#: Where everything after the command may be vLLM's.
_PASS_THROUGH = ("serve", "worker")
_INTERRUPTED = 130


class _Group(TyperGroup):
    """Takes `--json` and `--url` after the command too: `unlearn list --json`."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        return super().parse_args(ctx, _global_options_first(args))


def _global_options_first(args: list[str]) -> list[str]:
    if any(arg in _PASS_THROUGH for arg in args[: _command_index(args) + 1]):
        return args
    first, rest = [], []
    remaining = iter(args)
    for arg in remaining:
        if arg == "--":
            rest += [arg, *remaining]
        elif arg == "--json" or arg.startswith("--url="):
            first.append(arg)
        elif arg == "--url":
            first += [arg, *(value for value in [next(remaining, None)] if value is not None)]
        else:
            rest.append(arg)
    return first + rest


def _command_index(args: list[str]) -> int:
    """Where the command's name is."""
    index = 0
    while index < len(args) and args[index].startswith("-"):
        index += 2 if args[index] == "--url" else 1
    return index


app = typer.Typer(
    name="unlearn",
    cls=_Group,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        typer.echo(f"{DISTRIBUTION} {version(DISTRIBUTION)}")
        raise typer.Exit


@app.callback()
def unlearn(
    ctx: typer.Context,
    url: Annotated[
        str | None,
        # Named in full: typer before 0.28 calls an option as its metavar is written where both are one word.
        typer.Option("--url", metavar="URL", help="Where the service is. [default: http://127.0.0.1:8000]"),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON, for scripts.")] = False,
    _show_version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    """Serve a language model that can be told to forget, and tell it."""
    ctx.obj = ctx.obj or CommandContext()
    ctx.obj.url, ctx.obj.as_json = url, as_json


app.command(context_settings={"ignore_unknown_options": True, "allow_extra_args": True})(
    with_setting_options(serve.serve)
)
app.command()(with_setting_options(serve.worker))
app.command()(forget.forget)
app.command()(drafts.examples)
app.command()(drafts.train)
app.command("list")(requests.list_requests)
app.command()(requests.show)
app.command()(reports.report)
app.command()(watch.watch)
app.command()(requests.activate)
app.command()(requests.deactivate)
app.command()(requests.retire)
app.command()(evidence.certificate)
app.command()(evidence.verify)
app.command()(chat.chat)
app.command()(doctor.doctor)
app.command()(demo)
app.add_typer(keys.app, name="keys")
app.add_typer(evidence_keys.app, name="evidence-keys")
app.add_typer(bench, name="bench")


def run(args: list[str], context: CommandContext) -> int:
    """One run of the command line; returns the exit status."""
    try:
        app(args=args, obj=context, standalone_mode=True)
    except (CommandFailed, ClientError) as error:
        context.fail(error)
        return exit_status(error)
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else int(end.code is not None)
    except KeyboardInterrupt:
        return _INTERRUPTED
    return 0


def main() -> None:
    """The `unlearn` script."""
    try:
        status = run(sys.argv[1:], CommandContext())
        sys.stdout.flush()
    except BrokenPipeError:
        # The reader left, as in `unlearn list | head`; keep the interpreter from saying so when it closes stdout.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        status = 1
    sys.exit(status)
