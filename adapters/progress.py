"""What a trainer tells its caller while it works."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Progress:
    """One report. `step` of `steps` within `phase`; `eta_s` is for the phase, in seconds.

    `metrics` holds further losses by name. Nothing here ever carries text of an example.
    """

    phase: str
    step: int
    steps: int
    loss: float | None = None
    eta_s: float | None = None
    metrics: dict[str, float] = field(default_factory=dict)
