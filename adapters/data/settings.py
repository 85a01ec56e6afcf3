"""The settings of the data: what is made of the items a caller gives. Reading them imports no torch."""

from __future__ import annotations

from dataclasses import dataclass

from adapters.bounds import Settings, setting
from adapters.errors import InvalidConfig


@dataclass(frozen=True, kw_only=True)
class DataSettings(Settings):
    """The settings of the data that every method has. Raises `InvalidConfig` for a value outside its bounds."""

    retain_questions: int = setting(
        120,
        "general questions of a retain set that is made; a given one gets those of them that are not the nearest",
        (1, 100_000),
    )
    retain_nearest: int = setting(
        48, "how many of those questions, or of the given examples, are the nearest to the forget prompts", (0, 100_000)
    )
    retain_twins: int = setting(
        128, "questions to retain that ask what is forgotten, about another subject", (0, 10_000)
    )
    retain_siblings: int = setting(36, "questions to retain that ask the same subject something else", (0, 10_000))
    retain_tokens: int = setting(8, "length of the model's own answers to these questions, in tokens", (1, 1024))
    cloze_forms: int = setting(
        2, "in how many forms an answer to be forgotten becomes a sentence to be completed", (0, 3)
    )
    rewording_lists: int = setting(
        32, "lists of the forget prompts that the model itself continues, to find other wordings", (0, 10_000)
    )
    rewordings: int = setting(
        24, "at most so many of these wordings are used, each answered by the model with the fact", (0, 10_000)
    )
    framed_variants: int = setting(
        4, "variants of each forget prompt in other phrasings; above 0 there is one in two sentences too", (0, 5)
    )
    framed_fraction: float = setting(0.5, "share of the general questions that is put into such a phrasing", (0.0, 1.0))
    max_length: int = setting(
        1024, "tokens of prompt and answer together; the model's context is a limit too", (8, 1_048_576)
    )
    seed: int = setting(0, "decides everything that is drawn at random", (0, 2**31 - 1))

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.retain_nearest > self.retain_questions:
            raise InvalidConfig("retain_nearest must not exceed retain_questions")


@dataclass(frozen=True, kw_only=True)
class RefusalSettings(Settings):
    """Of a method that trains on refusals."""

    refusal_kinds: int = setting(
        1, "how many different wordings the refusals of this request are drawn from", (1, 1000)
    )
