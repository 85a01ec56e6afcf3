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

#: What vLLM calls a prompt that does not fit the context, in tokens and where its text alone says so.
TOO_LONG = frozenset({"input_tokens", "input_text"})


class ClientError(GatewayError):
    """Base error. `code` begins with the name of the service that was asked, or is its own."""

    def __init__(self, message: str, *, code: str) -> None:
        super().__init__(message)
        self.code = code


class ServiceUnreachable(ClientError):
    status = 503


class ServiceRefused(ClientError):
    """answered: the status that the service answered with. param: the field that it found at fault, where it said."""

    def __init__(self, message: str, *, code: str, answered: int = 400, param: str | None = None) -> None:
        super().__init__(message, code=code)
        self.answered = answered
        self.param = param
        self.status = 503 if self.busy else 400

    @property
    def busy(self) -> bool:
        return self.answered in BUSY

    @property
    def too_long(self) -> bool:
        """Whether a gateway refused a prompt for not fitting the model's context."""
        return self.param in TOO_LONG


class BadAnswer(ClientError):
    status = 502
