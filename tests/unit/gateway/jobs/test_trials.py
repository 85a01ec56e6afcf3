"""Several candidates for one request, on a real store: which is kept, and what remains of the others."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pytest
from redis.asyncio import Redis

from adapters.artifact.artifact import FORMAT, Artifact, Manifest
from adapters.errors import OutOfMemory, TrainingDiverged
from adapters.evaluation.attacks.outcome import FamilyOutcome
from adapters.selection import Candidate
from adapters.training.effort import Effort
from gateway.client.errors import ServiceRefused, ServiceUnreachable
from gateway.errors import StateConflict
from gateway.jobs.attempt import LOST, Attempt, end_attempt
from gateway.jobs.queue import JobQueue
from gateway.jobs.trials import Trials
from gateway.settings import Settings
from gateway.store.blobs import BlobStore
from gateway.store.records import RequestRecord, RequestState
from gateway.store.requests import RequestStore
from tests.unit.gateway.jobs.conftest import Register
from tests.unit.gateway.jobs.toy import ToyArtifact

pytestmark = pytest.mark.usefixtures("toy_method")


def evidence(
    leak: float, kept: float, *, before: float = 1.0, known: int = 12, attacked: int = 0, beside: int = 30
) -> dict[str, Any]:
    attack = FamilyOutcome("prefill", 12, known, attacked).to_dict()
    return {
        "forget": {"leak_rate_before": before, "leak_rate_after": leak},
        "controls": {"n": 1000, "kept_rate": kept},
        "attacks": {"prefill": attack},
        "pooled": attack,
        "neighbours": {"n": 30, "kept": beside},
    }


DIVERGES = TrainingDiverged("the loss became NaN at step 10")


@dataclass(frozen=True)
class InProbe:
    """What happens once it is trained."""

    happens: Exception | float


#: A candidate's evidence, or what its training raises, or how long that takes.
Prepared = dict[str, Any] | Exception | float | InProbe


class Laboratory:
    """Trains candidates in no time, and finds what is prepared for each."""

    def __init__(self, redis: Redis, settings: Settings, *prepared: Prepared) -> None:
        self.redis, self.store = redis, RequestStore(redis)
        self.blobs = BlobStore(redis, None)  # as a worker has it
        self.settings = settings
        self.prepared = prepared
        self.trained: list[int] = []

    @property
    def selection(self) -> dict[str, Any]:
        count = len(self.prepared)
        return {"candidates": [{"method": "toy", "config": {"steps": n}} for n in range(1, count + 1)], "trials": []}

    async def train(self, candidate: Candidate) -> Artifact:
        steps = candidate.config["steps"]
        self.trained.append(steps)
        await self._happen(self.prepared[steps - 1])
        return ToyArtifact(Manifest(FORMAT, "toy", 4, 2, "float32", "0" * 64, {"steps": steps}, 0, "toy"), {})

    async def probe(self, digest: str) -> dict[str, Any]:
        found = self.prepared[self.trained[-1] - 1]
        if isinstance(found, InProbe):
            await self._happen(found.happens)
        assert isinstance(found, dict)
        return found

    async def _happen(self, what: Prepared) -> None:
        if isinstance(what, Exception):
            raise what
        if isinstance(what, float):
            await asyncio.sleep(what)

    async def run(self, request_id: str) -> RequestRecord:
        async with await self.attempt(request_id) as attempt:
            await Trials(attempt, self.blobs, self.settings).run(self.train, self.probe)
        return await self.store.get(request_id)

    async def attempt(self, request_id: str) -> Attempt:
        """The next one."""
        await self.store.queue(request_id)
        record = await JobQueue(self.redis, self.store, self.settings).claim()
        assert record is not None
        return Attempt(self.store, record, self.settings)

    async def present(self, digests: Sequence[str]) -> list[bool]:
        return [await self.blobs.exists(digest) for digest in digests]


async def test_the_best_is_kept_with_the_reason_and_the_others_are_deleted(
    register: Register, redis: Redis, settings: Settings
) -> None:
    lab = Laboratory(redis, settings, evidence(0.2, 1.0), evidence(0.0, 0.9), evidence(0.0, 0.8))
    record = await lab.run((await register(effort=Effort.THOROUGH, selection=lab.selection)).id)
    assert (record.state, record.config) == (RequestState.READY, {"steps": 2})
    assert record.evidence == {**evidence(0.0, 0.9), "verdict": "forgotten"}
    assert record.selection is not None
    assert [trial["config"]["steps"] for trial in record.selection["trials"]] == lab.trained == [1, 2, 3]
    assert "20% of the forget prompts leak" in record.selection["why"]
    digests = [trial["digest"] for trial in record.selection["trials"]]
    assert record.digest == digests[1]
    assert await lab.present(digests) == [False, True, False]


async def test_the_first_that_passes_every_gate_is_kept_unless_the_search_is_thorough(
    register: Register, redis: Redis, settings: Settings
) -> None:
    for effort, trained in ((Effort.QUICK, [1, 2]), (Effort.STANDARD, [1, 2]), (Effort.THOROUGH, [1, 2, 3])):
        lab = Laboratory(redis, settings, evidence(0.0, 0.1), evidence(0.0, 0.9), evidence(0.0, 0.9))
        record = await lab.run((await register(effort=effort, selection=lab.selection)).id)
        assert (record.state, record.config, lab.trained) == (RequestState.READY, {"steps": 2}, trained)
        assert record.selection is not None
        assert ("passes every gate" in record.selection["why"]) is (effort is not Effort.THOROUGH)


async def test_what_cannot_be_bettered_ends_the_search(register: Register, redis: Redis, settings: Settings) -> None:
    lab = Laboratory(redis, settings, evidence(0.0, 1.0), evidence(0.0, 1.0))
    record = await lab.run((await register(effort=Effort.THOROUGH, selection=lab.selection)).id)
    assert (record.state, lab.trained) == (RequestState.READY, [1])
    assert record.selection is not None
    assert "1 more not tried" in record.selection["why"]


GONE = ServiceRefused("adapter 12ab cannot be used", code="adapter_unavailable", answered=503)
REFUSED = ServiceRefused("the prompt is too long", code="context_length_exceeded", answered=400)
FOREVER = 3600.0


@pytest.mark.parametrize(
    ("fails", "code"),
    [
        (DIVERGES, "training_diverged"),
        (OutOfMemory("cuda:0 has too little memory"), "out_of_memory"),
        (REFUSED, "context_length_exceeded"),
        (FOREVER, "job_timeout"),
        (InProbe(GONE), "adapter_unavailable"),
        (InProbe(REFUSED), "context_length_exceeded"),
        (InProbe(FOREVER), "job_timeout"),
    ],
    ids=["diverges", "memory", "data", "slow", "out of service", "refused", "slow answers"],
)
@pytest.mark.parametrize("position", [0, 1, 2])
async def test_a_candidate_that_fails_fails_alone(
    register: Register, redis: Redis, settings: Settings, fails: Prepared, code: str, position: int
) -> None:
    prepared: list[Prepared] = [evidence(0.0, 0.9), evidence(0.0, 0.8)]
    prepared.insert(position, fails)
    settings = settings.model_copy(update={"job_timeout_s": 0.2})
    lab = Laboratory(redis, settings, *prepared)
    record = await lab.run((await register(effort=Effort.THOROUGH, selection=lab.selection)).id)
    assert (record.state, record.attempts, lab.trained) == (RequestState.READY, 1, [1, 2, 3])
    assert record.config == {"steps": 2 if position == 0 else 1}
    assert record.selection is not None
    errors = [trial["error"] and trial["error"]["code"] for trial in record.selection["trials"]]
    assert errors == [code if i == position else None for i in range(3)]
    assert await redis.scard(f"blobs:{record.id}") == 1


@pytest.mark.parametrize(
    ("fails", "state"),
    [
        (DIVERGES, RequestState.FAILED),
        (FOREVER, RequestState.FAILED),
        (InProbe(REFUSED), RequestState.FAILED),
        (InProbe(GONE), RequestState.QUEUED),
    ],
)
async def test_when_all_fail_the_request_does_with_the_last_reason(
    register: Register, redis: Redis, settings: Settings, fails: Prepared, state: RequestState
) -> None:
    settings = settings.model_copy(update={"job_timeout_s": 0.2})
    lab = Laboratory(redis, settings, fails, fails)
    record = await lab.run((await register(effort=Effort.THOROUGH, selection=lab.selection)).id)
    assert (record.state, lab.trained) == (state, [1, 2])
    assert await redis.scard(f"blobs:{record.id}") == (0 if state is RequestState.FAILED else 2)


@pytest.mark.parametrize(
    "fails", [ServiceRefused("starting", code="not_ready", answered=503), ServiceUnreachable("away", code="x")]
)
async def test_a_service_that_is_away_is_no_candidates_fault(
    register: Register, redis: Redis, settings: Settings, fails: Exception
) -> None:
    lab = Laboratory(redis, settings, InProbe(fails), evidence(0.0, 1.0))
    record = await lab.run((await register(effort=Effort.THOROUGH, selection=lab.selection)).id)
    assert (record.state, record.attempts, lab.trained) == (RequestState.QUEUED, 1, [1])


async def test_a_candidate_that_kills_its_worker_costs_its_own_tries_only(
    register: Register, redis: Redis, settings: Settings
) -> None:
    class Killed(BaseException):
        pass

    lab = Laboratory(redis, settings, evidence(0.0, 0.9), InProbe(FOREVER), evidence(0.0, 0.8))
    request_id = (await register(effort=Effort.THOROUGH, selection=lab.selection)).id

    async def probe(digest: str) -> dict[str, Any]:
        if lab.trained[-1] == 2:
            raise Killed
        return await lab.probe(digest)

    for _ in range(settings.job_retries + 1):
        attempt = await lab.attempt(request_id)
        with pytest.raises(Killed):
            async with attempt:
                await Trials(attempt, lab.blobs, settings).run(lab.train, probe)
        await end_attempt(lab.store, attempt.record, LOST, settings)
    record = await lab.run(request_id)
    assert (record.state, record.config, lab.trained) == (RequestState.READY, {"steps": 1}, [1, 2, 3])
    assert record.selection is not None
    assert record.selection["trials"][1]["error"]["code"] == "worker_killed"
    assert await redis.scard(f"blobs:{record.id}") == 1


async def test_what_holds_under_attack_is_kept_and_the_record_says_so(
    register: Register, redis: Redis, settings: Settings
) -> None:
    lab = Laboratory(redis, settings, evidence(0.0, 1.0, attacked=8), evidence(0.0, 0.9, beside=27))
    record = await lab.run((await register(effort=Effort.THOROUGH, selection=lab.selection)).id)
    assert (record.state, record.config) == (RequestState.READY, {"steps": 2})
    assert record.selection is not None
    assert record.selection["why"] == (
        "kept toy (toy: 0% of the forget prompts leak, 67% of the attacks bring it out, 100% of the controls kept, "
        "100% of the neighbours kept, below the gates; toy: 0% of the forget prompts leak, 0% of the attacks bring it "
        "out, 90% of the controls kept, 90% of the neighbours kept)"
    )


async def test_when_none_passes_the_least_leak_is_what_the_rejection_names(
    register: Register, redis: Redis, settings: Settings
) -> None:
    lab = Laboratory(redis, settings, evidence(0.9, 1.0), evidence(0.5, 1.0))
    record = await lab.run((await register(effort=Effort.THOROUGH, selection=lab.selection)).id)
    assert record.state is RequestState.REJECTED
    assert record.evidence == {**evidence(0.5, 1.0), "verdict": "rejected"}
    assert record.error is not None
    assert record.error["message"].startswith("50% of the forget prompts still leak")


@pytest.mark.parametrize(
    ("found", "activation", "state", "verdict", "code"),
    [
        (evidence(0.0, 1.0, before=0.0), "auto", RequestState.READY, "nothing_known", "nothing_known"),
        (evidence(0.0, 1.0, before=0.0), "manual", RequestState.READY, "nothing_known", None),
        (evidence(0.0, 1.0, before=0.1), "auto", RequestState.READY, "forgotten", None),
        (evidence(0.1, 1.0), "auto", RequestState.REJECTED, "rejected", "evaluation_rejected"),
        (evidence(0.1, 1.0, before=0.0), "auto", RequestState.REJECTED, "rejected", "evaluation_rejected"),
        (evidence(0.0, 0.5, before=0.0), "auto", RequestState.REJECTED, "rejected", "evaluation_rejected"),
        (evidence(0.0, 1.0, attacked=3), "auto", RequestState.REJECTED, "rejected", "evaluation_rejected"),
        (evidence(0.0, 1.0, beside=7), "auto", RequestState.REJECTED, "rejected", "evaluation_rejected"),
        (evidence(0.0, 1.0, known=7), "auto", RequestState.READY, "inconclusive", "inconclusive"),
        (evidence(0.0, 1.0, known=7), "manual", RequestState.READY, "inconclusive", None),
    ],
)
async def test_the_verdict_says_whether_there_was_anything_to_forget(
    register: Register,
    redis: Redis,
    settings: Settings,
    found: dict[str, Any],
    activation: str,
    state: RequestState,
    verdict: str,
    code: str | None,
) -> None:
    lab = Laboratory(redis, settings, found)
    record = await lab.run((await register(effort=Effort.THOROUGH, selection=lab.selection, activation=activation)).id)
    assert (record.state, (record.evidence or {})["verdict"], (record.error or {}).get("code")) == (
        state,
        verdict,
        code,
    )
    assert record.awaits_activation is (verdict == "forgotten")
    async with asyncio.timeout(20):  # whoever follows it is not left waiting
        events = [event async for event in lab.store.events(record.id)] if verdict != "forgotten" else []
    assert not events or events[-1].data["state"] == state


@pytest.mark.parametrize(
    ("found", "guard", "label"),
    [
        (evidence(0.0, 1.0), b"sealed scope", "filter"),
        (evidence(0.1, 1.0), b"sealed scope", "filter"),
        (evidence(0.0, 1.0, known=7), b"sealed scope", "filter"),
        (evidence(0.0, 1.0), b"", None),
    ],
)
async def test_evidence_says_that_a_filter_answers_until_then(
    register: Register, redis: Redis, settings: Settings, found: dict[str, Any], guard: bytes, label: str | None
) -> None:
    lab = Laboratory(redis, settings, found)
    record = await lab.run((await register(guard=guard, selection=lab.selection)).id)
    assert (record.evidence or {}).get("interim") == label
    assert record.guarded is bool(guard)


async def test_a_job_that_was_killed_goes_on_after_the_last_trial(
    register: Register, redis: Redis, settings: Settings
) -> None:
    lab = Laboratory(redis, settings, evidence(0.2, 1.0), evidence(0.0, 0.9))
    request_id = (await register(effort=Effort.THOROUGH, selection=lab.selection)).id

    class Killed(BaseException):
        pass

    async def killed(digest: str) -> dict[str, Any]:
        if lab.trained[-1] == 2:
            raise Killed
        return await lab.probe(digest)

    attempt = await lab.attempt(request_id)
    await attempt.__aenter__()
    with pytest.raises(Killed):
        await Trials(attempt, lab.blobs, settings).run(lab.train, killed)
    await lab.store.transition(request_id, expected={RequestState.EVALUATING}, to=RequestState.QUEUED)
    record = await lab.run(request_id)
    assert (record.state, record.config) == (RequestState.READY, {"steps": 2})
    assert lab.trained == [1, 2], "the second was stored before the kill, so it is not trained again"


async def test_retiring_deletes_what_every_trial_left(register: Register, redis: Redis, settings: Settings) -> None:
    lab = Laboratory(redis, settings, evidence(0.2, 1.0), evidence(0.1, 1.0))
    request_id = (await register(effort=Effort.THOROUGH, selection=lab.selection)).id

    async def retired(digest: str) -> dict[str, Any]:
        if lab.trained[-1] == 2:
            await lab.store.retire(request_id, lab.blobs)
        return await lab.probe(digest)

    async with await lab.attempt(request_id) as attempt:
        with pytest.raises(StateConflict):
            await Trials(attempt, lab.blobs, settings).run(lab.train, retired)
    assert [key async for key in redis.scan_iter("blob:*")] == []


async def test_an_artifact_of_a_request_that_was_retired_meanwhile_is_not_left(
    register: Register, redis: Redis, settings: Settings
) -> None:
    lab = Laboratory(redis, settings, evidence(0.0, 1.0))
    request_id = (await register(effort=Effort.THOROUGH, selection=lab.selection)).id

    async def retired(candidate: Candidate) -> Artifact:
        await lab.store.retire(request_id, lab.blobs)
        return await lab.train(candidate)

    async with await lab.attempt(request_id) as attempt:
        with pytest.raises(StateConflict):
            await Trials(attempt, lab.blobs, settings).run(retired, lab.probe)
    assert [key async for key in redis.scan_iter("blob:*")] == []
