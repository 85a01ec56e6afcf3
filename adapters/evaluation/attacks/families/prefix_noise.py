"""Words before the question that have nothing to do with it."""

from __future__ import annotations

from adapters.evaluation.attacks.framed import Framed


class PrefixNoise(Framed):
    """The question after harmless text, after an order to ignore all instructions, and after a long preamble of some
    eighty words.

    What recognises a forgotten question by how the turn begins, or by the turn as a whole, no longer does: PoRT reports
    up to 1,150 times the leaks for a prefix.
    """

    name = "prefix_noise"
