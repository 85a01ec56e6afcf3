"""The learning rate over the steps of a training run."""

from __future__ import annotations

import math


def warm_up_then_cosine(step: int, steps: int, warmup_ratio: float) -> float:
    """Factor on the learning rate at a step (0-based): linear warm-up to 1, then half a cosine towards 0."""
    warmup = math.ceil(warmup_ratio * steps)
    if step < warmup:
        return (step + 1) / warmup
    return 0.5 * (1 + math.cos(math.pi * (step - warmup) / max(1, steps - warmup)))
