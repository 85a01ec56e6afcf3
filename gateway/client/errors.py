"""What can come of asking a service.

ClientError
├── ServiceUnreachable (503)   nothing answers
├── ServiceRefused             it answered with an error; 503 where waiting may mend it, else 400
└── BadAnswer (502)            what answered is not what was asked for
"""

from __future__ import annotations

from gateway.errors import GatewayError

#: Statuses that waiting may mend.
BUSY = frozenset({408, 429, 500, 502, 503, 504})


class ClientError(GatewayError):
    """Base error. `code` begins with the name of the service that was asked, or is its own."""

    def __init__(self, message: str, *, code: str) -> None:
        super().__init__(message)
        self.code = code


class ServiceUnreachable(ClientError):
    status = 503


class ServiceRefused(ClientError):
    """answered: the status that the service answered with."""

    def __init__(self, message: str, *, code: str, answered: int = 400) -> None:
        super().__init__(message, code=code)
        self.answered = answered
        self.status = 503 if self.busy else 400

    @property
    def busy(self) -> bool:
        return self.answered in BUSY


class BadAnswer(ClientError):
    status = 502
