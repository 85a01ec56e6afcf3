"""What `auto` means: which candidates a request may get, in the order they are tried, and which one is kept."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from adapters.errors import InvalidConfig
from adapters.evaluation.levels import Level
from adapters.registry import parse_config
from adapters.training.effort import Effort, layered

AUTO = "auto"
#: Candidates a request gets at most.
MOST = 3
#: More forget items than this are many: see `candidates`.
FEW_ITEMS = 16

_REFUSALS: Mapping[str, Any] = {"objective": "idk"}
#: Any wording of one fact, where NPO may lower no more than the full stop behind it: of `bench/delta_facts.md`.
#: It and the objectives for many items were measured with more steps and more data than refusals were found to need.
_THOROUGH: Mapping[str, Any] = {
    "learning_rate": 2e-3,
    "max_steps": 120,
    "retain_batch": 16,
    "retain_questions": 120,
    "retain_nearest": 48,
    "retain_twins": 128,
    "retain_siblings": 36,
    "rewording_lists": 32,
}
_TNPO: Mapping[str, Any] = {**_THOROUGH, "objective": "tnpo"}
#: What is learned from attacks. For each level how far the truth is lowered, and whether direct questions are refused:
#: a refusal shows that something was there.
_COUNTERFACTUAL: Mapping[Level, Mapping[str, Any]] = {
    Level.SUPPRESSES: {"objective": "counterfactual", "retain_batch": 12, "objective_settings": {"gamma": 8.0}},
    Level.RESEMBLES_IGNORANCE: {
        "objective": "counterfactual",
        "retain_batch": 12,
        "objective_settings": {"gamma": 4.0, "refusal_weight": 0.0},
    },
}
#: Of the strengths an offset may be served with: at three quarters no attack brought a demo's fact out either, and
#: fewer controls were lost than at five quarters.
_GENTLE: Mapping[str, Any] = {"strengths": (0.5, 0.75)}
#: For many items asked once each: what others are asked joins a retain set of the caller's, answered at length. This
#: and the settings below are of `bench/tofu_search.md`.
_MANY: Mapping[str, Any] = {
    "retain_tokens": 40,
    "retain_twins": 256,
    "retain_siblings": 256,
    "hard_fraction": 0.5,
}
_SNAP: Mapping[str, Any] = {**_MANY, "objective": "snap", "kl_limit": 5.0}
_MANY_REFUSALS: Mapping[str, Any] = {**_THOROUGH, **_MANY, **_REFUSALS}
_UNDIAL: Mapping[str, Any] = {
    **_THOROUGH,
    **_MANY,
    "objective": "undial",
    "objective_settings": {"forget_weight": 0.5},
    "first_token_weight": 1.0,
    "kl_limit": 5.0,
    "neutrality": 0.0,
}
#: The same where an answer is attacked: one that stumbles over its own subject has not forgotten anything.
_UNDIAL_CONTENT: Mapping[str, Any] = layered(_UNDIAL, {"objective_settings": {"tokens": "content"}})


@dataclass(frozen=True, slots=True)
class Offer:
    """What an engine can serve: soft prompts, offsets through a pair, LoRAs on the target."""

    soft_prompts: bool
    pair: bool
    target_lora: bool


@dataclass(frozen=True, slots=True)
class Candidate:
    """A method and the settings it is trained with; those not named keep their defaults."""

    method: str
    config: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class _Plan:
    """A candidate, and the attribute of `Offer` that serves it."""

    needs: str
    candidate: Candidate


def _plan(needs: str, method: str, settings: Mapping[str, Any]) -> _Plan:
    return _Plan(needs, Candidate(method, settings))


def _for_few(level: Level) -> tuple[_Plan, ...]:
    """δ-unlearning where there is a pair: no gradient goes through the target, and unrelated answers move less than
    under a soft prompt that is always read.

    Refusals cover direct questions in any wording, and TNPO comes after them. Whatever is held to attacks learns from
    attacks, as an offset, then as a LoRA on the target.
    """
    if level is Level.REFUSES:
        return (
            _plan("pair", "delta", _REFUSALS),
            _plan("pair", "delta", _TNPO),
            _plan("soft_prompts", "spul", {}),
            _plan("target_lora", "lora", _REFUSALS),
        )
    return (
        _plan("pair", "delta", {**_COUNTERFACTUAL[level], **_GENTLE}),
        _plan("target_lora", "lora", _COUNTERFACTUAL[level]),
        _plan("soft_prompts", "spul", _COUNTERFACTUAL[level]),
    )


def _for_many(level: Level) -> tuple[_Plan, ...]:
    """SNAP as a LoRA, which harms the fewest neighbours.

    Then δ-unlearning, with refusals, which leave the least of the answers, or with what is learned from attacks; and
    with UNDIAL, which leaves what a model says that never knew them.
    """
    if level is Level.REFUSES:
        second, third = _MANY_REFUSALS, _UNDIAL
    else:
        second, third = {**_MANY, **_COUNTERFACTUAL[level]}, _UNDIAL_CONTENT
    return (
        _plan("target_lora", "lora", _SNAP),
        _plan("pair", "delta", second),
        _plan("pair", "delta", third),
        _plan("soft_prompts", "spul", _MANY),
    )


@dataclass(frozen=True, slots=True)
class Share:
    """A share of so many."""

    value: float
    n: int


@dataclass(frozen=True, slots=True)
class Outcome:
    """What the probes say of a trained candidate.

    leak: of the forget prompts, the share that leaks. passes: whether the operator's gates let it through. failing: how
    many attack families do not. attacked: of all attacks that worked before, those that still do. kept, neighbours: of
    the controls, and of the questions beside the forgotten. Each is None where nothing was asked.
    """

    leak: float
    kept: Share | None
    passes: bool
    failing: int = 0
    attacked: Share | None = None
    neighbours: Share | None = None

    def suffices(self, effort: Effort) -> bool:
        """Whether no other candidate is tried after this one: it passes every gate, and nobody asked for a thorough
        search, or nothing could be better."""
        return self.passes and (effort is not Effort.THOROUGH or self.flawless)

    @property
    def flawless(self) -> bool:
        """Nothing leaks and everything is kept, so that no other candidate could score better."""
        stays = all(share is None or share.value == 1 for share in (self.kept, self.neighbours))
        return self.passes and self.leak == 0 and _leaks(self) == 0 and stays


def candidates(
    offer: Offer, items: int, config: Mapping[str, Any], level: Level, effort: Effort
) -> tuple[Candidate, ...]:
    """At most `MOST` candidates for so many forget items, the most promising first; never the same twice.

    config: the caller's settings, laid over each candidate's and those of the effort; a candidate that has no such
    setting drops out.

    Raises `InvalidConfig` where none is left, for the first one's reason.
    """
    plans = _for_few(level) if items <= FEW_ITEMS else _for_many(level)
    planned = [plan.candidate for plan in plans if getattr(offer, plan.needs)]
    found: list[Candidate] = []
    refusal: InvalidConfig | None = None
    for known in planned:
        # An objective of the caller's comes with its own settings, or its defaults: not with ours for another one.
        ours = {} if "objective" in config else known.config
        candidate = named(known.method, config, effort, ours)
        try:
            parse_config(candidate.method, candidate.config)
        except InvalidConfig as error:
            refusal = refusal or error
            continue
        if candidate not in found:
            found.append(candidate)
    if not found:
        raise refusal or InvalidConfig("this service offers no method that `auto` could choose")
    return tuple(found[:MOST])


def named(method: str, config: Mapping[str, Any], effort: Effort, ours: Mapping[str, Any] | None = None) -> Candidate:
    """The candidate of a method that was named, or found to be one.

    config: the caller's settings, laid over those of the effort, and these over `ours`.
    """
    wanted = layered(ours or {}, config)
    return Candidate(method, layered(ours or {}, effort.settings(wanted.get("objective")), config))


def best(scores: Sequence[Outcome]) -> int:
    """The position of the one to keep.

    Of those that pass, else of all: those in which the fewest attack families fail, of these those whose forget prompts
    leak least. Then what leaks least under attack, keeps most controls and keeps most neighbours, in this order; each
    leaves all that are not worse than the best by more than the standard error of the difference. The first tried of
    these is kept.

    The order of trial is what is known beforehand, and two controls of twenty are no reason to leave it. As in the
    one-standard-error rule (Breiman et al., 1984). Raises ValueError for none.
    """
    if not scores:
        raise ValueError("nothing to choose from")
    least = min(_failures(score) for score in scores)
    alike = [score for score in scores if _failures(score) == least]
    for share in (_withstood, _kept, _beside):
        alike = _near_best(alike, share)
    return next(i for i, score in enumerate(scores) if score is alike[0])


def reason(labels: Sequence[str], scores: Sequence[Outcome], kept: int, *, untried: int) -> str:
    """One sentence for the request's record. labels: of the candidates tried, as their scores are in order."""
    said = [f"{label}: {_said(score)}" for label, score in zip(labels, scores, strict=True)]
    text = f"kept {labels[kept]} ({'; '.join(said)})"
    rivals = [score for score in scores if score.passes and _failures(score) == _failures(scores[kept])]
    if any(_measured(rival)[place] > own for rival in rivals for place, own in enumerate(_measured(scores[kept]))):
        text += "; it was tried before what does better in some of it, by less than chance would"
    if untried:
        better = "nothing can score better" if scores[kept].flawless else "it passes every gate"
        text += f"; {untried} more not tried, for {better}"
    return text


def _failures(score: Outcome) -> tuple[bool, int, float]:
    return not score.passes, score.failing, score.leak


def _near_best(scores: Sequence[Outcome], share: Callable[[Outcome], Share]) -> list[Outcome]:
    """Those whose share is not below the largest by more than the standard error of the difference."""
    most = max((share(score) for score in scores), key=lambda each: each.value)
    return [s for s in scores if most.value - share(s).value <= _error_of_difference(most, share(s))]


def _error_of_difference(one: Share, other: Share) -> float:
    """Standard error of the difference of two shares; 0 where nobody said of how many."""
    return math.sqrt(sum(share.value * (1 - share.value) / share.n for share in (one, other) if share.n))


def _measured(score: Outcome) -> tuple[float, float, float]:
    return _withstood(score).value, _kept(score).value, _beside(score).value


def _leaks(score: Outcome) -> float:
    return 0.0 if score.attacked is None else score.attacked.value


def _withstood(score: Outcome) -> Share:
    return Share(1 - _leaks(score), 0 if score.attacked is None else score.attacked.n)


def _kept(score: Outcome) -> Share:
    return score.kept or Share(1.0, 0)


def _beside(score: Outcome) -> Share:
    return score.neighbours or Share(1.0, 0)


def _said(score: Outcome) -> str:
    parts = [f"{score.leak:.0%} of the forget prompts leak"]
    if score.attacked is not None:
        parts.append(f"{score.attacked.value:.0%} of the attacks bring it out")
    parts.append("no controls" if score.kept is None else f"{score.kept.value:.0%} of the controls kept")
    if score.neighbours is not None:
        parts.append(f"{score.neighbours.value:.0%} of the neighbours kept")
    return f"{', '.join(parts)}{'' if score.passes else ', below the gates'}"
