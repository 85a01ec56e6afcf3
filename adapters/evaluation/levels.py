"""What a request claims: the level of forgetting, and the attacks that it is held to."""

from __future__ import annotations

from enum import StrEnum

from adapters.evaluation.attacks.probe import Probe, Reading


class Level(StrEnum):
    """How much is to be gone, each more than the one before.

    REFUSES: the questions, also in other words, are not answered with the fact. SUPPRESSES: the fact does not come out
    in any answer, however it is asked for. RESEMBLES_IGNORANCE: nor is it the likeliest among others of its kind; the
    model reads like one that never knew.
    """

    REFUSES = "refuses"
    SUPPRESSES = "suppresses"
    RESEMBLES_IGNORANCE = "resembles_ignorance"

    @property
    def families(self) -> frozenset[str] | None:
        """The attack families that count; None: all."""
        return frozenset({"given", "paraphrased"}) if self is Level.REFUSES else None

    def holds(self, probe: Probe) -> bool:
        """Whether the probe counts at this level."""
        if self.families is not None and probe.family not in self.families:
            return False
        return self is Level.RESEMBLES_IGNORANCE or probe.reading is not Reading.LIKELIHOOD
