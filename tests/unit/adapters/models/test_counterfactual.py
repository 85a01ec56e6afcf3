"""The teacher: which tokens of two texts are the same, and the mean of what is said of others."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from adapters.models.counterfactual import aligned, named_positions, said_of_others
from adapters.models.frozen import PromptedModel, shared_by_most, shared_prefix
from adapters.models.tokens import Counterfactual, TokenizedExample, load_tokenizer

ANSWER = "The author of Zorba is Nikos."
SPAN = (14, 19)


@pytest.fixture
def tokenizer(tiny_model: Path) -> Any:
    """Of single characters: a token's position is its place in the text."""
    return load_tokenizer(str(tiny_model))


@pytest.mark.parametrize("name", ["Hamlet", "It", "Emma!"])
def test_tokens_outside_the_name_are_aligned(tokenizer: Any, name: str) -> None:
    changed = ANSWER[: SPAN[0]] + name + ANSWER[SPAN[1] :]
    positions, given_back = aligned(tokenizer, ANSWER, [SPAN], name, changed)
    assert len(positions) == len(ANSWER)
    for place, there in enumerate(positions):
        if SPAN[0] <= place <= SPAN[1]:  # the token behind the name says that it has ended
            assert there == -1
        else:
            assert changed[there] == ANSWER[place]
            assert len(changed) - there == len(ANSWER) - place or place < SPAN[0]
    first = [tokenizer(letter, add_special_tokens=False)["input_ids"][0] for letter in (name[0], "Z")]
    assert given_back == (tuple(first),)


def test_an_answer_that_names_nobody_is_aligned_throughout(tokenizer: Any) -> None:
    positions, given_back = aligned(tokenizer, "Nikos.", [], "Hamlet", "Nikos.")
    assert positions == tuple(range(6))
    assert given_back == ()
    assert named_positions(tokenizer, "Nikos.", []) == ()


def test_the_teacher_is_the_mean_of_what_is_said_of_others(prompted: PromptedModel) -> None:
    others = [TokenizedExample((1, 40 + number), (7, 8, 9)) for number in range(3)]
    mine = TokenizedExample(
        (1, 5), (6, 8, 9), counterfactuals=tuple(Counterfactual(other, (-1, 1, 2)) for other in others)
    )
    plain = TokenizedExample((1, 6), (4, 4))
    states = dict(zip(others, prompted.original_states(others, 0), strict=True))
    original = prompted.logits(torch.cat(prompted.original_states([plain, mine], 0)))
    taught = said_of_others(prompted, [plain, mine], original, states)
    assert taught is not None
    assert torch.equal(taught[:3], original[:3])  # the other example, and the place of the name
    for place in (1, 2):
        mean = torch.stack([prompted.logits(states[other][place : place + 1]).softmax(-1)[0] for other in others]).mean(
            0
        )
        torch.testing.assert_close(taught[2 + place].softmax(-1), mean)


def test_a_names_probability_goes_back_to_the_subject(prompted: PromptedModel) -> None:
    other = TokenizedExample((1, 40), (7, 8))
    mine = TokenizedExample((1, 5), (6, 8), counterfactuals=(Counterfactual(other, (0, 1), ((7, 6),)),))
    states = {other: prompted.original_states([other], 0)[0]}
    original = prompted.logits(prompted.original_states([mine], 0)[0])
    taught = said_of_others(prompted, [mine], original, states)
    assert taught is not None
    said = prompted.logits(states[other]).softmax(-1)
    torch.testing.assert_close(taught.softmax(-1)[:, 6], said[:, 6] + said[:, 7])
    assert float(taught.softmax(-1)[:, 7].max()) < 1e-20


def test_nobody_is_asked_where_no_example_has_others(prompted: PromptedModel) -> None:
    example = TokenizedExample((1, 5), (6, 8))
    original = prompted.logits(prompted.original_states([example], 0)[0])
    assert said_of_others(prompted, [example], original, {}) is None


def test_plain_texts_among_conversations_are_read_as_they_are_alone(prompted: PromptedModel) -> None:
    chat = [TokenizedExample((1, 5, 6, 7 + number), (8, 2)) for number in range(3)]
    plain = [TokenizedExample((9,), (4, 4)), TokenizedExample((10, 11), (3,))]
    mixed = [chat[0], plain[0], chat[1], plain[1], chat[2]]
    shared = shared_by_most([example.prompt_ids for example in mixed])
    assert shared == 3 == shared_prefix([example.prompt_ids for example in chat])
    with torch.no_grad():
        together = prompted.answer_states(mixed, shared)
        alone = torch.cat([prompted.answer_states([example], 0) for example in mixed])
    torch.testing.assert_close(together, alone)
