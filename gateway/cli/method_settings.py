"""A method's settings as its config class declares them: for `--config`."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import MISSING, Field, fields
from typing import Any

from rich.table import Table
from rich.text import Text

from adapters.errors import UnknownMethod
from adapters.registry import get_method
from gateway.cli.context import CommandContext
from gateway.cli.failures import UsageFailed


def list_settings(context: CommandContext, method: str) -> None:
    """Print them, one a row. Raises `UsageFailed` for a method that there is not."""
    try:
        settings = list(_settings(get_method(method).config_type))
    except UnknownMethod as error:
        raise UsageFailed(str(error)) from None
    if context.as_json:
        context.emit(settings)
        return
    table = Table(box=None, header_style="bold", pad_edge=False)
    for column in ("setting", "default", "allowed", "what it is"):
        table.add_column(column, no_wrap=column == "setting", overflow="fold")
    for each in settings:
        table.add_row(*(Text(str(each[key])) for key in ("name", "default", "allowed", "help")))
    context.out.print(table, soft_wrap=False)


def _settings(config: type[Any]) -> Iterator[dict[str, Any]]:
    for each in fields(config):
        default = each.default_factory() if each.default_factory is not MISSING else each.default
        help_text = each.metadata.get("help", "")
        yield {"name": each.name, "default": default, "allowed": _allowed(each), "help": help_text}


def _allowed(setting: Field[Any]) -> str:
    if choices := setting.metadata.get("choices"):
        return ", ".join(choices)
    bounds = setting.metadata.get("bounds")
    return f"{bounds[0]:g} to {bounds[1]:,}" if bounds else ""
