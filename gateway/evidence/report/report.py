"""The report: what was asked, how often the answer came out before and after, what stayed, and what it was run with.

It holds numbers, digests and sentences made of them. No item, no subject, no tenant and no answer is in it.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Final, Literal, Self

from pydantic import ConfigDict, Field, StringConstraints, model_validator

from adapters.evaluation.attacks.outcome import FamilyOutcome
from adapters.evaluation.levels import Level
from adapters.evaluation.statistics.proportion import lower_bound, upper_bound
from adapters.training.effort import Effort
from gateway.evidence.canonical import canonical, digest
from gateway.evidence.report.part import Count, Digest, Instant, Name, Part, Rate, rounded
from gateway.evidence.report.policy import Policy, Verdict
from gateway.evidence.report.tiers import Tier
from gateway.store.records import Otherwise, Prompts

SCHEMA: Final = "urn:unlearning-gateway:report:v1"


class Leaks(Part):
    """Of n tries, those in which the answer came out. lower, upper: exact one-sided bounds of the rate."""

    leaked: Count
    n: Count
    rate: Rate | None
    lower: Rate
    upper: Rate

    @classmethod
    def of(cls, leaked: int, n: int) -> Self:
        """Raises ValueError for more leaks than tries."""
        rate, lower, upper = _rates(leaked, n)
        return cls(leaked=leaked, n=n, rate=rate, lower=lower, upper=upper)


class Kept(Part):
    """Of n answers that should stay, those that did. lower, upper: as of `Leaks`."""

    kept: Count
    n: Count
    rate: Rate | None
    lower: Rate
    upper: Rate

    @classmethod
    def of(cls, kept: int, n: int) -> Self:
        """Raises ValueError for more kept than asked."""
        rate, lower, upper = _rates(kept, n)
        return cls(kept=kept, n=n, rate=rate, lower=lower, upper=upper)


class Family(Part):
    """One kind of attack.

    Attributes:
        asked: its probes. known: those that brought the answer out before; only these count afterwards.
        before: of `asked`. after: of `known`.
        reference: how often one leaks who never knew, by guessing among options.
        threshold: the reference, and what the gate allows above it.
        conclusive: whether enough are known to say anything.
        p_value: of so many leaks or more at the threshold. p_adjusted: the same by Holm, over all conclusive families;
            None where nothing is tested.
        passes: whether it is not shown to leak more than the threshold, so corrected; None where nothing is tested.
        leak_at: k → the chance that one of k answers leaks.
    """

    family: Name
    asked: Count
    known: Count
    before: Leaks
    after: Leaks
    reference: Rate
    threshold: Rate
    conclusive: bool
    p_value: Rate | None
    p_adjusted: Rate | None
    passes: bool | None
    leak_at: dict[Annotated[str, StringConstraints(pattern=r"^\d+$")], Rate] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _counts_agree(self) -> Self:
        if (self.before.leaked, self.before.n, self.after.n) != (self.known, self.asked, self.known):
            raise ValueError("the counts before and after are not those of its probes")
        return self

    @property
    def outcome(self) -> FamilyOutcome:
        """Its counts, for the statistics."""
        found = {int(k): rate for k, rate in self.leak_at.items()}
        return FamilyOutcome(self.family, self.asked, self.known, self.after.leaked, self.reference, found)


class Direct(Part):
    """The forgotten questions themselves. threshold: the share that may leak."""

    before: Leaks
    after: Leaks
    threshold: Rate


class Staying(Kept):
    """Answers that should stay. threshold: the share that must."""

    threshold: Rate

    @classmethod
    def at(cls, kept: int, n: int, threshold: float) -> Self:
        """Raises ValueError for more kept than asked."""
        return cls(**Kept.of(kept, n).model_dump(), threshold=threshold)

    @property
    def counts(self) -> Kept:
        """Without the threshold."""
        return Kept(**self.model_dump(exclude={"threshold"}))


class ScopeFound(Part):
    """Of a matched request: n prompts that bring the answer out, and how many of them it applies to.

    lower: exact bound of that share. others: controls and neighbours, and how many of them it applies to. applies:
    whether it is in force where it matches; otherwise it is applied to every prompt, or rejected.
    """

    caught: Count
    n: Count
    lower: Rate
    threshold: Rate
    others: Count
    others_caught: Count
    applies: bool
    otherwise: Otherwise


class Baseline(Part):
    """Something simpler in the adapter's place. leaks, kept: its own; adapter, adapter_kept: the adapter's, on the same
    probes that brought the answer out before, and on the same answers that should stay."""

    name: Name
    leaks: Leaks
    adapter: Leaks
    kept: Kept
    adapter_kept: Kept


class Decoding(Part):
    """How answers are drawn. temperatures: of all probes; 0 is greedy. max_tokens, samples: the most of a probe.
    at_once: questions in flight together, direct ones and attacks."""

    temperatures: tuple[Annotated[float, Field(ge=0)], ...]
    max_tokens: Count
    samples: Count
    at_once: tuple[Count, Count]


class ProbeSet(Part):
    """What was asked, by its salted commitment. kept: whether it is still there, sealed, for another evaluation."""

    commitment: Digest
    direct: Count
    attacks: Count
    kept: bool


class Evaluation(Part):
    """All numbers. pooled: every attack that is answered in text, as one family. fluent: the share of answers to direct
    questions, controls and neighbours that read as language."""

    tier: Tier
    seeds: dict[Name, int]
    decoding: Decoding
    families: tuple[Family, ...]
    pooled: Family
    forget: Direct
    controls: Staying
    neighbours: Staying
    scope: ScopeFound | None
    fluent: Rate | None
    baselines: tuple[Baseline, ...]
    probe_set: ProbeSet


class Counts(Part):
    """How many items there are to forget and to retain; 0 to retain: the service made a set."""

    forget: Count
    retain: Count


class Applied(Part):
    """The prompts that a request applies to."""

    prompts: Prompts
    otherwise: Otherwise


class Requested(Part):
    """What was asked for. commitment: salted, of the items."""

    id: str
    method: str
    level: Level
    effort: Effort
    scope: Applied
    language: str
    commitment: str
    counts: Counts
    created_at: Instant
    completed_at: Instant


class Claim(Part):
    """What is claimed, and what is not."""

    level: Level
    effect: Literal["output suppression"] = "output suppression"
    weights_modified: Literal[False] = False


class Judged(Part):
    """The policy, by its digest and in full, so that the verdict can be drawn again."""

    id: str
    digest: Digest
    terms: Policy

    @classmethod
    def by(cls, policy: Policy) -> Self:
        return cls(id=policy.id, digest=policy.digest, terms=policy)

    @model_validator(mode="after")
    def _is_this_policy(self) -> Self:
        if (self.id, self.digest) != (self.terms.id, self.terms.digest):
            raise ValueError("the policy's terms do not have its digest")
        return self


class PreRegistration(Part):
    """The log entry that fixed the evaluation before its first attack. digest: of the entry's body."""

    index: Count
    digest: Digest


class Served(Part):
    """Versions in words, beside the manifest's digests."""

    model: str
    engine: str
    gateway: str


class Cost(Part):
    """seconds: by phase. artifact_bytes: size of the adapter."""

    seconds: dict[Name, Annotated[float, Field(ge=0)]]
    artifact_bytes: Count


class Report(Part):
    """The report of one evaluation.

    manifest: name → digest of all that can change an answer. reasons, limits: sentences; the first say what led to the
    verdict, the second what it does not show. It says nothing once the time is past `valid_until`, or once a digest of
    the manifest has changed.
    """

    model_config = ConfigDict(validate_by_name=True, validate_by_alias=True, serialize_by_alias=True)

    schema_id: Literal["urn:unlearning-gateway:report:v1"] = Field(default=SCHEMA, alias="schema")
    request: Requested
    claim: Claim
    verdict: Verdict
    reasons: tuple[str, ...]
    policy: Judged
    pre_registration: PreRegistration
    manifest: dict[Name, Digest]
    served: Served
    evaluation: Evaluation
    cost: Cost
    limits: tuple[str, ...]
    made_at: Instant
    valid_until: Instant

    def to_json(self) -> bytes:
        """The canonical bytes, which `from_json` takes."""
        return canonical(self.model_dump(mode="json"))

    @classmethod
    def from_json(cls, data: bytes | str) -> Self:
        """Raises `pydantic.ValidationError` for anything but a report."""
        return cls.model_validate_json(data)

    @property
    def digest(self) -> str:
        """`sha256:<hex>` of the canonical bytes."""
        return digest(self.model_dump(mode="json"))


def instant(seconds: float) -> str:
    """Unix seconds as RFC 3339 in UTC, to the second."""
    return datetime.fromtimestamp(int(seconds), UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def seconds_of(instant: str) -> float:
    """The unix seconds of an instant."""
    return datetime.fromisoformat(instant).timestamp()


def _rates(found: int, n: int) -> tuple[float | None, float, float]:
    """The rate, None where nothing was tried, and its bounds."""
    rate = rounded(found / n) if n else None
    return rate, rounded(lower_bound(found, n)), rounded(upper_bound(found, n))
