"""All families' probes on a request, as many as there is time for."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable
from itertools import islice

from adapters.evaluation.attacks.context import AttackContext
from adapters.evaluation.attacks.probe import Probe
from adapters.evaluation.attacks.registry import families

#: So many times the probes wanted are looked at to choose among them.
_LOOKED_AT = 16


def names(only: Collection[str] | None = None) -> list[str]:
    """The names of all families, or of those of `only`. Raises `InvalidPlugin`."""
    return [name for name in families() if only is None or name in only]


def probes(context: AttackContext, *, per_family: int, only: Collection[str] | None = None) -> list[Probe]:
    """At most `per_family` probes of each family, evenly over its items and templates; the same for the same context.

    only: the names of the families; None: all. No prompt comes twice in a family: where several items have the same
    answer, its beginning is asked once. Raises `InvalidPlugin`.
    """
    return [
        probe for name in names(only) for probe in _evenly(_different(families()[name].probes(context)), per_family)
    ]


def _different(found: Iterable[Probe]) -> Iterable[Probe]:
    seen = set()
    for probe in found:
        query = (probe.query.prompt, probe.query.temperature, probe.query.choices, probe.options)
        if query not in seen:
            seen.add(query)
            yield probe


def _evenly(found: Iterable[Probe], count: int) -> list[Probe]:
    """In the order found, but those first whose item and template have come least often."""
    pool = list(islice(found, _LOOKED_AT * count))
    items, forms = Counter[int](), Counter[str]()
    chosen: list[Probe] = []
    while pool and len(chosen) < count:
        best = min(range(len(pool)), key=lambda place: items[pool[place].item] + forms[pool[place].template])
        probe = pool.pop(best)
        items[probe.item] += 1
        forms[probe.template] += 1
        chosen.append(probe)
    return chosen
