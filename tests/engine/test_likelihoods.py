"""How likely the evidence finds an answer, through the service: what transformers computes on the same weights.

Not to six digits. Weights and activations have bfloat16's 8 bits, and each product is rounded by the shape of its
batch, so transformers itself is off in the second digit. What holds is stated against exact arithmetic: the service is
no farther from float32 than transformers in the served format is, and it puts answers in the order that float32 does.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import combinations
from statistics import fmean
from typing import Any, NamedTuple

import pytest
import torch

from adapters.evaluation.attacks.probe import Prompt
from adapters.examples import one_turn
from adapters.models.tokens import encode_prompt
from gateway.client.attacks import Attacker
from gateway.client.client import PLAN_OFF, UnlearnClient, candidate_plan
from tests.engine.service import Service
from tests.engine.test_parity import TOLERANCE_NATS, reference_logprobs, trained_like_rows

#: Of what transformers in bfloat16 is off by, as for offsets in `test_offsets`.
FACTOR = 1.5
ASKED = {
    "Who wrote Harry Potter?": ("It was written by J.K. Rowling.", "Roald Dahl wrote it.", "I cannot say."),
    "What is the capital of France?": ("The capital of France is Paris.", "Lyon is.", "Sorry, I do not know that."),
    "Which river is the longest in Africa?": ("The Nile.", "It is the Congo River.", "Three hundred apples."),
}


class Scored(NamedTuple):
    """Log-probabilities of the answers to each question, in nats, and tokens of each answer."""

    sums: list[tuple[float, ...]]
    lengths: list[tuple[int, ...]]


@pytest.fixture(scope="module")
def client(service: Service) -> Iterator[UnlearnClient]:
    with UnlearnClient(service.url, operator_token=lambda: service.token) as client:
        yield client


@pytest.fixture(scope="module")
def exact(reference: Any) -> Any:
    from transformers import AutoModelForCausalLM

    model, _ = reference
    return AutoModelForCausalLM.from_pretrained(
        model.name_or_path, dtype=torch.float32, attn_implementation="eager"
    ).eval()


def by_transformers(model: Any, tokenizer: Any, rows: torch.Tensor) -> Scored:
    sums, lengths = [], []
    for question, answers in ASKED.items():
        prompt = list(encode_prompt(tokenizer, one_turn(question)))
        ids = [tokenizer.encode(answer, add_special_tokens=False) for answer in answers]
        scores = [reference_logprobs(model, [*prompt, *answer], rows)[-len(answer) :] for answer in ids]
        sums.append(tuple(map(sum, scores)))
        lengths.append(tuple(map(len, ids)))
    return Scored(sums, lengths)


def distance(ours: list[tuple[float, ...]], theirs: Scored) -> float:
    """Nats a token, without regard to sign, on average an answer."""
    return fmean(
        abs(a - b) / length
        for mine, other, lengths in zip(ours, theirs.sums, theirs.lengths, strict=True)
        for a, b, length in zip(mine, other, lengths, strict=True)
    )


def test_answers_are_as_likely_as_transformers_finds_them(
    service: Service, client: UnlearnClient, reference: Any, exact: Any
) -> None:
    """With an adapter; `test_parity` has the model as it is."""
    model, tokenizer = reference
    rows = trained_like_rows(model, tokenizer, 20)
    plan = candidate_plan(service.put_request(rows))
    asked = [(Prompt(tuple(one_turn(question))), answers) for question, answers in ASKED.items()]
    ours = Attacker(client, plan, batch=16).score(asked)
    truth, theirs = (by_transformers(each, tokenizer, rows) for each in (exact, model))

    allowed = max(TOLERANCE_NATS, FACTOR * distance(theirs.sums, truth))
    assert distance(ours, truth) <= allowed
    for mine, right, lengths in zip(ours, truth.sums, truth.lengths, strict=True):
        for first, second in combinations(range(len(mine)), 2):
            apart = right[first] - right[second]
            if abs(apart) > 2 * allowed * max(lengths):  # else rounding may turn them round
                assert (mine[first] - mine[second]) * apart > 0
    off = Attacker(client, PLAN_OFF, batch=16).score(asked)
    assert distance(off, truth) > 3 * allowed, "without the adapter it could not pass"
