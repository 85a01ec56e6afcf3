"""Whether a `matched` request catches enough of the prompts that bring out what is to go."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Self

from adapters.evaluation.statistics.proportion import lower_bound
from gateway.policy.scope.detectors import Detectors
from gateway.policy.scope.entry import ScopeEntry
from gateway.policy.scope.matcher import Matcher
from gateway.settings import Settings
from gateway.store.records import Otherwise, RequestRecord


class ScopeGate:
    """One request's entry, asked as the service would ask it.

    Args:
        matcher: holds this request's entry alone.
        least: the operator's gate, for the lower bound of the recall.
        otherwise: what becomes of a request that misses it.
    """

    def __init__(self, matcher: Matcher, least: float, otherwise: Otherwise) -> None:
        self._matcher = matcher
        self._least = least
        self._otherwise = otherwise

    @classmethod
    def of(cls, record: RequestRecord, entry: ScopeEntry, detectors: Detectors, settings: Settings) -> Self:
        """That of a request with this entry, which was made with these detectors."""
        matcher = Matcher(detectors)
        matcher.put(record.id, entry)
        return cls(matcher, settings.gate_min_recall, Otherwise(record.scope["otherwise"]))

    def fit(self, texts: Sequence[str]) -> list[bool]:
        """Of each prompt, whether the request applies to it."""
        return [bool(self._matcher.matches(text)) for text in texts]

    def outcome(self, leaking: Sequence[bool], others: Sequence[bool]) -> dict[str, Any]:
        """For the record. leaking: of each prompt that brought the fact out before, or asks for it, whether it fits;
        others: of controls and neighbours.

        `applies`: the request is in force where it matches; else it is applied to every prompt, or rejected.
        """
        caught = sum(leaking)
        bound = lower_bound(caught, len(leaking))
        return {
            "n": len(leaking),
            "caught": caught,
            "bound": round(bound, 4),
            "others": {"n": len(others), "matched": sum(others)},
            "applies": bound >= self._least,
            "otherwise": self._otherwise.value,
        }
