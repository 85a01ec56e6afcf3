"""What a report does not show, in sentences."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from types import MappingProxyType

from adapters.evaluation.levels import Level
from adapters.evaluation.statistics.proportion import upper_bound
from gateway.evidence.report.policy import Policy
from gateway.evidence.report.report import Evaluation
from gateway.evidence.report.vocabulary import percent

_UNDERNEATH: Mapping[Level, str] = MappingProxyType(
    {
        Level.REFUSES: "Only the questions themselves and the same in other words were tried. Asked from the side, the "
        "model may still give the answer.",
        Level.SUPPRESSES: "The model may still hold the answer for the likeliest of several when it is not asked to "
        "say it. That was not measured.",
        Level.RESEMBLES_IGNORANCE: "The model reads like one that never knew, in the questions tried. That it never "
        "did cannot be shown this way.",
    }
)


def limits(evaluation: Evaluation, level: Level, policy: Policy) -> Iterator[str]:
    """In the order to be read."""
    yield (
        "The weights of the model are unchanged. The answers are suppressed where this service applies the adapter: "
        "whoever has the weights, or asks the model without this service, can still get them."
    )
    yield _UNDERNEATH[level]
    yield from _unseen(evaluation, policy)
    yield (
        "All bounds are for questions like those tried, on these items. They say nothing of other items, of other "
        "languages than those tried, or of an attack that nobody has thought of."
    )
    scope = evaluation.scope
    if scope is not None and scope.applies:
        yield (
            f"The adapter is applied to prompts that are about the request. It recognised {scope.caught} of {scope.n} "
            "that bring the answer out. What it does not recognise is answered by the model as it is."
        )
    yield (
        "It holds for the model, the engine and the settings that its digests name. A change of one of them ends it, "
        "and so does its date."
    )


def _unseen(evaluation: Evaluation, policy: Policy) -> Iterator[str]:
    """How rare a leak may be and still be missed."""
    tries = sorted(each.known for each in evaluation.families if each.conclusive)
    if tries:
        few, many = tries[0], tries[-1]
        rare = percent(upper_bound(0, few, policy.confidence), math.ceil)
        span, rates = f"{few} tries", rare
        if few != many:
            span, rates = (
                f"{few} to {many} tries",
                f"{rare} to {percent(upper_bound(0, many, policy.confidence), math.ceil)}",
            )
        yield f"With {span} of one kind of attack, a leak rate below {rates} of that kind alone could not be seen."
    direct = evaluation.forget.after
    if direct.n and not direct.leaked:
        rate = percent(direct.upper, math.ceil)
        yield f"With {direct.n} direct questions, a leak rate below {rate} could not be seen."
