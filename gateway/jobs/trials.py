"""Trains and evaluates what a request may be served with, and keeps one of it.

A request that named its method has one candidate. One that left the choice has several, tried in order until one
cannot be bettered; each leaves a trial in the record, written in the same instant as the state that follows it, so that
a job that is killed goes on after the last one.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Awaitable, Callable
from dataclasses import asdict, dataclass, replace
from typing import Any

from adapters import selection
from adapters.artifact.artifact import Artifact
from adapters.errors import AdapterError, TrainingCancelled
from adapters.registry import get_method, parse_config
from adapters.selection import Candidate, Outcome, Share
from gateway.client.errors import ServiceRefused
from gateway.errors import AdapterUnavailable, StateConflict
from gateway.jobs.attempt import Attempt
from gateway.jobs.failures import Failure, JobTimedOut, describe
from gateway.jobs.time_limit import time_limit
from gateway.jobs.verdict import Verdict, exceeding, gates, neighbours_kept, objection, pooled, scope_missed, verdict
from gateway.settings import Settings
from gateway.store.blobs import BlobStore
from gateway.store.records import Otherwise, Prompts, RequestRecord, RequestState

log = logging.getLogger(__name__)

#: Why a request that passes is not activated by itself.
_DOUBTS = {
    Verdict.NOTHING_KNOWN: "the model did not state what is to be forgotten before either, so the adapter is not "
    "applied by itself; check the prompts, or activate the request",
    Verdict.INCONCLUSIVE: "too few attacks brought the fact out before to say that they do not any more, so the "
    "adapter is not applied by itself; give more items or wordings, or activate the request",
}

Train = Callable[[Candidate], Awaitable[Artifact]]
#: Evidence of the adapter with this digest, which is served under the request's id.
Probe = Callable[[str], Awaitable[dict[str, Any]]]


@dataclass(frozen=True, slots=True)
class Trial:
    """One candidate's outcome. digest None: it was not trained to an end, and `error` says why.

    seconds: spent on it, training and evaluation.
    """

    method: str
    config: dict[str, Any]
    digest: str | None = None
    artifact_bytes: int | None = None
    evidence: dict[str, Any] | None = None
    error: dict[str, Any] | None = None
    seconds: float = 0.0

    @property
    def label(self) -> str:
        """The method, and the objective where one was named."""
        objective = self.config.get("objective")
        return f"{self.method} with {objective}" if objective else self.method

    def score(self, settings: Settings) -> Outcome:
        assert self.evidence is not None
        controls, beside = self.evidence["controls"], neighbours_kept(self.evidence)
        attacks = pooled(self.evidence)
        return Outcome(
            leak=self.evidence["forget"]["leak_rate_after"],
            kept=None if controls["kept_rate"] is None else Share(controls["kept_rate"], controls["n"]),
            passes=objection(self.evidence, settings) is None,
            failing=len(exceeding(self.evidence, settings)),
            attacked=None if attacks.rate is None else Share(attacks.rate, attacks.known),
            neighbours=None if beside is None else Share(beside, self.evidence["neighbours"]["n"]),
        )


#: The record's `report` of the trial that is kept.
Conclude = Callable[[Trial], Awaitable[dict[str, Any] | None]]


async def unreported(_: Trial) -> None:
    """No report is made."""


def trials_of(record: RequestRecord) -> list[Trial]:
    """Those made so far."""
    return [] if record.selection is None else [Trial(**trial) for trial in record.selection.get("trials", ())]


class Trials:
    """The trials of one attempt."""

    def __init__(self, attempt: Attempt, blobs: BlobStore, settings: Settings) -> None:
        self._attempt = attempt
        self._blobs = blobs
        self._settings = settings
        self._made = trials_of(attempt.record)

    async def run(self, train: Train, probe: Probe, conclude: Conclude = unreported) -> None:
        """From training to ready or rejected. Raises what the last candidate's trial raised when none succeeds."""
        candidates = self._attempt.record.candidates
        log.info("gates fixed id=%s %s", self._id, " ".join(f"{k}={v:g}" for k, v in gates(self._settings).items()))
        while len(self._made) < len(candidates):
            last = len(self._made) == len(candidates) - 1
            trial = await self._try(candidates[len(self._made)], train, probe, last=last)
            self._made.append(trial)
            effort = self._attempt.record.effort
            if last or (trial.evidence is not None and trial.score(self._settings).suffices(effort)):
                break
            log.info("candidate tried id=%s method=%s digest=%s", self._id, trial.method, trial.digest)
            await self._attempt.advance(RequestState.TRAINING, selection=self._selection())
        await self._conclude(conclude, untried=len(candidates) - len(self._made))

    async def _try(self, candidate: Candidate, train: Train, probe: Probe, *, last: bool) -> Trial:
        """What came of it. A candidate that fails, or runs out of time, fails alone while another is there."""
        started = time.monotonic()
        trial = Trial(candidate.method, dict(candidate.config))
        try:
            digest, size = await self._learned(candidate, train, started)
            trial = replace(trial, digest=digest, artifact_bytes=size)
            with self._attempt.phases.during("evaluation"):
                async with time_limit(self._settings, started):
                    trial = replace(trial, evidence=await probe(digest))
        except (AdapterError, JobTimedOut, ServiceRefused) as error:
            if _concerns_all(error) or (last and not any(made.evidence for made in self._made)):
                raise
            failure = describe(error)
            log.warning("candidate failed id=%s method=%s code=%s", self._id, candidate.method, failure.code)
            trial = replace(trial, error=failure.to_dict())
        return replace(trial, seconds=_since(started))

    async def _learned(self, candidate: Candidate, train: Train, started: float) -> tuple[str, int | None]:
        """Digest and size of the candidate's artifact, which the evaluation then finds under the request's id.

        One that a killed attempt left is not trained again.
        """
        record = self._attempt.record
        left = record.digest
        if left is not None and left not in {trial.digest for trial in self._made} and await self._blobs.exists(left):
            log.info("artifact already learned id=%s digest=%s", record.id, left)
            await self._attempt.advance(RequestState.EVALUATING)
            return left, record.artifact_bytes
        async with time_limit(self._settings, started):
            artifact = await train(candidate)
        data = artifact.to_bytes()
        digest = await self._blobs.put(data, owner=record.id)
        try:
            await self._attempt.advance(RequestState.EVALUATING, **_served_as(candidate, digest, len(data)))
        except StateConflict:
            if await self._attempt.is_over():  # and what the request had was released before this came
                await self._blobs.release(digest, owner=record.id)
            raise
        return digest, len(data)

    async def _conclude(self, conclude: Conclude, *, untried: int) -> None:
        usable = [trial for trial in self._made if trial.evidence is not None]
        scores = [trial.score(self._settings) for trial in usable]
        position = selection.best(scores)
        kept = usable[position]
        assert kept.digest is not None
        assert kept.evidence is not None
        judged = verdict(kept.evidence, self._settings)
        changes: dict[str, Any] = {"evidence": {**kept.evidence, "verdict": judged.value}}
        if self._attempt.record.guarded:
            changes["evidence"]["interim"] = "filter"  # what guards until then; nothing of this is measured through it
        if scope_missed(kept.evidence) is Otherwise.ALWAYS:
            changes["scope"] = {**self._attempt.record.scope, "prompts": Prompts.ALWAYS.value}
        if self._attempt.record.selection is not None:
            why = selection.reason([trial.label for trial in usable], scores, position, untried=untried)
            changes |= _served_as(Candidate(kept.method, kept.config), kept.digest, kept.artifact_bytes)
            changes["selection"] = self._selection() | {"why": why}
        changes["report"] = await conclude(kept)
        if self._attempt.record.state is RequestState.TRAINING:  # the last candidate failed, an earlier one is kept
            await self._attempt.advance(RequestState.EVALUATING)
        if judged is Verdict.REJECTED:
            problem = objection(kept.evidence, self._settings) or ""
            error = Failure("evaluation_rejected", problem, retryable=False).to_dict()
            await self._attempt.advance(RequestState.REJECTED, **changes, error=error)
        else:
            # As with every activation that the caller wanted and does not get, the record says why.
            if judged in _DOUBTS and self._attempt.record.activation == "auto":
                changes["error"] = Failure(judged.value, _DOUBTS[judged], retryable=False).to_dict()
            await self._attempt.advance(RequestState.READY, **changes)

    def _selection(self) -> dict[str, Any]:
        record = self._attempt.record
        assert record.selection is not None
        return {**record.selection, "trials": [asdict(trial) for trial in self._made]}

    @property
    def _id(self) -> str:
        return self._attempt.record.id


def _served_as(candidate: Candidate, digest: str, size: int | None) -> dict[str, Any]:
    """Fields of a record whose adapter this is."""
    method = get_method(candidate.method)
    config = parse_config(candidate.method, candidate.config)
    return {
        "method": candidate.method,
        "config": dict(candidate.config),
        "digest": digest,
        "artifact_bytes": size,
        "footprint": method.footprint(config),
    }


def _concerns_all(error: Exception) -> bool:
    """Whether another candidate would meet the same: the job is to stop, or the service is not there to ask."""
    away = isinstance(error, ServiceRefused) and error.busy and error.code != AdapterUnavailable.code
    return away or isinstance(error, TrainingCancelled)


def _since(started: float) -> float:
    return round(time.monotonic() - started, 1)
