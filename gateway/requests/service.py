"""What `/forget` does, without HTTP: register, activate, deactivate, retire."""

from __future__ import annotations

import asyncio
import base64
import logging
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import replace
from typing import Any, Protocol

from adapters.artifact.artifact import Artifact
from adapters.errors import InvalidArtifact
from adapters.evaluation.levels import Level
from adapters.examples import Example
from adapters.selection import AUTO
from adapters.text.phrasebook import phrasebook, phrasebook_for
from adapters.training.effort import Effort
from gateway.access import caller as callers
from gateway.access.api_key import GLOBAL_TENANT
from gateway.errors import ArtifactMismatch, BudgetExceeded, StateConflict
from gateway.policy import interference
from gateway.policy.active import ActivePolicy
from gateway.policy.in_force import adapter_ref
from gateway.policy.plan import AdapterRef, unique
from gateway.policy.scope.building import build, items_about
from gateway.policy.scope.detectors import Detectors
from gateway.requests.estimate import LOOKED_AT, estimate
from gateway.requests.example_set import ExampleSet, check_sets, example_set
from gateway.requests.items import Item
from gateway.requests.offering import Adapter, Offering, ServedModel
from gateway.requests.schemas import ExamplesBody, ForgetBody
from gateway.settings import Settings
from gateway.store.blobs import BlobStore
from gateway.store.records import Interim, RequestRecord, RequestState, new_request_id
from gateway.store.requests import RequestStore
from gateway.store.vault import PayloadVault, commitment, new_salt

audit = logging.getLogger("gateway.audit")


class Engine(Protocol):
    """The engine's adapters."""

    def hold(self, adapters: Sequence[AdapterRef]) -> AbstractAsyncContextManager[object]:
        """Bring these in and keep them there meanwhile. Raises `AdapterUnavailable` on entry."""
        ...

    async def evict(self, digest: str) -> bool:
        """False when it is held or absent."""


class UnlearningService:
    """The unlearning requests of one service."""

    def __init__(
        self,
        settings: Settings,
        model: ServedModel,
        store: RequestStore,
        blobs: BlobStore,
        vault: PayloadVault,
        policy: ActivePolicy,
        residency: Engine,
        detectors: Callable[[], Detectors],
    ) -> None:
        self.store = store
        self._settings = settings
        self._model = model
        self._offering = Offering(settings, model)
        self._blobs = blobs
        self._vault = vault
        self._policy = policy
        self._residency = residency
        self._detectors = detectors
        self._activating = asyncio.Lock()

    async def register(
        self, body: ForgetBody, idempotency_key: str | None = None, *, tenant: str = GLOBAL_TENANT
    ) -> RequestRecord:
        """Validate, seal, store and queue a request; returns its record. One that is to guard is in force here then.

        Raises `Unprocessable` for what cannot be trained on, `IdempotencyConflict`, `StoreUnavailable`.
        """
        forget, retain = await asyncio.to_thread(self._sets, body)
        served = await asyncio.to_thread(
            self._served, body.method, body.config, forget, retain, body.level, body.effort
        )
        payload = _payload(forget, retain)
        salt = new_salt()
        now = time.time()
        record = RequestRecord(
            id=new_request_id(),
            tenant=tenant,
            activation=body.activation,
            created_at=now,
            updated_at=now,
            forget_count=len(forget.examples),
            retain_count=0 if retain is None else len(retain.examples),
            intake={"forget": forget.intake(), "retain": (retain or ExampleSet()).intake()},
            commitment=commitment(salt, payload),
            model=self._model.name,
            model_digest=self._model.digest,
            subject=body.subject,
            scope=body.scope.model_dump(mode="json"),
            evaluation=body.evidence.model_dump(mode="json"),
            pair=self._model.pair,
            level=body.level,
            effort=body.effort,
            language=_language(forget, body.subject),
            **served,
        )
        record = await self._estimated(record)
        sealed = self._vault.seal(record.id, {**payload, "salt": base64.b64encode(salt).decode()})
        idempotency = None
        if idempotency_key is not None:
            mark = self._vault.fingerprint
            idempotency = (mark(record.tenant, idempotency_key), mark(body.model_dump_json()))
        guards = body.scope.interim is Interim.REFUSE
        scope = await self._scope(record.id, forget, body.subject, record.language) if guards else b""
        record, created = await self.store.create(record, sealed, idempotency, scope=scope)
        if created and guards:
            await self._policy.refresh()
        if created:
            audit.info(
                "registered request=%s tenant=%s method=%s forget=%d retain=%d activation=%s by=%s",
                record.id,
                record.tenant,
                record.method,
                record.forget_count,
                record.retain_count,
                record.activation,
                callers.name(),
            )
        if record.state is RequestState.REGISTERED:
            record = await self.store.queue(record.id)
        return record

    async def _scope(self, request_id: str, forget: ExampleSet, subject: str | None, language: str) -> bytes:
        """What says which prompts the request is about, sealed: of its items, or of its subject where it has none."""

        def made() -> bytes:
            book = phrasebook(language)
            entry = build(forget.examples or items_about(subject or "", book), book, self._detectors())
            return self._vault.seal_scope(request_id, entry.to_bytes())

        return await asyncio.to_thread(made)

    async def _estimated(self, record: RequestRecord) -> RequestRecord:
        found = estimate(record, (await self.store.list(limit=LOOKED_AT)).items)
        return replace(
            record,
            estimate_s=found.seconds,
            estimate_evaluation_s=found.evaluation_s,
            estimate_from=found.source,
        )

    async def examples(self, request_id: str) -> list[dict[str, Any]]:
        """The forget set of a draft, for its owner to read. Raises `StateConflict`, `PayloadUnreadable`."""
        return list((await self._draft(request_id))[1]["forget"])

    async def replace_examples(self, request_id: str, body: ExamplesBody) -> RequestRecord:
        """Another forget set for a draft, checked as at registration. Raises `StateConflict`, `Unprocessable`."""
        record, content = await self._draft(request_id)
        retain = _retained(content)
        forget = await asyncio.to_thread(self._set, "forget", body.forget)
        method, config = record.method, record.config
        if record.selection is not None:
            method, config = AUTO, record.selection["asked"]
        served = await asyncio.to_thread(self._served, method, config, forget, retain, record.level, record.effort)
        salt = content.pop("salt")
        content |= _payload(forget, retain) | {"by_subject": True}
        changes = {
            **served,
            "forget_count": len(forget.examples),
            "language": _language(forget, record.subject),
            "intake": {**record.intake, "forget": forget.intake()},
            "commitment": commitment(base64.b64decode(salt), content),
        }
        sealed = self._vault.seal(request_id, {**content, "salt": salt})
        language: str = changes["language"]
        scope = await self._scope(request_id, forget, record.subject, language) if record.guarded else b""
        replaced = await self.store.replace_payload(
            request_id, sealed, changes, state=RequestState.DRAFTED, scope=scope
        )
        if not replaced:
            raise StateConflict("the request is no draft any more")
        if record.guarded:
            await self._policy.refresh()
        return await self.store.get(request_id)

    async def train(self, request_id: str) -> RequestRecord:
        """Train a draft as it is. Raises `StateConflict`."""
        record, content = await self._draft(request_id)
        if not content["forget"]:
            raise StateConflict("the draft holds nothing to forget")
        audit.info("draft confirmed request=%s forget=%d by=%s", request_id, record.forget_count, callers.name())
        return await self.store.queue(request_id)

    async def _draft(self, request_id: str) -> tuple[RequestRecord, dict[str, Any]]:
        record = await self.store.get(request_id)
        if record.state is not RequestState.DRAFTED:
            raise StateConflict(f"the request is {record.state}; only a drafted one can be read, changed or trained")
        return record, self._vault.open(request_id, await self.store.payload(request_id))

    async def activate(self, request_id: str) -> RequestRecord:
        """Apply a ready request from now on; its adapter is in the engine before the state changes.

        Raises `StateConflict`, `BudgetExceeded`, `ArtifactMismatch`, `AdapterUnavailable`; the request stays ready.
        """
        async with self._activating:
            record = await self.store.get(request_id)
            if record.state is not RequestState.READY:
                raise StateConflict(f"the request is {record.state}; only a ready one can be activated")
            await self._policy.refresh()
            adapter = adapter_ref(record)
            # A matched request applies beside what its prompts are about, and not beside all that is active.
            beside = () if record.matched else self._policy.plan(record.tenant).adapters
            self._check_budget(beside, adapter)
            await self._check_artifact(adapter)
            met = interference.notes(record, await self._policy.met_by(record, interference.measured_with(record)))
            # Held for as long as this takes: the policy keeps what is active, and nothing keeps what did not become so.
            async with self._residency.hold(unique((*beside, adapter))):
                record = await self.store.transition(
                    request_id,
                    expected={RequestState.READY},
                    to=RequestState.ACTIVE,
                    changes={"error": None},
                    budget=self._settings.prompt_budget,
                    notes=met,
                )
                await self._policy.refresh()
        audit.info(
            "activated request=%s digest=%s rows=%d by=%s",
            record.id,
            adapter.digest[:12],
            adapter.footprint.rows,
            callers.name(),
        )
        for note in met:
            level = logging.WARNING if note.lost else logging.INFO
            audit.log(level, "interference request=%s %s", record.id, note.own["message"])
        return record

    async def deactivate(self, request_id: str) -> RequestRecord:
        """Stop applying an active request. Raises `StateConflict`."""
        record = await self.store.transition(request_id, expected={RequestState.ACTIVE}, to=RequestState.READY)
        await self._policy.refresh()
        audit.info("deactivated request=%s by=%s", record.id, callers.name())
        return record

    async def retire(self, request_id: str) -> RequestRecord:
        """Retire in any state but retired: stops applying and training, erases texts and adapter."""
        record = await self.store.retire(request_id, self._blobs)
        await self._policy.refresh()
        if record.digest is not None and all(adapter.digest != record.digest for adapter in self._policy.adapters):
            await self._residency.evict(record.digest)
        audit.info("retired request=%s by=%s", record.id, callers.name())
        return record

    def _sets(self, body: ForgetBody) -> tuple[ExampleSet, ExampleSet | None]:
        """Both sets; an empty forget set where it is still to be asked for. Raises `Unprocessable`."""
        return self._set("forget", body.forget or ()), None if body.retain is None else self._set("retain", body.retain)

    def _set(self, name: str, items: Sequence[Item]) -> ExampleSet:
        return example_set(name, items, most=self._settings.max_examples)

    def _served(
        self,
        method: str,
        config: Mapping[str, Any],
        forget: ExampleSet,
        retain: ExampleSet | None,
        level: Level,
        effort: Effort,
    ) -> dict[str, Any]:
        """Fields of the record of a request for these sets: what it may be served with.

        Of a request for `auto` there may be several; it is the first's until its worker tries another.

        Raises `Unprocessable`, also for sets that cannot be trained on.
        """
        adapters = self._offering.adapters(method, len(forget.examples), config, level, effort)
        limit = min(adapter.max_length for adapter in adapters)
        self._check_lengths("forget", forget, limit)
        self._check_lengths("retain", retain or ExampleSet(), limit)
        if forget.examples:
            check_sets(forget, retain or ExampleSet())
        candidate = adapters[0].candidate
        return {
            "method": candidate.method,
            "config": dict(candidate.config),
            "footprint": adapters[0].footprint,
            "selection": _selection(adapters, config) if method == AUTO else None,
        }

    def _check_lengths(self, name: str, examples: ExampleSet, limit: int) -> None:
        whose = "this model's context" if limit == self._model.max_tokens else "this method's max_length"
        examples.check_lengths(name, self._model.count_tokens, limit, whose)

    def _check_budget(self, beside: Sequence[AdapterRef], adapter: AdapterRef) -> None:
        # The transition counts again, where no other replica can come between. This keeps the engine out of it.
        rows = {each.digest: each.footprint.rows for each in (*beside, adapter)}
        if sum(rows.values()) > self._settings.prompt_budget:
            raise BudgetExceeded(
                f"{len(beside)} active requests and this one need {sum(rows.values())} virtual tokens, "
                f"the service allows {self._settings.prompt_budget}"
            )
        # Ranks of several need not fit: a merge has the nearest change of the rank that the engine takes.
        rank, most = adapter.footprint.rank, self._settings.offset_rank
        if rank > most:
            raise BudgetExceeded(f"the adapter has rank {rank}, the service takes {most} (UNLEARN_OFFSET_RANK)")

    async def _check_artifact(self, adapter: AdapterRef) -> None:
        data = await self._blobs.get(adapter.digest)
        try:
            artifact = await asyncio.to_thread(Artifact.from_bytes, data, expect_digest=adapter.digest)
            artifact.require(
                hidden_size=self._model.hidden_size,
                model_digest=self._model.digest,
                pair=self._model.pair,
                target_lora=self._model.target_lora,
            )
        except InvalidArtifact as error:
            raise ArtifactMismatch(f"the adapter of {adapter.request_id} does not fit: {error}") from error


def _language(forget: ExampleSet, subject: str | None) -> str:
    """The language of the texts that go around the request's own; "none" where its own has none."""
    texts = [text for example in forget.examples for text in (example.prompt, example.completion)]
    return phrasebook_for(texts or [subject or ""]).language


def _payload(forget: ExampleSet, retain: ExampleSet | None) -> dict[str, Any]:
    """What is sealed. `items`: for each example the number of the caller's item, for errors that name it."""
    return {
        "forget": [example.to_dict() for example in forget.examples],
        "retain": None if retain is None else [example.to_dict() for example in retain.examples],
        "items": {"forget": list(forget.items), "retain": [] if retain is None else list(retain.items)},
        "inverted": {str(position): list(answers) for position, answers in forget.inverted.items()},
        "by_subject": not forget.examples,
    }


def _retained(payload: dict[str, Any]) -> ExampleSet | None:
    """The retain set of a payload."""
    if payload["retain"] is None:
        return None
    examples = tuple(Example.from_dict(item) for item in payload["retain"])
    return ExampleSet(examples, tuple(payload["items"]["retain"]))


def _selection(adapters: Sequence[Adapter], config: Mapping[str, Any]) -> dict[str, Any]:
    """The record's `selection` before anything was tried."""
    candidates = [{"method": a.candidate.method, "config": dict(a.candidate.config)} for a in adapters]
    return {"asked": dict(config), "candidates": candidates, "trials": []}
