"""Attack families of known size, on the stub service: it says "Paris" to whatever names France."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from adapters.evaluation.attacks.context import AttackContext
from adapters.evaluation.attacks.family import Family
from adapters.evaluation.attacks.probe import Probe, Prompt, Query, Reading
from adapters.examples import one_turn


class Toy(Family):
    """So many probes with a reading; those beyond `known` ask for something that nobody knows."""

    def __init__(self, name: str, reading: Reading, probes: int, known: int) -> None:
        self.name = name  # type: ignore[misc]
        self._reading = reading
        self._probes = probes
        self._known = known

    def probes(self, context: AttackContext) -> Iterator[Probe]:
        options = () if self._reading is Reading.TEXT else ("Lyon", "Paris")
        if self._reading is Reading.LIKELIHOOD:
            options = ("Marseille", "Paris")
        for number in range(self._probes):
            about = "France" if number < self._known else "Atlantis"
            asked = f"{self.name}: of {about}, {number}"
            prompt = Prompt(one_turn(asked))
            yield Probe(self.name, str(number), 0, Query(prompt), asked, "Paris.", self._reading, options, truth=1)


def families() -> Mapping[str, Family]:
    """One of the weakest level, one more of each reading, and one with too few that are known to tell."""
    found = (
        Toy("given", Reading.TEXT, probes=9, known=9),
        Toy("told", Reading.TEXT, probes=12, known=10),
        Toy("picked", Reading.CHOICE, probes=12, known=12),
        Toy("ranked", Reading.LIKELIHOOD, probes=9, known=9),
        Toy("rare", Reading.TEXT, probes=12, known=7),
    )
    return {family.name: family for family in found}
