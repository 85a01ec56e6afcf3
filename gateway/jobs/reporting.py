"""Makes the report of a request: says before the first attack what will be asked, and afterwards what was found."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping
from typing import Any, Protocol, Self

from redis.asyncio import Redis

from gateway.client.client import UnlearnClient
from gateway.evidence.canonical import digest
from gateway.evidence.log.leaf import Entry
from gateway.evidence.report.judging import judge
from gateway.evidence.report.manifest import SCOPE, ServedManifest, of_request, scope_digest
from gateway.evidence.report.policy import Gates, Policy
from gateway.evidence.report.promise import DirectCounts, PolicyNamed, Promise
from gateway.evidence.report.report import (
    Applied,
    Claim,
    Cost,
    Counts,
    Evaluation,
    Judged,
    PreRegistration,
    Report,
    Requested,
    instant,
)
from gateway.evidence.report.tiers import Keep
from gateway.jobs.measured import Measured, decoding
from gateway.jobs.probe import Notes
from gateway.jobs.probe_set import ProbeSet
from gateway.jobs.service import PATIENCE_S
from gateway.settings import Settings
from gateway.store.log import LogStore
from gateway.store.records import RequestRecord
from gateway.store.reports import ReportStore

_DAY_S = 86_400


class Registrar(Protocol):
    """A log that nothing is taken out of."""

    async def append(self, entry: Entry, *, request: str | None, token: str | None) -> int:
        """The index of the entry, once it is in. token: the same one logs once."""
        ...


def policy_of(settings: Settings) -> Policy:
    """The verdict policy with the operator's gates."""
    return Policy(gates=Gates(**{name: getattr(settings, f"gate_{name}") for name in Gates.model_fields}))


class Reporter:
    """The witness of one request's evaluation.

    Args:
        policy: what it will be judged by.
        served: what the service serves with.
        scope: digest of what tells which prompts the request applies to; None where it applies to all.
        registrar: is told before the first attack.
        notes: what is said and found once stays so after a kill.
    """

    def __init__(
        self,
        record: RequestRecord,
        policy: Policy,
        served: ServedManifest,
        scope: str | None,
        registrar: Registrar,
        notes: Notes,
        reports: ReportStore,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._record = record
        self._policy = policy
        self._served = served
        self._scope = scope
        self._registrar = registrar
        self._notes = notes
        self._reports = reports
        self._clock = clock

    @classmethod
    async def open(
        cls,
        record: RequestRecord,
        entry: bytes | None,
        client: UnlearnClient,
        redis: Redis,
        notes: Notes,
        settings: Settings,
    ) -> Self:
        """That of a request which the service serves now. entry: of its scope; None where it applies to all prompts.

        Raises `ClientError`.
        """
        return cls(
            record,
            policy_of(settings),
            await asyncio.to_thread(client.manifest),
            None if entry is None else scope_digest(entry),
            LogStore(redis, patience_s=PATIENCE_S),
            notes,
            ReportStore(redis, patience_s=PATIENCE_S),
        )

    @property
    def manifest(self) -> dict[str, str]:
        """Without the adapter."""
        scope = {} if self._scope is None else {SCOPE: self._scope}
        return {**self._served.digests, **scope}

    async def fix(self, adapter: str, probes: ProbeSet) -> None:
        """Put into the log what will be asked of this adapter, and by which policy it will be judged; once."""
        body = self._promise(adapter, probes).to_body()
        where = _named("registered", adapter)
        noted = await self._notes.noted(where)
        if noted is None or noted["digest"] != digest(body):
            index = await self._append("pre-registration", body)
            with_what = ServedManifest(of_request(self._served.digests, adapter, self._scope), self._served.served)
            await self._notes.note(where, {"index": index, "digest": digest(body), "with": with_what.to_dict()})

    async def conclude(self, adapter: str, probes: ProbeSet, measured: Measured) -> None:
        kept = self._record.keep is Keep.PROBES
        evaluation = measured.to_evaluation(probes, self._policy, kept=kept)
        await self._notes.note(_named("evaluation", adapter), evaluation.model_dump(mode="json"))

    async def report(self, adapter: str, method: str, *, artifact_bytes: int, seconds: Mapping[str, float]) -> Report:
        """Make and store the report of the adapter that was kept.

        Raises KeyError for an adapter that was not evaluated.
        """
        stored = await self._notes.noted(_named("report", adapter))
        if stored is None:
            made = await self._made(adapter, method, artifact_bytes, seconds)
            stored = made.model_dump(mode="json")
            await self._notes.note(_named("report", adapter), stored)
        report = Report.model_validate(stored)
        if self._record.keep is Keep.PROBES:
            await self._notes.keep()
        await self._reports.put(self._record.id, report.to_json())
        await self._log(report)
        return report

    async def _made(self, adapter: str, method: str, artifact_bytes: int, seconds: Mapping[str, float]) -> Report:
        """Of what was noted, for that may be of an earlier attempt, under another version of the service."""
        registered = await self._notes.noted(_named("registered", adapter))
        found = await self._notes.noted(_named("evaluation", adapter))
        if registered is None or found is None:
            raise KeyError(adapter)
        record, policy = self._record, self._policy
        evaluation, served = Evaluation.model_validate(found), ServedManifest.from_dict(registered["with"])
        judgement = judge(evaluation, record.level, policy)
        now = self._clock()
        return Report(
            request=Requested(
                id=record.id,
                method=method,
                level=record.level,
                effort=record.effort,
                scope=Applied(
                    prompts=record.scope.get("prompts", "always"), otherwise=record.scope.get("otherwise", "always")
                ),
                language=record.language,
                commitment=record.commitment,
                counts=Counts(forget=record.forget_count, retain=record.retain_count),
                created_at=instant(record.created_at),
                completed_at=instant(now),
            ),
            claim=Claim(level=record.level),
            verdict=judgement.verdict,
            reasons=judgement.reasons,
            policy=Judged.by(policy),
            pre_registration=PreRegistration(index=registered["index"], digest=registered["digest"]),
            manifest=dict(served.digests),
            served=served.served,
            evaluation=evaluation,
            cost=Cost(
                seconds={name: round(spent, 1) for name, spent in seconds.items()}, artifact_bytes=artifact_bytes
            ),
            limits=judgement.limits,
            made_at=instant(now),
            valid_until=instant(now + policy.valid_days * _DAY_S),
        )

    async def _log(self, report: Report) -> None:
        """Put the report's digest into the log; once."""
        if await self._notes.noted(report.digest) is None:
            body = {"request": self._record.id, "report": report.digest, "verdict": report.verdict.value}
            index = await self._append("report", body)
            await self._notes.note(report.digest, {"index": index})

    async def _append(self, kind: str, body: Mapping[str, Any]) -> int:
        """Once, also where a kill comes before it is noted."""
        token = digest([self._record.id, kind, dict(body)])
        return await self._registrar.append(Entry(kind, body), request=self._record.id, token=token)

    def _promise(self, adapter: str, probes: ProbeSet) -> Promise:
        return Promise(
            request=self._record.id,
            level=self._record.level,
            tier=probes.tier,
            seeds={"probes": probes.seed},
            decoding=decoding(probes),
            families=probes.counts,
            direct=DirectCounts(
                forget=len(probes.asked), controls=len(probes.controls), neighbours=len(probes.neighbours)
            ),
            gates=self._policy.gates,
            policy=PolicyNamed.of(self._policy),
            manifest=digest(of_request(self._served.digests, adapter, self._scope)),
            probe_set=probes.commitment,
        )


def _named(what: str, adapter: str) -> str:
    return f"{what}/{adapter}"
