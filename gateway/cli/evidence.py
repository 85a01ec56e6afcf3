"""`certificate`: the file that a stranger is given. `verify`: what a stranger does with it."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from gateway.cli.context import CommandContext
from gateway.cli.failures import UsageFailed
from gateway.cli.requests import RequestId
from gateway.evidence.errors import EvidenceError, Malformed
from gateway.evidence.signing.rotation import KeySet
from gateway.evidence.verification.algorithms import ALGORITHMS, ED25519, ML_DSA_44
from gateway.evidence.verification.exhibit import Rules
from gateway.evidence.verification.validity import applied
from gateway.evidence.verification.verify import Verification
from gateway.evidence.verification.verify import verify as checked


class Signatures(StrEnum):
    """Which signatures a certificate must have."""

    BOTH = "both"
    ED25519 = ED25519
    ML_DSA_44 = ML_DSA_44

    @property
    def algorithms(self) -> frozenset[str]:
        return frozenset(ALGORITHMS) if self is Signatures.BOTH else frozenset({self.value})


def certificate(
    ctx: typer.Context,
    request_id: RequestId,
    out: Annotated[Path | None, typer.Option("--out", help="Write it there, not to standard output.")] = None,
) -> None:
    """Get the certificate of a request: its report, the signatures, and the proofs that they are in the log."""
    context: CommandContext = ctx.obj
    with context.client() as client:
        document = client.certificate(request_id)
    if out is None:
        context.emit(document)
        return
    try:
        out.write_text(json.dumps(document) + "\n", encoding="utf-8")
    except OSError as error:
        raise UsageFailed(f"{out}: {error.strerror}") from None
    context.say(f"{out}: check it with `unlearn verify {out} --keys KEYS.pem`")


def verify(
    ctx: typer.Context,
    what: Annotated[
        str, typer.Argument(metavar="FILE", help="A certificate file; an id for --again without examples.")
    ],
    keys: Annotated[
        Path | None, typer.Option("--keys", help="The service's public keys (PEM), got another way than the file.")
    ] = None,
    signatures: Annotated[
        Signatures, typer.Option("--signatures", help="Which signatures the certificate must have.")
    ] = Signatures.BOTH,
    at: Annotated[
        datetime | None,
        typer.Option("--at", formats=["%Y-%m-%dT%H:%M:%SZ", "%Y-%m-%d"], help="Check it for this time. [default: now]"),
    ] = None,
    answer_digests: Annotated[
        str | None,
        typer.Option("--answer-digests", help="The `x-unlearning-digests` header of an answer: is it covered?"),
    ] = None,
    again: Annotated[
        bool, typer.Option("--again", help="Evaluate again: a request by the probes that were kept, or by --examples.")
    ] = False,
    examples: Annotated[
        Path | None, typer.Option("--examples", help="With --again: the file that the request was to forget.")
    ] = None,
    retain: Annotated[
        Path | None, typer.Option("--retain", help="With --examples: the file that it was to retain, if it had one.")
    ] = None,
) -> None:
    """Check a certificate file without asking the service; with --again, evaluate anew and compare.

    Ends with status 0 where nothing is wrong with it, 1 where something is.
    """
    context: CommandContext = ctx.obj
    if again and examples is None:
        _ask_again(context, what)
        return
    if keys is None:
        raise UsageFailed("--keys: name the file of public keys that the certificate is to be checked with")
    rules = Rules(
        at=datetime.now(UTC) if at is None else at.replace(tzinfo=UTC),
        algorithms=signatures.algorithms,
        answer_digests=None if answer_digests is None else _applied(answer_digests),
    )
    verification = checked(_read(Path(what)), _keys(keys), rules)
    if again and examples is not None and verification.sound and verification.report is not None:
        from gateway.cli.evaluating import held_against  # asks a service, and needs all that evaluates

        verification = verification.with_findings("again", held_against(context, verification.report, examples, retain))
    _show(context, verification)


def _ask_again(context: CommandContext, request_id: str) -> None:
    """Have the service evaluate a request by the probes that it kept."""
    with context.client() as client:
        document = client.verify_again(request_id)
    context.show(document, f"{request_id} will be evaluated again; its next report has another certificate")


def _show(context: CommandContext, verification: Verification) -> None:
    """Print it. Raises `typer.Exit` where there are findings."""
    if context.as_json:
        context.emit(verification.to_dict())
    else:
        for finding in verification.findings:
            context.say(f"{finding.fault.value}: {finding.message}")
        report = verification.report
        if verification.sound and report is not None:
            context.say(
                f"sound: {report.request.id} {report.verdict} at level {report.claim.level}, "
                f"weights unchanged, until {report.valid_until}"
            )
    if not verification.sound:
        raise typer.Exit(1)


def _applied(header: str) -> tuple[str, ...]:
    try:
        return applied(header)
    except Malformed as error:
        raise UsageFailed(f"--answer-digests: {error.message}") from None


def _keys(path: Path) -> KeySet:
    try:
        return KeySet.from_pem(_read(path).decode("ascii", "replace"))
    except EvidenceError as error:
        raise UsageFailed(f"{path}: {error.message}") from None


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise UsageFailed(f"{path}: {error.strerror}") from None
