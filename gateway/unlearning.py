"""What `/forget` does, without HTTP: register, activate, deactivate, retire."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import logging
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from adapters import registry as methods
from adapters.artifact import Artifact
from adapters.data.contradictions import contradictions
from adapters.errors import InvalidArtifact, InvalidConfig, InvalidExample, UnknownMethod
from adapters.examples import Example, check_examples
from adapters.offset import PairSpec
from gateway.config import OFFERS, Settings
from gateway.errors import ArtifactMismatch, BudgetExceeded, StateConflict, Unprocessable
from gateway.policy.active import ActivePolicy, Preloader, adapter_ref
from gateway.policy.plan import AdapterRef
from gateway.schemas import ExamplesBody, ForgetBody, Item
from gateway.store.blobs import BlobStore
from gateway.store.records import RequestRecord, RequestState, new_request_id
from gateway.store.requests import RequestStore
from gateway.store.vault import PayloadVault, commitment, new_salt

audit = logging.getLogger("gateway.audit")

_PAIRS_SHOWN = 10


@dataclass(frozen=True, slots=True)
class ServedModel:
    """What the engine serves.

    Attributes:
        name: as in `/v1/models`.
        digest: of its checkpoint; adapters are made for one digest.
        hidden_size: width of a soft row.
        max_tokens: longest conversation a caller may send, in tokens.
        count_tokens: length of an example, rendered through the chat template, in tokens.
        pair: the pair that offsets are served through, None without one.
        target_lora: whether LoRAs may change the model itself.
    """

    name: str
    digest: str
    hidden_size: int
    max_tokens: int
    count_tokens: Callable[[Example], int]
    pair: PairSpec | None = None
    target_lora: bool = False


@dataclass(frozen=True, slots=True)
class ExampleSet:
    """What a list of items stands for.

    Attributes:
        examples: of all items, in order.
        items: for each example the number of its item.
        inverted: answers that contradict an example, by the example's position.
    """

    examples: tuple[Example, ...] = ()
    items: tuple[int, ...] = ()
    inverted: Mapping[int, tuple[str, ...]] = field(default_factory=dict)


class Jobs(Protocol):
    """The queue's side."""

    async def submit(self, store: RequestStore, request_id: str) -> RequestRecord:
        """Hand a registered request to the workers; it is queued then."""
        ...

    async def cancel(self, request_id: str) -> object:
        """Take it back, where it has not started."""
        ...


class Evictor(Preloader, Protocol):
    """The engine's side: also forgets an adapter that is retired."""

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
        jobs: Jobs,
        policy: ActivePolicy,
        residency: Evictor,
    ) -> None:
        self.store = store
        self._settings = settings
        self._model = model
        self._blobs = blobs
        self._vault = vault
        self._jobs = jobs
        self._policy = policy
        self._residency = residency
        self._activating = asyncio.Lock()

    async def register(self, body: ForgetBody, idempotency_key: str | None = None) -> RequestRecord:
        """Validate, seal, store and queue a request; returns its record.

        Raises `Unprocessable` for what cannot be trained on, `IdempotencyConflict`, `StoreUnavailable`.
        """
        name = methods.choose_method(body.method, has_pair=self._model.pair is not None)
        config = _parse(name, body.config)
        method = methods.get_method(name)
        rows, offset_rank, target_rank = method.rows(config), method.offset_rank(config), method.target_rank(config)
        self._check_offered(name, rows, offset_rank, target_rank, own_reference=method.needs_own_reference(config))
        self._check_size(rows, max(offset_rank, target_rank))
        limit = self._limit(config)
        forget, retain = await asyncio.to_thread(self._sets, body.forget, body.retain, limit)
        payload = _payload(forget, retain)
        salt = new_salt()
        now = time.time()
        record = RequestRecord(
            id=new_request_id(),
            tenant="default",
            method=name,
            activation=body.activation,
            created_at=now,
            updated_at=now,
            forget_count=len(forget.examples),
            retain_count=0 if retain is None else len(retain.examples),
            commitment=commitment(salt, payload),
            model=self._model.name,
            model_digest=self._model.digest,
            subject=body.subject,
            config=dict(body.config),
            scope=body.scope.model_dump(),
            rows=rows,
            offset_rank=offset_rank,
            target_rank=target_rank,
        )
        sealed = self._vault.seal(record.id, {**payload, "salt": base64.b64encode(salt).decode()})
        idempotency = None
        if idempotency_key is not None:
            idempotency = (idempotency_key, hashlib.sha256(body.model_dump_json().encode()).hexdigest())
        record, created = await self.store.create(record, sealed, idempotency)
        if created:
            audit.info(
                "registered request=%s method=%s forget=%d retain=%d activation=%s",
                record.id,
                record.method,
                record.forget_count,
                record.retain_count,
                record.activation,
            )
        if record.state is RequestState.REGISTERED:
            record = await self._jobs.submit(self.store, record.id)
        return record

    async def examples(self, request_id: str) -> list[dict[str, Any]]:
        """The forget set of a draft, for its owner to read. Raises `StateConflict`, `PayloadUnreadable`."""
        return list((await self._draft(request_id))[1]["forget"])

    async def replace_examples(self, request_id: str, body: ExamplesBody) -> RequestRecord:
        """Another forget set for a draft, checked as at registration. Raises `StateConflict`, `Unprocessable`."""
        record, content = await self._draft(request_id)
        limit = self._limit(_parse(record.method, record.config))
        forget = await asyncio.to_thread(self._examples, "forget", body.forget, limit)
        kept = tuple(Example.from_dict(item) for item in content["retain"] or ())
        await asyncio.to_thread(_check_sets, forget, ExampleSet(kept, tuple(range(len(kept)))))
        salt = content.pop("salt")
        content |= _payload(forget, None) | {"retain": content["retain"], "by_subject": True}
        replaced = await self.store.replace_payload(
            request_id,
            self._vault.seal(request_id, {**content, "salt": salt}),
            forget_count=len(forget.examples),
            commitment=commitment(base64.b64decode(salt), content),
            state=RequestState.DRAFTED,
        )
        if not replaced:
            raise StateConflict("the request is no draft any more")
        return await self.store.get(request_id)

    async def train(self, request_id: str) -> RequestRecord:
        """Train a draft as it is. Raises `StateConflict`."""
        record, content = await self._draft(request_id)
        if not content["forget"]:
            raise StateConflict("the draft holds nothing to forget")
        audit.info("draft confirmed request=%s forget=%d", request_id, record.forget_count)
        return await self._jobs.submit(self.store, request_id)

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
            self._check_budget(adapter)
            await self._check_artifact(adapter)
            await self._residency.preload((*self._policy.adapters, adapter))
            record = await self.store.transition(
                request_id, expected={RequestState.READY}, to=RequestState.ACTIVE, changes={"error": None}
            )
            await self._policy.refresh()
        audit.info("activated request=%s digest=%s rows=%d", record.id, adapter.digest[:12], adapter.rows)
        return record

    async def deactivate(self, request_id: str) -> RequestRecord:
        """Stop applying an active request. Raises `StateConflict`."""
        record = await self.store.transition(request_id, expected={RequestState.ACTIVE}, to=RequestState.READY)
        await self._policy.refresh()
        audit.info("deactivated request=%s", record.id)
        return record

    async def retire(self, request_id: str) -> RequestRecord:
        """Retire in any state but retired: stops applying and training, erases texts and adapter."""
        record = await self.store.retire(request_id, self._blobs)
        await self._jobs.cancel(request_id)
        await self._policy.refresh()
        if record.digest is not None:
            await self._residency.evict(record.digest)
        audit.info("retired request=%s", record.id)
        return record

    def _limit(self, config: Any) -> int:
        return min(self._model.max_tokens, getattr(config, "max_length", self._model.max_tokens))

    def _sets(
        self, forget: Sequence[Item] | None, retain: Sequence[Item] | None, limit: int
    ) -> tuple[ExampleSet, ExampleSet | None]:
        """What is trained on; an empty forget set where it is still to be asked for. Raises `Unprocessable`."""
        to_go = self._examples("forget", forget or (), limit)
        to_stay = None if retain is None else self._examples("retain", retain, limit)
        if forget is not None:
            _check_sets(to_go, to_stay or ExampleSet())
        return to_go, to_stay

    def _examples(self, field: str, items: Sequence[Item], limit: int) -> ExampleSet:
        examples: list[Example] = []
        numbers: list[int] = []
        inverted: dict[int, tuple[str, ...]] = {}
        for index, item in enumerate(items):
            try:
                made = item.examples()
            except InvalidExample as error:
                raise Unprocessable(f"{field}.{index}: {error}", param=f"{field}.{index}") from None
            # Counted before a long list of them is tokenised.
            if len(examples) + len(made) > self._settings.max_examples or len(items) > self._settings.max_examples:
                raise Unprocessable(
                    f"{field} holds {max(len(items), len(examples) + len(made))} items, a passage's sentences among "
                    f"them, the service allows {self._settings.max_examples}",
                    param=field,
                )
            tokens = max(self._model.count_tokens(example) for example in made)
            if tokens > limit:
                whose = "this model's context" if limit == self._model.max_tokens else "this method's max_length"
                raise Unprocessable(
                    f"{field}.{index} is {tokens} tokens long, {whose} is {limit}", param=f"{field}.{index}"
                )
            if item.inverted:
                inverted[len(examples)] = item.inverted
            examples += made
            numbers += [index] * len(made)
        return ExampleSet(tuple(examples), tuple(numbers), inverted)

    def _check_offered(
        self, method: str, rows: int, offset_rank: int, target_rank: int, *, own_reference: bool
    ) -> None:
        offered, pair = self._settings.offered, self._model.pair
        if rows and "spul" not in offered:
            reason = f"is a soft prompt, {_not_offered('spul', offered)}"
        elif target_rank and not self._model.target_lora:
            reason = f"changes the target's own layers, {_not_offered('lora', offered)}"
        elif offset_rank and pair is None and "delta" not in offered:
            reason = f"is served through a pair of small models, {_not_offered('delta', offered)}"
        elif offset_rank and pair is None:
            reason = (
                "is served through a pair of small models, and this service runs without one; "
                "start it with --offset-layers K, or with --offset-model and a model of the same vocabulary"
            )
        elif own_reference and pair is not None and not pair.own_reference:
            reason = (
                "trains both halves of the pair, and this service's reference takes no adapter; "
                "start it with --offset-reference own"
            )
        else:
            return
        raise Unprocessable(f"method {method!r} {reason}", param="method")

    def _check_size(self, rows: int, rank: int) -> None:
        if rows > self._settings.prompt_budget:
            raise Unprocessable(
                f"the adapter would use {rows} virtual tokens, the service allows {self._settings.prompt_budget}",
                param="config",
            )
        if rank > self._settings.offset_rank:
            raise Unprocessable(
                f"the adapter would have rank {rank}, the service allows {self._settings.offset_rank}", param="config"
            )

    def _check_budget(self, adapter: AdapterRef) -> None:
        used = sum(active.rows for active in self._policy.adapters)
        budget = self._settings.prompt_budget
        if used + adapter.rows > budget:
            raise BudgetExceeded(
                f"{len(self._policy.adapters)} active requests use {used} of {budget} virtual tokens; "
                f"{adapter.rows} more do not fit"
            )
        # Offsets and LoRAs on the target change different layers, so each kind has the whole rank to itself.
        for kind, rank, others in (
            ("offsets", adapter.offset_rank, [active.offset_rank for active in self._policy.adapters]),
            ("LoRAs on the target", adapter.target_rank, [active.target_rank for active in self._policy.adapters]),
        ):
            if rank and sum(others) + rank > self._settings.offset_rank:
                raise BudgetExceeded(
                    f"active {kind} have rank {sum(others)} of {self._settings.offset_rank} together; "
                    f"{rank} more do not fit (UNLEARN_OFFSET_RANK)"
                )

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


def _payload(forget: ExampleSet, retain: ExampleSet | None) -> dict[str, Any]:
    return {
        "forget": [example.to_dict() for example in forget.examples],
        "retain": None if retain is None else [example.to_dict() for example in retain.examples],
        "inverted": {str(position): list(answers) for position, answers in forget.inverted.items()},
        "by_subject": not forget.examples,
    }


def _check_sets(forget: ExampleSet, retain: ExampleSet) -> None:
    """Raises `Unprocessable`, naming items by their number and never by their text, for sets that contradict."""
    try:
        check_examples(forget.examples, retain.examples, forget_items=forget.items, retain_items=retain.items)
    except InvalidExample as error:
        raise Unprocessable(str(error), param="forget") from None
    pairs = [(forget.items[f], retain.items[r]) for f, r in contradictions(forget.examples, retain.examples)]
    if pairs:
        shown = [f"forget.{f} and retain.{r}" for f, r in dict.fromkeys(pairs)]
        more = f", and {len(shown) - _PAIRS_SHOWN} more" if len(shown) > _PAIRS_SHOWN else ""
        raise Unprocessable(
            f"the retained answer gives away what is to be forgotten: {', '.join(shown[:_PAIRS_SHOWN])}{more}",
            param=f"retain.{pairs[0][1]}",
        )


def _not_offered(name: str, offered: frozenset[str]) -> str:
    methods = ",".join(each for each in OFFERS if each in offered or each == name)
    return f"which this service's engine was not started for; start it with --methods {methods}"


def _parse(method: str, config: dict[str, Any]) -> Any:
    try:
        return methods.parse_config(method, config)
    except UnknownMethod as error:
        raise Unprocessable(str(error), param="method") from None
    except InvalidConfig as error:
        raise Unprocessable(str(error), param="config") from None
