"""`evidence-keys`: what the log and certificates are signed with, for operators."""

from __future__ import annotations

import base64
import time
from pathlib import Path
from typing import Annotated

import typer

from gateway.cli.context import CommandContext
from gateway.cli.failures import CommandFailed, UsageFailed
from gateway.client.client import UnlearnClient
from gateway.errors import GatewayError
from gateway.evidence.signing.keys import PublicKeys, SigningKey
from gateway.evidence.signing.rotation import KeySet
from gateway.store.evidence_key import KEY_FILE, new_seed, seeds
from gateway.store.secret_file import read_secret, replace_secret

#: A service takes a changed file within a second, and signs the log at once.
_SIGNED_WITHIN_S = 30.0
_POLL_S = 0.2

app = typer.Typer(
    no_args_is_help=True, help="Keys of the transparency log: show, rotate and revoke them.", rich_markup_mode=None
)


@app.command()
def show(ctx: typer.Context) -> None:
    """Print the public keys, old and new, as PEM: what whoever verifies a certificate needs."""
    context: CommandContext = ctx.obj
    with context.client() as client:
        pem = client.evidence_keys()
    if not context.as_json:
        context.say(pem.rstrip("\n"))
        return
    keys = _parsed(pem)
    known = [
        {"ed25519": key.keys.ed25519_id, "mldsa44": key.keys.mldsa44_id, "state": key.state.value, "since": key.since}
        for key in keys.known
    ]
    context.emit({"log": keys.origin, "keys": known, "pem": pem})


@app.command()
def rotate(
    ctx: typer.Context,
    lost: Annotated[
        bool, typer.Option("--lost", help="The key before is lost: go on with the one that the service has now.")
    ] = False,
) -> None:
    """Give the log another key. Run it where the service runs, on its data directory and settings."""
    context: CommandContext = ctx.obj
    with context.client() as client:
        if lost:
            found = client.replace_evidence_key()
            _report(context, str(found["ed25519"]))
        elif context.settings.evidence_key is not None:
            _rotate_setting(context, context.settings.evidence_key.get_secret_value())
        else:
            _rotate_file(context, client, context.settings.data_dir / KEY_FILE)


@app.command()
def revoke(
    ctx: typer.Context,
    key_id: Annotated[str, typer.Argument(metavar="ID", help="Either id of a retired key, as `show` prints it.")],
) -> None:
    """Let a retired key count no longer, from now on: it may be in other hands."""
    context: CommandContext = ctx.obj
    with context.client() as client:
        found = client.revoke_evidence_key(key_id)
    context.show(found, f"revoked {key_id}")


def _rotate_setting(context: CommandContext, text: str) -> None:
    """The new value alone on standard output, so that a script can take it."""
    current, *_ = _seeds(text, "UNLEARN_EVIDENCE_KEY")
    value = f"{new_seed()},{base64.b64encode(current).decode()}"
    if context.as_json:
        context.emit({"evidence_key": value})
        return
    context.note("start every gateway with this UNLEARN_EVIDENCE_KEY; once `show` says that the new key is current, ")
    context.note("drop what is behind the comma:")
    context.say(value)


def _rotate_file(context: CommandContext, client: UnlearnClient, path: Path) -> None:
    keys = _parsed(client.evidence_keys())
    try:
        held = _seeds(read_secret(path), str(path))
    except GatewayError as error:
        raise UsageFailed(error.message) from error
    publics = [SigningKey(seed).public() for seed in held]
    if publics[0] == keys.current:
        # Both, until the log is signed with both: no kill in between leaves a service without the key that signs.
        held = [base64.b64decode(new_seed()), held[0]]
        replace_secret(path, "\n".join(base64.b64encode(seed).decode() for seed in held))
    elif keys.current not in publics:
        raise UsageFailed(f"the log is not signed with the key in {path}; if that key is lost, use --lost")
    new = SigningKey(held[0]).public()
    _await_current(client, new, path)
    replace_secret(path, base64.b64encode(held[0]).decode())
    _report(context, new.ed25519_id)


def _await_current(client: UnlearnClient, new: PublicKeys, path: Path) -> None:
    deadline = time.monotonic() + _SIGNED_WITHIN_S
    while _parsed(client.evidence_keys()).current != new:
        if time.monotonic() > deadline:
            raise CommandFailed(
                f"the service has not taken the new key yet; {path} has both. See its log, and run this again"
            )
        time.sleep(_POLL_S)


def _report(context: CommandContext, key_id: str) -> None:
    context.show({"current": key_id}, f"the log is signed with {key_id} from now on")


def _parsed(pem: str) -> KeySet:
    try:
        return KeySet.from_pem(pem)
    except GatewayError as error:
        raise CommandFailed(f"the service gave no evidence keys: {error.message}") from error


def _seeds(text: str, source: str) -> list[bytes]:
    try:
        return seeds(text)
    except GatewayError as error:
        raise UsageFailed(f"{source}: {error.message}") from error
