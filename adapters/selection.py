"""What `auto` means: which candidates a request may get, in the order they are tried, and which one is kept."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from adapters.errors import InvalidConfig
from adapters.registry import parse_config

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
class Outcome:
    """What the probes say of a trained candidate. leak, kept: rates, kept None where there was no control.

    passes: whether the operator's gates let it through. controls: of how many `kept` is the rate.
    """

    leak: float
    kept: float | None
    passes: bool
    controls: int = 0

    @property
    def flawless(self) -> bool:
        """Nothing leaks and every control is kept, so that no other candidate could score better."""
        return self.passes and self.leak == 0 and self.kept in (None, 1.0)


def candidates(offer: Offer, items: int, config: Mapping[str, Any]) -> tuple[Candidate, ...]:
    """At most `MOST` candidates for so many forget items, the most promising first; never the same twice.

    For a few items δ-unlearning where there is a pair: no gradient goes through the target, and unrelated answers move
    less than under a soft prompt that is always read. With refusals, which cover them in any wording, then with TNPO;
    then a soft prompt, then a LoRA on the target. For many SNAP as a LoRA, which harms the fewest neighbours; then
    δ-unlearning with refusals, which leave the least of the answers, and with UNDIAL, which leaves what a model says
    that never knew them; then a soft prompt.

    config: the caller's settings, laid over each candidate's; a candidate that has no such setting drops out.

    Raises `InvalidConfig` where none is left, for the first one's reason.
    """
    offset, soft, lora = offer.pair, offer.soft_prompts, offer.target_lora
    few = [(offset, "delta", _REFUSALS), (offset, "delta", _TNPO), (soft, "spul", {}), (lora, "lora", _REFUSALS)]
    many = [(lora, "lora", _SNAP), (offset, "delta", _MANY_REFUSALS), (offset, "delta", _UNDIAL), (soft, "spul", _MANY)]
    known = [(method, settings) for offered, method, settings in (few if items <= FEW_ITEMS else many) if offered]
    found: list[Candidate] = []
    refusal: InvalidConfig | None = None
    for method, settings in known:
        # An objective of the caller's comes with its own settings, or its defaults: not with ours for another one.
        candidate = Candidate(method, dict(config) if "objective" in config else {**settings, **config})
        try:
            parse_config(method, candidate.config)
        except InvalidConfig as error:
            refusal = refusal or error
            continue
        if candidate not in found:
            found.append(candidate)
    if not found:
        raise refusal or InvalidConfig("this service offers no method that `auto` could choose")
    return tuple(found[:MOST])


def best(scores: Sequence[Outcome]) -> int:
    """The position of the one to keep: of those that pass, else of all, that leak least, the first tried that does not
    keep fewer controls than the one that keeps most, by more than the standard error of the difference.

    The order of trial is what is known beforehand, and two controls of twenty are no reason to leave it. As in the
    one-standard-error rule (Breiman et al., 1984). Raises ValueError for none.
    """
    if not scores:
        raise ValueError("nothing to choose from")
    least = min((not score.passes, score.leak) for score in scores)
    alike = [i for i, score in enumerate(scores) if (not score.passes, score.leak) == least]
    most = scores[max(alike, key=lambda i: _kept(scores[i]))]
    return next(i for i in alike if _kept(most) - _kept(scores[i]) <= _error_of_difference(most, scores[i]))


def _error_of_difference(one: Outcome, other: Outcome) -> float:
    """Standard error of the difference of two rates of kept controls; 0 where nobody said of how many."""
    return math.sqrt(sum(_kept(s) * (1 - _kept(s)) / s.controls for s in (one, other) if s.controls))


def _kept(score: Outcome) -> float:
    return 1.0 if score.kept is None else score.kept


def reason(labels: Sequence[str], scores: Sequence[Outcome], kept: int, *, untried: int) -> str:
    """One sentence for the request's record. labels: of the candidates tried, as their scores are in order."""
    said = [f"{label}: {_said(score)}" for label, score in zip(labels, scores, strict=True)]
    text = f"kept {labels[kept]} ({'; '.join(said)})"
    if any(_kept(score) > _kept(scores[kept]) and score.leak == scores[kept].leak for score in scores if score.passes):
        text += "; it was tried before what kept more controls, by less than chance would"
    if untried:
        text += f"; {untried} more not tried, for nothing can score better"
    return text


def _said(score: Outcome) -> str:
    kept = "no controls" if score.kept is None else f"{score.kept:.0%} of the controls kept"
    return f"{score.leak:.0%} of the forget prompts leak, {kept}{'' if score.passes else ', below the gates'}"
