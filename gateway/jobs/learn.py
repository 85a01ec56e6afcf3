"""The job: learn one unlearning request, from training to ready, rejected, active, or failed with a reason.

It may be killed at any point and run again: a finished request is left alone, an artifact that was already
stored is not trained again, and an attempt that lost its place cannot write any more.
"""

from __future__ import annotations

import asyncio
import base64
import logging
from contextlib import AsyncExitStack
from functools import partial
from typing import Any

from redis.asyncio import Redis

from adapters.data.conflicts import contradictions
from adapters.data.interview import interview
from adapters.errors import InvalidItem
from adapters.examples import Example
from adapters.text.phrasebook import phrasebook
from gateway.client.client import PLAN_OFF, UnlearnClient
from gateway.client.errors import ClientError
from gateway.errors import StateConflict
from gateway.evidence.report.report import Report
from gateway.jobs import evaluation_events
from gateway.jobs.attempt import Attempt, is_current
from gateway.jobs.failures import Failure
from gateway.jobs.kept import KeptAttacks
from gateway.jobs.meeting import Meeting
from gateway.jobs.payload import Payload, read_payload
from gateway.jobs.probe import Prober
from gateway.jobs.progress import ProgressWriter
from gateway.jobs.reporting import Reporter
from gateway.jobs.scope_gate import ScopeGate
from gateway.jobs.service import PATIENCE_S, service
from gateway.jobs.time_limit import time_limit
from gateway.jobs.training import Training
from gateway.jobs.trials import Trial, Trials
from gateway.jobs.verdict import objection
from gateway.policy.scope.building import build
from gateway.policy.scope.detectors import SharedDetectors
from gateway.policy.scope.sealed import SealedEntries
from gateway.settings import Settings
from gateway.store.blobs import BlobStore
from gateway.store.client import connected
from gateway.store.embedded import is_embedded, redis_server
from gateway.store.probe_sets import EvaluationNotes, KeptProbes
from gateway.store.records import RequestState
from gateway.store.report_notes import note_of
from gateway.store.requests import RequestStore
from gateway.store.vault import PayloadVault, commitment, load_or_create_key

log = logging.getLogger(__name__)


async def learn(request_id: str, attempt: int, settings: Settings) -> None:
    """Carry on a request that a worker has claimed: this attempt at learning it, and its activation.

    Raises `StoreUnavailable` where the end of the attempt could not be written.
    """
    async with connected(redis_server(settings).url) as redis, AsyncExitStack() as stack:
        client = stack.enter_context(service(settings))
        store = RequestStore(redis, patience_s=PATIENCE_S, compact=is_embedded(settings))
        blobs = BlobStore(redis, None, patience_s=PATIENCE_S)  # a host that serves nothing needs no copy
        record, report = await store.get(request_id), None
        if is_current(record, attempt):
            async with Attempt(store, record, settings) as current:
                report = await _attempt(current, redis, store, blobs, client, settings)
            record = current.record
        if record.awaits_activation:
            await _activate(store, client, request_id)
        if report is not None:  # last: a collector that is away delays nothing
            await asyncio.to_thread(evaluation_events.send, report, settings)


async def _attempt(
    attempt: Attempt, redis: Redis, store: RequestStore, blobs: BlobStore, client: UnlearnClient, settings: Settings
) -> Report | None:
    """The report that it ended in; None for a draft, which is not learned yet."""
    record = attempt.record
    vault = PayloadVault(load_or_create_key(settings))
    payload = await read_payload(store, record, vault)
    if not payload.forget:
        with attempt.phases.during("interview"):
            async with time_limit(settings):
                payload = await _interview(attempt, store, client, vault)
    if payload.by_subject and record.activation == "manual" and not record.draft_attempts:
        await attempt.advance(RequestState.DRAFTED, draft_attempts=attempt.number)
        return None

    detectors = SharedDetectors(vault.scope_key)
    scope, entry = None, None
    if record.matched:
        scope, entry = await _scope(attempt, store, vault, payload, detectors, settings)
    training = Training(attempt, store, client, settings, payload)
    writer = ProgressWriter(store, record.id, attempt.number)
    notes = EvaluationNotes(redis, vault, record.id, attempt.number, patience_s=PATIENCE_S)
    reporter = await Reporter.open(record, entry, client, redis, notes, settings)
    prober = Prober(
        client,
        record.id,
        payload.forget,
        payload.retain or (),
        record.language,
        record.level,
        writer.report,
        scope,
        tier=record.tier,
        manifest=reporter.manifest,
        notes=notes,
        witness=reporter,
    )

    kept_attacks = KeptAttacks(KeptProbes(redis, vault))
    meeting = Meeting(client, store, SealedEntries(store, vault), detectors.get, record, kept_attacks)

    async def evaluate(digest: str) -> dict[str, Any]:
        async with writer.running():
            evidence = await prober.evidence(digest)
            if objection(evidence, settings) is None:
                evidence["interference"] = await meeting.measured(prober.leaking)
            return evidence

    report: Report | None = None

    async def conclude(kept: Trial) -> dict[str, Any]:
        nonlocal report
        assert kept.digest is not None
        spent = {phase.replace(" ", "_"): sum(parts.values()) for phase, parts in attempt.phases.seconds().items()}
        report = await reporter.report(kept.digest, kept.method, artifact_bytes=kept.artifact_bytes or 0, seconds=spent)
        return note_of(report)

    await Trials(attempt, blobs, settings).run(training.train, evaluate, conclude)
    return report


async def _scope(
    attempt: Attempt,
    store: RequestStore,
    vault: PayloadVault,
    payload: Payload,
    shared: SharedDetectors,
    settings: Settings,
) -> tuple[ScopeGate, bytes]:
    """Make the entry that says which prompts the request applies to, store it sealed, and give what asks it, and its
    bytes."""
    record = attempt.record
    detectors = await asyncio.to_thread(shared.get)
    entry = await asyncio.to_thread(build, payload.forget, phrasebook(record.language), detectors)
    data = entry.to_bytes()
    sealed = vault.seal_scope(record.id, data)
    if not await store.put_scope(record.id, sealed, attempt=attempt.number):
        raise StateConflict("the request has moved on")
    return ScopeGate.of(record, entry, detectors, settings), data


async def _interview(attempt: Attempt, store: RequestStore, client: UnlearnClient, vault: PayloadVault) -> Payload:
    """The forget set of a request that names a subject only, asked of the original model and sealed before use."""
    record = attempt.record
    ask = partial(client.answers, plan=PLAN_OFF)
    found = await asyncio.to_thread(interview, record.subject or "", ask)
    content = vault.open(record.id, await store.payload(record.id))
    retain = [Example.from_dict(item) for item in content["retain"] or ()]
    if pairs := contradictions(found, retain):
        refusal = InvalidItem("retain", pairs[0][1], "gives away what the model knows of the subject")
        raise refusal.renumbered(content["items"]["retain"])
    salt = base64.b64decode(content.pop("salt"))
    content["forget"] = [example.to_dict() for example in found]
    content["items"]["forget"] = list(range(len(found)))
    sealed = vault.seal(record.id, {**content, "salt": base64.b64encode(salt).decode()})
    replaced = await store.replace_payload(
        record.id,
        sealed,
        {"forget_count": len(found), "commitment": commitment(salt, content)},
        state=RequestState.TRAINING,
        attempt=attempt.number,
    )
    if not replaced:
        raise StateConflict("the request has moved on")
    return await read_payload(store, record, vault)


async def _activate(store: RequestStore, client: UnlearnClient, request_id: str) -> None:
    """Ask the service to activate, so that its budget is checked; a refusal leaves the request ready, with why."""
    try:
        await asyncio.to_thread(client.activate, request_id)
    except ClientError as error:
        failure = Failure(error.code, error.message, retryable=True)
    else:
        log.info("request activated id=%s", request_id)
        return
    log.warning("activation refused id=%s code=%s", request_id, failure.code)
    await store.refuse_activation(request_id, failure.to_dict())
