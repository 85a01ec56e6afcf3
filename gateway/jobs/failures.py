"""What an error of a job means for its request: a code, a message free of forget text, and whether to try again."""

from __future__ import annotations

import re
from dataclasses import dataclass

from adapters.errors import AdapterError, OutOfMemory, TrainingCancelled
from gateway.errors import GatewayError
from gateway.store.vault import InvalidPayloadKey, PayloadUnreadable


class PayloadMissing(GatewayError):
    """The forget set is not in the store any more."""

    code = "payload_missing"


class CheckpointMismatch(GatewayError):
    """The worker's model is not the one the request was registered for."""

    code = "model_mismatch"


class CheckpointUnavailable(GatewayError):
    """The model cannot be found where the worker runs."""

    code = "model_unavailable"


class JobTimedOut(GatewayError):
    """It took longer than it may; a repetition would too."""

    code = "job_timeout"


class TrainerStuck(GatewayError):
    """The trainer ran out of time and did not stop, so that no other can take its place in this process."""

    code = "trainer_stuck"


#: Repeating the attempt would end in the same way.
PERMANENT: tuple[type[BaseException], ...] = (
    AdapterError,
    PayloadMissing,
    PayloadUnreadable,
    InvalidPayloadKey,
    CheckpointMismatch,
    CheckpointUnavailable,
    JobTimedOut,
    TrainerStuck,
)


#: How an operator gives the worker more room.
_ROOM = (
    "; an operator gives it more room with another device (UNLEARN_WORKER_DEVICE=cuda:1, or cpu), or by leaving the "
    "engine less of the card (--gpu-memory-utilization)"
)


@dataclass(frozen=True, slots=True)
class Failure:
    """Why an attempt ended."""

    code: str
    message: str
    retryable: bool

    def to_dict(self) -> dict[str, object]:
        return {"code": self.code, "message": self.message, "retryable": self.retryable}


def describe(error: BaseException) -> Failure:
    """The failure behind an exception. Only errors of our own may speak; of others, the type is named."""
    retryable = isinstance(error, TrainingCancelled) or not isinstance(error, PERMANENT)
    if isinstance(error, AdapterError):
        advice = _ROOM if isinstance(error, OutOfMemory) else ""
        return Failure(_snake(type(error).__name__), f"{error}{advice}", retryable)
    if isinstance(error, GatewayError):
        return Failure(error.code, error.message, retryable and error.status not in range(400, 500))
    return Failure("internal_error", f"the worker failed with {type(error).__name__}", retryable)


def _snake(name: str) -> str:
    return re.sub(r"(?<!^)(?=[A-Z])", "_", name).lower()
