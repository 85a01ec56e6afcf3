"""What every command is handed: where the service is, how to print, how to log in."""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import httpx
from pydantic import ValidationError
from rich.console import Console
from rich.measure import Measurement
from rich.table import Table

from gateway.cli.failures import CommandFailed, UsageFailed, error_body
from gateway.client.client import UnlearnClient
from gateway.client.errors import ClientError, ServiceUnreachable
from gateway.settings import Settings

#: Questions asked together; bfloat16 rounds by the shape of the batch.
_AT_ONCE = 8
#: Characters; no table is as wide.
_UNBOUNDED = 10_000


@dataclass
class CommandContext:
    """One run of `unlearn`.

    Attributes:
        url: of the service, where `--url` named one.
        as_json: print documents for a script instead of text for a person.
    """

    url: str | None = None
    as_json: bool = False
    out: Console = field(default_factory=lambda: Console(highlight=False, soft_wrap=True))
    err: Console = field(default_factory=lambda: Console(stderr=True, highlight=False, soft_wrap=True))

    @cached_property
    def settings(self) -> Settings:
        """From the environment. Raises `UsageFailed`."""
        return load_settings({})

    @property
    def service_url(self) -> str:
        return self.url or self.settings.service_url

    def client(self, *, patience_s: float = 0.0) -> UnlearnClient:
        """A client of the service; close it, or use it as a context manager. patience_s: as of `Endpoint`."""
        if not self.service_url.startswith(("http://", "https://")):
            raise UsageFailed(f"--url must begin with http:// or https://, not {self.service_url!r}")
        key, settings = _first_key(self.settings), self.settings
        try:
            return UnlearnClient(
                self.service_url,
                api_key=key,
                operator_token=lambda: operator_token(settings),
                concurrency=_AT_ONCE,
                patience_s=patience_s,
            )
        except httpx.InvalidURL as error:
            raise UsageFailed(f"--url: {error}") from None

    def emit(self, document: Any) -> None:
        """One JSON document on one line."""
        sys.stdout.write(json.dumps(document) + "\n")
        sys.stdout.flush()

    def say(self, text: str = "") -> None:
        """A line for a person; square brackets are taken as they are."""
        self.out.print(_writable(text), markup=False)

    def show(self, document: Any, text: str) -> None:
        """What came of a command: the document for a script, the text for a person."""
        if self.as_json:
            self.emit(document)
        else:
            self.say(text)

    def tabulate(self, table: Table) -> None:
        """A table as wide as its cells are: a narrow terminal breaks its lines, and cuts no figure."""
        unbounded = self.out.options.update(max_width=_UNBOUNDED)
        table.width = Measurement.get(self.out, unbounded, table).maximum
        self.out.print(table)

    def note(self, text: str) -> None:
        """A line beside the result, on standard error."""
        self.err.print(_writable(text), markup=False)

    def fail(self, error: CommandFailed | ClientError) -> None:
        """The one line that a failed command ends with."""
        if self.as_json:
            self.emit(error_body(error))
            return
        advice = "; start one with `unlearn serve`, or name another with --url"
        hint = advice if isinstance(error, ServiceUnreachable) else ""
        self.note(f"error: {' '.join(error.message.split())}{hint} [{error.code}]")


def _writable(text: str) -> str:
    """The text with a question mark for each half of a character, which an argument may hold and no stream takes."""
    return text.encode("utf-8", "replace").decode()


def load_settings(overrides: dict[str, Any]) -> Settings:
    """Settings from the environment with `overrides` on top. Raises `UsageFailed` naming those that are wrong."""
    try:
        return Settings(**overrides)
    except ValidationError as error:
        # Only names and rules: a wrong value may be a secret.
        problems = [f"{'.'.join(str(part) for part in e['loc'])}: {e['msg']}" for e in error.errors()]
        raise UsageFailed("; ".join(problems)) from None


def operator_token(settings: Settings) -> str | None:
    """The operator's token from the environment, else from the data directory; None when there is none to read."""
    if settings.operator_token is not None:
        return settings.operator_token.get_secret_value()
    try:
        return (settings.data_dir / "operator.token").read_text(encoding="utf-8").strip() or None
    except OSError:
        return None


def _first_key(settings: Settings) -> str | None:
    text = settings.api_keys.get_secret_value() if settings.api_keys else ""
    return next((key.strip() for key in text.split(",") if key.strip()), None)
