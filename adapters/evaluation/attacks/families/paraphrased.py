"""The item's prompt in other words."""

from __future__ import annotations

from adapters.evaluation.attacks.framed import Framed


class Paraphrased(Framed):
    """The question reported, quoted, ordered, or asked in two sentences, as TOFU's paraphrased questions and RWKU's
    rephrasings do (Maini et al. 2024; Jin et al. 2024).

    The prompt's own words are kept, so that nobody has to write a paraphrase for a request. The phrasebook's frames are
    in neither bank, for methods train on them.
    """

    name = "paraphrased"
