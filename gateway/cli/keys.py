"""`keys`: who may use the service, for operators."""

from __future__ import annotations

import time
from typing import Annotated, Any

import typer
from rich.markup import escape
from rich.table import Table

from gateway.access.api_key import GLOBAL_TENANT, Role
from gateway.cli.context import CommandContext
from gateway.cli.records import Record, duration

_DAY_S = 24 * 3600
_HOUR_S = 3600
_LIMITS = {
    "requests_per_minute": "requests/min",
    "tokens_per_minute": "tokens/min",
    "concurrent_requests": "at once",
}

app = typer.Typer(no_args_is_help=True, help="API keys: make, list, rotate and revoke them.", rich_markup_mode=None)

KeyId = Annotated[str, typer.Argument(metavar="ID", help="The key's id, as `unlearn keys list` shows it.")]


@app.command()
def create(
    ctx: typer.Context,
    role: Annotated[
        Role,
        typer.Option(help="client: uses the model; operator: manages its tenant's requests and keys; auditor: reads."),
    ] = Role.CLIENT,
    tenant: Annotated[
        str | None, typer.Option(help="Whom the key belongs to. [default: to whom yours belongs]")
    ] = None,
    name: Annotated[str | None, typer.Option(help="A label for listings.")] = None,
    days: Annotated[int | None, typer.Option(min=1, max=3660, help="Days until it ends. [default: never]")] = None,
    requests: Annotated[int | None, typer.Option("--requests", min=1, help="Model requests a minute.")] = None,
    tokens: Annotated[int | None, typer.Option("--tokens", min=1, help="Tokens a minute, prompts and answers.")] = None,
    concurrent: Annotated[int | None, typer.Option("--concurrent", min=1, help="Model requests at once.")] = None,
) -> None:
    """Make a key and print its token, which is shown this once."""
    context: CommandContext = ctx.obj
    body = {
        "role": role.value,
        "tenant": tenant,
        "name": name,
        "expires_in_s": None if days is None else days * _DAY_S,
        "limits": dict(zip(_LIMITS, (requests, tokens, concurrent), strict=True)),
    }
    with context.client() as client:
        _print(context, client.create_key(body), "made")


@app.command("list")
def list_keys(ctx: typer.Context) -> None:
    """Show the keys, newest first; their tokens are kept nowhere."""
    context: CommandContext = ctx.obj
    with context.client() as client:
        found = client.keys()
    if context.as_json:
        context.emit({"object": "list", "data": found})
    elif found:
        context.out.print(_table(found))
    else:
        context.say("no keys")


@app.command()
def rotate(
    ctx: typer.Context,
    key_id: KeyId,
    grace_hours: Annotated[
        int, typer.Option(min=0, max=720, help="Hours for which the token before this one still counts.")
    ] = 24,
) -> None:
    """Give a key another token and print it, which is shown this once."""
    context: CommandContext = ctx.obj
    with context.client() as client:
        _print(context, client.rotate_key(key_id, grace_s=grace_hours * _HOUR_S), "rotated")


@app.command()
def revoke(ctx: typer.Context, key_id: KeyId) -> None:
    """Refuse a key from now on."""
    context: CommandContext = ctx.obj
    with context.client() as client:
        key = client.revoke_key(key_id)
    context.show(key, f"revoked {key['id']}")


def _print(context: CommandContext, key: dict[str, Any], what: str) -> None:
    """The token alone on standard output, so that a script can take it."""
    if context.as_json:
        context.emit(key)
        return
    context.note(f"{what} {key['id']}, {key['role']} of {_tenant(key)}; its token is shown this once:")
    context.say(key["token"])


def _table(keys: list[dict[str, Any]]) -> Table:
    columns = Table(box=None, header_style="bold", pad_edge=False)
    for name in ("id", "token", "role", "tenant", "name", "limits", "age", "state"):
        columns.add_column(name, no_wrap=name in ("id", "token"))
    now = time.time()
    for key in keys:
        columns.add_row(
            key["id"],
            f"{key['prefix']}…",
            key["role"],
            _tenant(key),
            escape(key.get("name") or ""),
            ", ".join(f"{key['limits'][limit]} {unit}" for limit, unit in _LIMITS.items() if key["limits"].get(limit)),
            duration(now - key["created_at"]),
            _state(key, now),
        )
    return columns


def _tenant(key: Record) -> str:
    return "everybody" if key["tenant"] == GLOBAL_TENANT else str(key["tenant"])


def _state(key: Record, now: float) -> str:
    if key.get("revoked_at"):
        return "revoked"
    if not key.get("expires_at"):
        return "valid"
    left = key["expires_at"] - now
    return f"ends in {duration(left)}" if left > 0 else "expired"
