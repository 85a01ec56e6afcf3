"""Results of attacks as numbers alone, for a log, and back."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from adapters.evaluation.attacks.probe import Probe, Prompt, Query, Reading
from adapters.evaluation.attacks.run import Result

#: Stands for a probe that was not asked: the model before did not leak in it.
_NOT_ASKED = -1


def to_numbers(probes: Sequence[Probe], results: Sequence[Result]) -> dict[str, dict[str, list[Any]]]:
    """{family: columns}, a number a probe in each, in the order of `probes`.

    items: the probe's item. options: how many it has; 0 for a text answer. samples: how many answers it wants. leaked:
    how many of them leak; −1 where it was not asked. margins: of likelihoods, in nats a character; else None.
    """
    found = {result.probe: result for result in results}
    families: dict[str, dict[str, list[Any]]] = {}
    for probe in probes:
        columns = families.setdefault(
            probe.family, {"items": [], "options": [], "samples": [], "leaked": [], "margins": []}
        )
        result = found.get(probe)
        columns["items"].append(probe.item)
        columns["options"].append(len(probe.options))
        columns["samples"].append(1 if probe.reading is Reading.LIKELIHOOD else probe.query.samples)
        columns["leaked"].append(_NOT_ASKED if result is None else sum(result.leaked))
        margin = None if result is None or result.margin is None else round(result.margin, 5)
        columns["margins"].append(margin)
    return families


def from_numbers(families: Mapping[str, Mapping[str, Sequence[Any]]]) -> list[Result]:
    """Results that count as those did, on probes without texts; those not asked are left out."""
    results = []
    for family, columns in families.items():
        for place, leaked in enumerate(columns["leaked"]):
            if leaked == _NOT_ASKED:
                continue
            samples, options = columns["samples"][place], columns["options"][place]
            margin = columns["margins"][place]
            probe = Probe(
                family,
                str(place),
                columns["items"][place],
                Query(Prompt(text=str(place)), samples=samples),
                "",
                "",
                _reading(options, margin),
                ("",) * options,
            )
            results.append(Result(probe, (True,) * leaked + (False,) * (samples - leaked), margin=margin))
    return results


def _reading(options: int, margin: float | None) -> Reading:
    if margin is not None:
        return Reading.LIKELIHOOD
    return Reading.CHOICE if options else Reading.TEXT


def asked_again(before: Mapping[str, Mapping[str, Sequence[Any]]], probes: Sequence[Probe]) -> list[Probe]:
    """Those in which the model before leaked, and all likelihoods, whose margins are of interest by themselves.

    before: its `to_numbers` of the same probes. Raises ValueError where it is of others.
    """
    if {family: len(columns["leaked"]) for family, columns in before.items()} != Counter(p.family for p in probes):
        raise ValueError("the model before was asked other probes")
    leaked = {family: iter(columns["leaked"]) for family, columns in before.items()}
    return [probe for probe in probes if next(leaked[probe.family]) > 0 or probe.reading is Reading.LIKELIHOOD]
