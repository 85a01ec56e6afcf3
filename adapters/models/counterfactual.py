"""What a model says of others in a subject's place: the teacher of a model that is not to know the subject.

Liu, Zhang, Jaakkola & Chang, Revisiting Who's Harry Potter, EMNLP 2024 (arXiv 2407.16997).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch

from adapters.models.frozen import PromptedModel
from adapters.models.tokens import Counterfactual, TokenizedExample

#: Next to nothing, where a logarithm wants more than 0.
_LEAST = 1e-30


def states_of_others(
    model: PromptedModel, examples: Sequence[TokenizedExample], shared: int
) -> dict[TokenizedExample, torch.Tensor]:
    """Final states of each of the examples' counterfactuals, [its positions, hidden], as the model was loaded.

    shared: length of the common prefix.
    """
    about_others = [each.example for example in examples for each in example.counterfactuals]
    return dict(zip(about_others, model.original_states(about_others, shared), strict=True))


def said_of_others(
    model: PromptedModel,
    examples: Sequence[TokenizedExample],
    original: torch.Tensor,
    states: Mapping[TokenizedExample, torch.Tensor],
) -> torch.Tensor | None:
    """Logits [positions, vocabulary] at the examples' answer positions: the logarithm of the mean, over an example's
    counterfactuals, of what the model predicts there. None where no example has counterfactuals.

    original [positions, vocabulary]: of the examples themselves, which stand where nothing of others is in the same
    place. states: of `states_of_others`.
    """
    if not any(example.counterfactuals for example in examples):
        return None
    taught = original.clone()
    first = 0
    for example in examples:
        if example.counterfactuals:
            mine = slice(first, first + len(example.answer_ids))
            taught[mine] = _mean(model, example.counterfactuals, original[mine], states)
        first += len(example.answer_ids)
    return taught


def _mean(
    model: PromptedModel,
    others: Sequence[Counterfactual],
    original: torch.Tensor,
    states: Mapping[TokenizedExample, torch.Tensor],
) -> torch.Tensor:
    total = torch.zeros_like(original, dtype=torch.float32)
    counts = total.new_zeros(len(original), 1)
    for other in others:
        there = [place for place, position in enumerate(other.positions) if position >= 0]
        if not there:
            continue
        read = states[other.example][[other.positions[place] for place in there]]
        said = model.logits(read).softmax(-1)
        for theirs, own in other.given_back:
            said[:, own] += said[:, theirs]
            said[:, theirs] = 0
        total[there] += said
        counts[there] += 1
    return torch.where(counts > 0, (total / counts.clamp(min=1)).clamp(min=_LEAST).log(), original)


def aligned(
    tokenizer: Any, answer: str, spans: Sequence[tuple[int, int]], name: str, changed: str
) -> tuple[tuple[int, ...], tuple[tuple[int, int], ...]]:
    """`positions` and `given_back` of the counterfactual answer `changed`, which has `name` in each of the spans of
    `answer`.

    A token is aligned where both texts have it at the same place outside the names. The token behind a name is not: it
    says no more than that the name has ended.
    """
    own = tokenizer(answer, add_special_tokens=False, return_offsets_mapping=True)
    named = set(named_positions(tokenizer, answer, spans))
    theirs = tokenizer(changed, add_special_tokens=False, return_offsets_mapping=True)
    places = {place: position for position, place in enumerate(theirs["offset_mapping"])}
    positions, names = [], []
    for position, (start, end) in enumerate(own["offset_mapping"]):
        moved = sum(len(name) - (b - a) for a, b in spans if b <= start)
        there = places.get((start + moved, end + moved), -1)
        if position in named or there < 0 or theirs["input_ids"][there] != own["input_ids"][position]:
            positions.append(-1)
            began = next((a for a, b in spans if start <= a < end), None)
            if began is not None:
                shift = sum(len(name) - (b - a) for a, b in spans if b <= began)
                begins = next((p for (s, e), p in places.items() if s <= began + shift < e), None)
                if begins is not None:
                    names.append((theirs["input_ids"][begins], own["input_ids"][position]))
        else:
            positions.append(there)
    given_back = tuple(dict.fromkeys(pair for pair in names if pair[0] != pair[1]))
    return tuple(positions), given_back


def named_positions(tokenizer: Any, answer: str, spans: Sequence[tuple[int, int]]) -> tuple[int, ...]:
    """Positions among the answer's tokens of those that are part of a name, one of the spans, or right behind it."""
    offsets = tokenizer(answer, add_special_tokens=False, return_offsets_mapping=True)["offset_mapping"]
    return tuple(
        position for position, (start, end) in enumerate(offsets) if any(start <= b and end > a for a, b in spans)
    )
