"""The record of an unlearning request: its states, its fields, and how they lie in a Redis hash."""

from __future__ import annotations

import dataclasses
import json
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Literal, Self

from adapters.artifact.footprint import NO_ROOM, Footprint
from adapters.artifact.spec import PairSpec
from adapters.evaluation.levels import Level
from adapters.selection import Candidate
from adapters.text.language import ENGLISH
from adapters.training.effort import DEFAULT_EFFORT, Effort
from gateway.evidence.report.tiers import DEFAULT_TIER, Keep, Tier


class RequestState(StrEnum):
    """registered → queued → training → evaluating → ready ⇄ active → retired; failed; rejected.

    drafted: what the model knows of a subject was found in training, and waits for the caller to queue it again.
    """

    REGISTERED = "registered"
    QUEUED = "queued"
    TRAINING = "training"
    DRAFTED = "drafted"
    EVALUATING = "evaluating"
    READY = "ready"
    ACTIVE = "active"
    RETIRED = "retired"
    FAILED = "failed"
    REJECTED = "rejected"


class Prompts(StrEnum):
    """The prompts that a request applies to: all of them, or those that are about it."""

    ALWAYS = "always"
    MATCHED = "matched"


class Otherwise(StrEnum):
    """What becomes of a matched request whose scope catches too little: it applies to every prompt, or is rejected."""

    ALWAYS = "always"
    REJECT = "reject"


class Interim(StrEnum):
    """What a prompt that a matched request is about gets until the request is active: a refusal, or no other answer."""

    REFUSE = "refuse"
    NONE = "none"


#: States that a worker still has to carry further.
PENDING = frozenset({RequestState.REGISTERED, RequestState.QUEUED, RequestState.TRAINING, RequestState.EVALUATING})

#: States in which a worker's attempt is running, or was when it died.
WORKING = frozenset({RequestState.TRAINING, RequestState.EVALUATING})

#: States in which the forget and retain texts are gone for good.
FINAL = frozenset(RequestState) - PENDING - {RequestState.DRAFTED}

#: States in which nothing is left of what was learned.
EMPTY = frozenset({RequestState.FAILED, RequestState.RETIRED})

#: Where each state may go. training and evaluating fall back to queued when an attempt is repeated; both go to training
#: for the next candidate of a request that left the method to the service.
TRANSITIONS: Mapping[RequestState, frozenset[RequestState]] = {
    RequestState.REGISTERED: frozenset({RequestState.QUEUED, RequestState.FAILED, RequestState.RETIRED}),
    RequestState.QUEUED: frozenset({RequestState.TRAINING, RequestState.FAILED, RequestState.RETIRED}),
    RequestState.TRAINING: frozenset(
        {
            RequestState.TRAINING,
            RequestState.DRAFTED,
            RequestState.EVALUATING,
            RequestState.QUEUED,
            RequestState.FAILED,
            RequestState.RETIRED,
        }
    ),
    RequestState.DRAFTED: frozenset({RequestState.QUEUED, RequestState.RETIRED}),
    RequestState.EVALUATING: frozenset(
        {
            RequestState.READY,
            RequestState.REJECTED,
            RequestState.TRAINING,
            RequestState.QUEUED,
            RequestState.FAILED,
            RequestState.RETIRED,
        }
    ),
    RequestState.READY: frozenset({RequestState.ACTIVE, RequestState.RETIRED}),
    RequestState.ACTIVE: frozenset({RequestState.READY, RequestState.RETIRED}),
    RequestState.FAILED: frozenset({RequestState.RETIRED}),
    RequestState.REJECTED: frozenset({RequestState.RETIRED}),
    RequestState.RETIRED: frozenset(),
}

Activation = Literal["auto", "manual"]

#: What a note's field begins with, before the other request's id.
NOTE = "beside:"


def new_request_id() -> str:
    """An id that is safe in a path and in the name of a key."""
    return f"req_{secrets.token_hex(12)}"


@dataclass(frozen=True, slots=True)
class RequestRecord:
    """Everything kept about a request; no forget or retain text.

    Times are unix seconds. `timings` are seconds spent in each state left so far, as `<state>_s`.
    `phases` are seconds of the worker's attempts, as `{phase: {part: seconds}}`; `gateway.jobs.phases` names them.
    `intake` says of either set how many `items` came, how many of them or of a passage's sentences were `repeats`, and
    which of their keys were `ignored`; the counts beside it are of what is trained on.
    `error` is `{"code", "message", "retryable"}`; on a ready request it says why activation was refused.
    `language`: that of the bundled questions, refusals and prompts used for it; "none": its own language has none, and
    nothing was put around its texts.
    `level`: what it claims; older requests were held to their own questions, which is the least.
    `guarded`: the prompts that it is about are refused, from its registration until it is active or retired; other
    ends, like failure and rejection, leave the guard in force. `scope_digest`: of the sealed scope that is stored.
    `estimate_s`: seconds that it was told to take in training and evaluation, and `estimate_from` whose they are; None
    where nobody had measured any.
    `forget_count` 0: the forget set is still to be found by asking the model about `subject`.
    `evaluation`: the `tier` that it is evaluated in, and what is to be kept of the probes (`keep`). `report`: of its
    last report the `digest`, `verdict`, `tier`, `made_at`, `valid_until`, and the names of what has changed since
    (`stale`).
    `estimate_evaluation_s`: of `estimate_s` the seconds of the evaluation.
    `draft_attempts`: those of `attempts` that went into a draft; they do not count as tries of its training.
    `pair`: the one that its offset is trained for; None where the service had none.
    `interference`, while it is active: for each active request that may apply to a prompt together with it, what was
    measured of the two; see `gateway.policy.interference`.
    `activated_seq` orders the active requests and grows with each activation. `selection`, on a request that left the
    method to the service: the settings it `asked` for, its `candidates`, the `trials` made of them, and `why` one was
    kept; `method` and `config` are then those of the first candidate until another is tried.
    """

    id: str
    tenant: str
    method: str
    activation: Activation
    created_at: float
    updated_at: float
    forget_count: int
    retain_count: int
    commitment: str
    model: str
    model_digest: str
    subject: str | None = None
    config: dict[str, Any] = field(default_factory=dict)
    scope: dict[str, Any] = field(default_factory=dict)
    guarded: bool = False
    scope_digest: str | None = None
    intake: dict[str, Any] = field(default_factory=dict)
    state: RequestState = RequestState.REGISTERED
    footprint: Footprint = NO_ROOM
    pair: PairSpec | None = None
    digest: str | None = None
    artifact_bytes: int | None = None
    progress: dict[str, Any] | None = None
    evidence: dict[str, Any] | None = None
    evaluation: dict[str, Any] = field(default_factory=dict)
    report: dict[str, Any] | None = None
    error: dict[str, Any] | None = None
    selection: dict[str, Any] | None = None
    level: Level = Level.REFUSES
    effort: Effort = DEFAULT_EFFORT
    estimate_s: float | None = None
    estimate_evaluation_s: float | None = None
    estimate_from: str | None = None
    language: str = ENGLISH
    attempts: int = 0
    draft_attempts: int = 0
    activated_seq: int | None = None
    interference: list[dict[str, Any]] = field(default_factory=list)
    timings: dict[str, float] = field(default_factory=dict)
    phases: dict[str, dict[str, float]] = field(default_factory=dict)

    @property
    def matched(self) -> bool:
        """Whether it applies only to prompts that are about it; older requests apply to all."""
        return self.scope.get("prompts") == Prompts.MATCHED

    @property
    def tier(self) -> Tier:
        """How much its evaluation asks."""
        return Tier(self.evaluation.get("tier", DEFAULT_TIER))

    @property
    def keep(self) -> Keep:
        """What is to stay of the probes when it has been evaluated."""
        return Keep(self.evaluation.get("keep", Keep.NOTHING))

    @property
    def tries(self) -> int:
        """Attempts at what is to be done now: the training, or the draft before it."""
        return self.attempts - self.draft_attempts

    @property
    def awaits_activation(self) -> bool:
        """Whether the worker still has to ask for the activation that the caller wanted."""
        return (
            self.state is RequestState.READY
            and self.activation == "auto"
            and self.activated_seq is None
            and self.error is None
        )

    @property
    def candidates(self) -> tuple[Candidate, ...]:
        """What it may be served with, in the order of trial; those tried already are among them."""
        if self.selection is None:
            return (Candidate(self.method, self.config),)
        return tuple(Candidate(**candidate) for candidate in self.selection["candidates"])

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON types, for the API."""
        return dataclasses.asdict(self) | {
            "state": self.state.value,
            "level": self.level.value,
            "effort": self.effort.value,
        }

    def to_fields(self) -> dict[str, str]:
        """The Redis hash: JSON a field, except `state`, which the scripts compare as it is."""
        return encode_fields({f.name: getattr(self, f.name) for f in dataclasses.fields(self) if f.name in _OWN_FIELDS})

    @classmethod
    def from_fields(cls, fields: Mapping[str, str]) -> Self:
        """The reverse of `to_fields`; fields that only the scripts use are left out."""
        names = _OWN_FIELDS - {"state"}
        values = {name: json.loads(text) for name, text in fields.items() if name in names}
        notes = [json.loads(text) for name, text in fields.items() if name.startswith(NOTE)]
        # Older records have the footprint's fields among their own.
        taken = values.pop("footprint", None) or {
            field.name: json.loads(fields.get(field.name, "0")) for field in dataclasses.fields(Footprint)
        }
        pair = values.pop("pair", None)
        return cls(
            state=RequestState(fields["state"]),
            level=Level(values.pop("level", Level.REFUSES)),
            effort=Effort(values.pop("effort", DEFAULT_EFFORT)),
            footprint=Footprint(**taken),
            pair=None if pair is None else PairSpec(**pair),
            interference=sorted(notes, key=lambda note: (note["at"], note["with"])),
            **values,
        )


#: Those that change by themselves; a note is a field of its own for each other request.
_OWN_FIELDS = frozenset(f.name for f in dataclasses.fields(RequestRecord)) - {"interference"}


def encode_fields(values: Mapping[str, Any]) -> dict[str, str]:
    """Values of record fields as the hash holds them. Raises `TypeError` for a name that is no field."""
    if unknown := values.keys() - _OWN_FIELDS:
        raise TypeError(f"not fields of a request: {', '.join(sorted(unknown))}")
    return {
        name: value.value if isinstance(value, RequestState) else json.dumps(_plain(value), allow_nan=False)
        for name, value in values.items()
    }


def _plain(value: Any) -> Any:
    return dataclasses.asdict(value) if isinstance(value, Footprint | PairSpec) else value
