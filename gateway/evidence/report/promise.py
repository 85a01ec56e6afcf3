"""The pre-registration: what is said before the first attack, and what a report that keeps to it must say."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, Literal, Self

from pydantic import ConfigDict, Field

from adapters.evaluation.levels import Level
from gateway.evidence.canonical import digest
from gateway.evidence.report.part import Count, Digest, Name, Part
from gateway.evidence.report.policy import Gates, Policy
from gateway.evidence.report.report import Decoding, Report
from gateway.evidence.report.tiers import Tier

SCHEMA: Final = "urn:unlearning-gateway:pre-registration:v1"


class PolicyNamed(Part):
    """A verdict policy, by its digest alone."""

    id: str
    digest: Digest

    @classmethod
    def of(cls, policy: Policy) -> Self:
        return cls(id=policy.id, digest=policy.digest)


class Terms(Part):
    """What a report can be held against.

    families: the probes of each. manifest: its digest. probe_set: the salted commitment.
    """

    request: str
    level: Level
    tier: Tier
    seeds: dict[Name, int]
    decoding: Decoding
    families: dict[Name, Count]
    gates: Gates
    policy: PolicyNamed
    manifest: Digest
    probe_set: Digest

    @classmethod
    def of(cls, report: Report) -> Terms:
        """Those that this report keeps to."""
        evaluation, policy = report.evaluation, report.policy.terms
        return Terms(
            request=report.request.id,
            level=report.claim.level,
            tier=evaluation.tier,
            seeds=evaluation.seeds,
            decoding=evaluation.decoding,
            families={family.family: family.asked for family in evaluation.families},
            gates=policy.gates,
            policy=PolicyNamed.of(policy),
            manifest=digest(report.manifest),
            probe_set=evaluation.probe_set.commitment,
        )

    def missing_from(self, body: Mapping[str, Any]) -> list[str]:
        """The names of those that a logged body does not say, or says otherwise; whatever more it says."""
        return [name for name, value in self.model_dump(mode="json").items() if body.get(name) != value]


class DirectCounts(Part):
    """How many questions are asked without an attack."""

    forget: Count
    controls: Count
    neighbours: Count


class Promise(Terms):
    """The body of the log's entry."""

    model_config = ConfigDict(validate_by_name=True, validate_by_alias=True, serialize_by_alias=True)

    schema_id: Literal["urn:unlearning-gateway:pre-registration:v1"] = Field(default=SCHEMA, alias="schema")
    direct: DirectCounts

    def to_body(self) -> dict[str, Any]:
        """As plain JSON types."""
        return self.model_dump(mode="json")
