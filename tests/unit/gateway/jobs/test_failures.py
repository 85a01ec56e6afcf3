from __future__ import annotations

import pytest

from adapters.errors import InvalidConfig, InvalidExample, OutOfMemory, TrainingCancelled, TrainingDiverged
from gateway.client.errors import ServiceRefused, ServiceUnreachable
from gateway.errors import AdapterUnavailable, Forbidden, StoreUnavailable
from gateway.jobs.failures import Failure, JobTimedOut, PayloadMissing, describe
from gateway.store.vault import PayloadUnreadable


@pytest.mark.parametrize(
    ("error", "code", "retryable"),
    [
        (InvalidExample("m"), "invalid_example", False),
        (InvalidConfig("m"), "invalid_config", False),
        (TrainingDiverged("m"), "training_diverged", False),
        (TrainingCancelled("m"), "training_cancelled", True),
        (PayloadMissing("m"), "payload_missing", False),
        (PayloadUnreadable("m"), "payload_unreadable", False),
        (JobTimedOut("m"), "job_timeout", False),
        (StoreUnavailable("m"), "store_unavailable", True),
        (AdapterUnavailable("m"), "adapter_unavailable", True),
        (ServiceUnreachable("m", code="service_unreachable"), "service_unreachable", True),
        (ServiceRefused("m", code="x", answered=422), "x", False),
        (ServiceRefused("m", code="not_ready", answered=503), "not_ready", True),
        (Forbidden("m"), "operator_only", False),
    ],
)
def test_our_own_errors_speak(error: Exception, code: str, retryable: bool) -> None:
    assert describe(error) == Failure(code, "m", retryable)


@pytest.mark.parametrize("error", [RuntimeError("forget text"), KeyError("forget text"), TimeoutError("forget text")])
def test_others_are_only_named(error: Exception) -> None:
    failure = describe(error)
    assert failure.code == "internal_error"
    assert failure.retryable
    assert type(error).__name__ in failure.message
    assert "forget text" not in failure.message


def test_out_of_memory_says_how_an_operator_gives_more_room() -> None:
    failure = describe(OutOfMemory("cuda:0 has too little memory for one example of 80 tokens at a time"))
    assert (failure.code, failure.retryable) == ("out_of_memory", False)
    assert failure.message.startswith("cuda:0 has too little memory")
    assert "UNLEARN_WORKER_DEVICE=cuda:1" in failure.message
    assert "--gpu-memory-utilization" in failure.message
