"""The job: learn one unlearning request, from queued to ready, rejected, active, or failed with a reason.

It may be killed at any point and run again: a finished request is left alone, an artifact that was already
stored is not trained again, and an attempt that lost its place cannot write any more.
"""

from __future__ import annotations

import asyncio
import base64
import logging
from collections.abc import Coroutine, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from adapters.artifact import Artifact
from adapters.data.contradictions import contradictions
from adapters.data.interview import interview
from adapters.errors import InvalidExample
from adapters.examples import Example
from adapters.registry import get_method, parse_config
from adapters.selection import Candidate
from adapters.task import TrainingTask
from gateway.checkpoint_digests import CheckpointDigests
from gateway.config import Settings
from gateway.errors import NotFound, StateConflict
from gateway.jobs.attempt import Attempt, take
from gateway.jobs.checkpoint import checkpoint, pair_source
from gateway.jobs.context import worker_settings
from gateway.jobs.failures import Failure, JobTimedOut, PayloadMissing
from gateway.jobs.inverter import inverter
from gateway.jobs.probe import probe
from gateway.jobs.progress import ProgressWriter
from gateway.jobs.service import ServiceAsk, ServiceClient, ServiceRefused, ServiceUnreachable, service
from gateway.jobs.trials import Trials
from gateway.store.blobs import BlobStore
from gateway.store.client import connected
from gateway.store.embedded import redis_server
from gateway.store.records import RequestRecord, RequestState
from gateway.store.requests import RequestStore
from gateway.store.vault import PayloadVault, commitment, load_or_create_key

log = logging.getLogger(__name__)

#: How long a write waits for Redis to come back before the attempt is given up.
PATIENCE_S = 60.0


def learn(request_id: str) -> None:
    """Entry point of the queue. Raises `JobFailed` when RQ is to try again."""
    asyncio.run(_learn(request_id, worker_settings.get()))


async def _learn(request_id: str, settings: Settings) -> None:
    async with connected(redis_server(settings).url) as redis, service(settings) as client:
        store = RequestStore(redis, patience_s=PATIENCE_S, compact=settings.redis_url is None)
        blobs = BlobStore(redis, None, patience_s=PATIENCE_S)  # a host that serves nothing needs no copy
        try:
            record = await take(store, request_id, settings)
            if record is not None and record.state is RequestState.QUEUED:
                async with Attempt(store, record, settings) as attempt:
                    await _within(settings.job_timeout_s, _attempt(attempt, store, blobs, client, settings))
                record = attempt.record
        except StateConflict as conflict:
            log.info("nothing to do id=%s reason=%s", request_id, conflict.message)
            return
        if record is not None and record.awaits_activation:
            await _activate(store, client, request_id)


async def _within(seconds: int, work: Coroutine[Any, Any, None]) -> None:
    try:
        async with asyncio.timeout(seconds) as deadline:
            await work
    except TimeoutError as error:
        if deadline.expired():
            raise JobTimedOut(f"the job ran longer than {seconds} s (UNLEARN_JOB_TIMEOUT_S)") from error
        raise


async def _attempt(
    attempt: Attempt, store: RequestStore, blobs: BlobStore, client: ServiceClient, settings: Settings
) -> None:
    record = attempt.record
    vault = PayloadVault(load_or_create_key(settings))
    payload = await _payload(store, record, vault)
    if not payload.forget:
        payload = await _interview(attempt, store, client, vault)
    if payload.by_subject and record.activation == "manual" and not record.draft_attempts:
        await attempt.advance(RequestState.DRAFTED, draft_attempts=attempt.number)
        return

    digests = CheckpointDigests(settings.cache_dir)

    async def train(candidate: Candidate) -> Artifact:
        return await _train(attempt, store, client, settings, payload, candidate, digests)

    async def evaluate() -> dict[str, Any]:
        return await probe(client, record.id, payload.forget)

    await Trials(attempt, blobs, settings).run(train, evaluate)


@dataclass(frozen=True, slots=True)
class Payload:
    """What a request is trained on; `TrainingTask` says what each means.

    by_subject: the forget set is asked of the model, and shown to the caller first where activation is manual.
    """

    forget: tuple[Example, ...]
    retain: tuple[Example, ...] | None
    inverted: Mapping[int, tuple[str, ...]]
    by_subject: bool


async def _payload(store: RequestStore, record: RequestRecord, vault: PayloadVault) -> Payload:
    try:
        sealed = await store.payload(record.id)
    except NotFound as error:
        raise PayloadMissing("the forget set of this request is not in the store") from error
    payload = vault.open(record.id, sealed)
    retain = payload.get("retain")
    return Payload(
        forget=tuple(Example.from_dict(item) for item in payload["forget"]),
        retain=None if retain is None else tuple(Example.from_dict(item) for item in retain),
        inverted={int(position): tuple(answers) for position, answers in payload.get("inverted", {}).items()},
        by_subject=payload.get("by_subject", False),
    )


async def _interview(attempt: Attempt, store: RequestStore, client: ServiceClient, vault: PayloadVault) -> Payload:
    """The forget set of a request that names a subject only, asked of the original model and sealed before use."""
    record = attempt.record
    ask = ServiceAsk(client, asyncio.get_running_loop())
    found = await asyncio.to_thread(interview, record.subject or "", ask)
    content = vault.open(record.id, await store.payload(record.id))
    retain = [Example.from_dict(item) for item in content["retain"] or ()]
    if pairs := contradictions(found, retain):
        raise InvalidExample(f"retain item {pairs[0][1]} gives away what the model knows of the subject")
    salt = base64.b64decode(content.pop("salt"))
    content["forget"] = [example.to_dict() for example in found]
    sealed = vault.seal(record.id, {**content, "salt": base64.b64encode(salt).decode()})
    replaced = await store.replace_payload(
        record.id,
        sealed,
        forget_count=len(found),
        commitment=commitment(salt, content),
        state=RequestState.TRAINING,
        attempt=attempt.number,
    )
    if not replaced:
        raise StateConflict("the request has moved on")
    return await _payload(store, record, vault)


async def _train(
    attempt: Attempt,
    store: RequestStore,
    client: ServiceClient,
    settings: Settings,
    payload: Payload,
    candidate: Candidate,
    digests: CheckpointDigests,
) -> Artifact:
    record = attempt.record
    method, config = get_method(candidate.method), parse_config(candidate.method, candidate.config)
    paired = method.offset_rank(config) > 0
    model_path: Path = await asyncio.to_thread(checkpoint, settings, record.model_digest, digests)
    writer = ProgressWriter(store, record.id, attempt.number)
    async with inverter(settings) as inverter_ask, writer.running():
        task = TrainingTask(
            model_path=model_path,
            forget=payload.forget,
            retain=payload.retain,
            inverted=payload.inverted,
            config=config,
            report=writer.report,
            cancelled=attempt.cancelled.is_set,
            ask=ServiceAsk(client, asyncio.get_running_loop()),
            pair=await asyncio.to_thread(pair_source, settings, model_path, digests) if paired else None,
            inverter=inverter_ask,
            model_digest=record.model_digest,
        )
        return await asyncio.to_thread(method.train, task)


async def _activate(store: RequestStore, client: ServiceClient, request_id: str) -> None:
    """Ask the service to activate, so that its budget is checked; a refusal leaves the request ready, with why."""
    try:
        await client.activate(request_id)
    except ServiceRefused as error:
        failure = Failure(error.reason, error.message, retryable=True)
    except ServiceUnreachable as error:
        failure = Failure(error.code, error.message, retryable=True)
    else:
        log.info("request activated id=%s", request_id)
        return
    log.warning("activation refused id=%s code=%s", request_id, failure.code)
    await store.refuse_activation(request_id, failure.to_dict())
