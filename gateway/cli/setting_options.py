"""Command-line options out of `Settings`: one source for names, types and help."""

from __future__ import annotations

import inspect
import types
import typing
from collections.abc import Callable
from typing import Annotated, Any

import typer
from pydantic import SecretStr
from pydantic.fields import FieldInfo

from gateway.settings import Settings

Command = Callable[..., None]


def option_fields() -> dict[str, FieldInfo]:
    """The settings that may be given as options: all but secrets, which a process list would show."""
    return {name: info for name, info in Settings.model_fields.items() if SecretStr not in _members(info.annotation)}


def with_setting_options(command: Command) -> Command:
    """Give `command` an option for each setting; it gets those that were given as a dict, `overrides`.

    Raises nothing: a value of the wrong type is typer's to refuse, one out of range is `Settings`' own.
    """
    fields = option_fields()

    def wrapper(ctx: typer.Context, **values: Any) -> None:
        command(ctx, {name: value for name, value in values.items() if value is not None})

    parameters = [inspect.Parameter("ctx", inspect.Parameter.POSITIONAL_OR_KEYWORD, annotation=typer.Context)]
    parameters += [
        inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=_annotation(name, info))
        for name, info in fields.items()
    ]
    wrapper.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    wrapper.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    wrapper.__doc__ = command.__doc__
    wrapper.__name__ = command.__name__
    return wrapper


def _annotation(name: str, info: FieldInfo) -> Any:
    kind = next(member for member in _members(info.annotation) if member is not type(None))
    flag = f"--{name.replace('_', '-')}"
    declaration = f"{flag}/--no-{name.replace('_', '-')}" if kind is bool else flag
    default = (
        "" if info.is_required() or info.default_factory or info.default is None else f" [default: {info.default}]"
    )
    help_text = f"{info.description or name.replace('_', ' ')}{default}"
    return Annotated[kind | None, typer.Option(declaration, help=help_text, show_default=False)]


def _members(annotation: Any) -> tuple[Any, ...]:
    """The members of a union, or the type itself."""
    if isinstance(annotation, types.UnionType) or typing.get_origin(annotation) is typing.Union:
        return typing.get_args(annotation)
    return (annotation,)
