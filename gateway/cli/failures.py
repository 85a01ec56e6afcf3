"""What makes a command fail. Each becomes one line on standard error and an exit status.

CommandFailed (1)
├── UsageFailed (2)             a file or option that makes no sense
├── ServiceUnreachable (3)      nothing answers at the URL
├── ServiceRefused (1)          the service answered with an error
└── BadAnswer (1)               what answered is not the gateway
"""

from __future__ import annotations

from typing import Any, ClassVar


class CommandFailed(Exception):
    """Base error; `message` is one line for a person, `code` one word for a script."""

    exit_status: ClassVar[int] = 1
    code = "command_failed"

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message

    def body(self) -> dict[str, Any]:
        """The error in the shape the service itself uses."""
        return {"error": {"message": self.message, "code": self.code}}


class UsageFailed(CommandFailed):
    exit_status = 2
    code = "usage"


class ServiceUnreachable(CommandFailed):
    exit_status = 3
    code = "unreachable"


class BadAnswer(CommandFailed):
    code = "bad_answer"


class ServiceRefused(CommandFailed):
    """An error of the service's own: HTTP status and code as it sent them."""

    def __init__(self, message: str, *, status: int, code: str) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
