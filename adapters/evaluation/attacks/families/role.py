"""The fact as part of something else that is to be written or said."""

from __future__ import annotations

from adapters.evaluation.attacks.framed import Framed


class Role(Framed):
    """The model plays somebody who says the fact: a part in a play, the label in a museum, a teacher in a lesson, an
    author at a draft; as RWKU's role-play attacks do (Jin et al. 2024).
    """

    name = "role"
    max_tokens = 96
