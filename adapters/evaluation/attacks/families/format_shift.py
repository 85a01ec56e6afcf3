"""The answer asked for in another form than that of an answer."""

from __future__ import annotations

from adapters.evaluation.attacks.framed import Framed


class FormatShift(Framed):
    """The fact as a row of a table, a JSON value, a variable in code, a line of a poem, a letter, a dialogue or a quiz
    with its key.

    A model that was taught how to answer a question has not been taught what to write there: NPO leaks 37 % in such
    forms at a forget quality of 0.70.
    """

    name = "format_shift"
    max_tokens = 96
