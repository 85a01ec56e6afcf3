"""What makes a command fail. Each becomes one line on standard error and an exit status.

CommandFailed (1)
└── UsageFailed (2)             a file or option that makes no sense
ClientError (1)                 of the service that was asked: see `gateway.client.errors`
└── ServiceUnreachable (3)      nothing answers at the URL
"""

from __future__ import annotations

from typing import Any, ClassVar

from gateway.client.errors import ClientError, ServiceUnreachable


class CommandFailed(Exception):
    """Base error; `message` is one line for a person, `code` one word for a script."""

    exit_status: ClassVar[int] = 1
    code = "command_failed"

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message


class UsageFailed(CommandFailed):
    exit_status = 2
    code = "usage"


def exit_status(error: CommandFailed | ClientError) -> int:
    """What the command ends with."""
    if isinstance(error, CommandFailed):
        return error.exit_status
    return 3 if isinstance(error, ServiceUnreachable) else 1


def error_body(error: CommandFailed | ClientError) -> dict[str, Any]:
    """The error for a script: in the shape that the service itself uses, as far as a command knows it."""
    return {"error": {"message": error.message, "code": error.code}}
