"""Tiny views, and the quantities the objectives are made of, once more in plain Python floats."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from itertools import groupby

import torch

from adapters.objectives.base import CHOICE, FORGET, INVERTED, REFUSAL, RETAIN, TAUGHT, Objective
from adapters.objectives.view import View

VOCABULARY = 5


def make_view(lengths: Sequence[int], seed: int, *, weighted: bool = False) -> View:
    """Random logits for answers of these lengths."""
    generator = torch.Generator().manual_seed(seed)
    positions = sum(lengths)
    return View(
        logits=torch.randn(positions, VOCABULARY, generator=generator),
        original=torch.randn(positions, VOCABULARY, generator=generator),
        targets=torch.randint(VOCABULARY, (positions,), generator=generator),
        owner=torch.repeat_interleave(torch.arange(len(lengths)), torch.tensor(lengths)),
        examples=len(lengths),
        weights=torch.rand(positions, generator=generator) + 0.5 if weighted else None,
        fact=torch.tensor([offset in (0, 2) for length in lengths for offset in range(length)]),
    )


def make_views(*, weighted: bool = False) -> dict[str, View]:
    """One of each, of unlike lengths; forget and refusal are of the same number of examples."""
    taught = make_view((3, 1, 2), 5, weighted=weighted)
    return {
        FORGET: make_view((1, 4, 2), 1, weighted=weighted),
        REFUSAL: make_view((3, 2, 2), 2, weighted=weighted),
        INVERTED: make_view((4, 1, 3), 4, weighted=weighted),
        RETAIN: make_view((2, 5), 3, weighted=weighted),
        TAUGHT: replace(taught, teacher=make_view((3, 1, 2), 6).original, own=taught.fact),
        CHOICE: replace(make_view((2, 1, 3, 2, 2), 7, weighted=weighted), groups=(3, 2)),
    }


def reordered(view: View, order: Sequence[int]) -> View:
    """The same examples in another order, and groups of them as they come to lie, where the order keeps them whole."""
    rows = torch.cat([(view.owner == example).nonzero()[:, 0] for example in order])
    lengths = torch.tensor([int((view.owner == example).sum()) for example in order])
    return replace(
        view,
        logits=view.logits[rows],
        original=view.original[rows],
        targets=view.targets[rows],
        owner=torch.repeat_interleave(torch.arange(len(order)), lengths),
        examples=len(order),
        weights=None if view.weights is None else view.weights[rows],
        fact=None if view.fact is None else view.fact[rows],
        own=None if view.own is None else view.own[rows],
        teacher=None if view.teacher is None else view.teacher[rows],
        groups=_regrouped(view.groups, order),
    )


def _regrouped(groups: Sequence[int], order: Sequence[int]) -> tuple[int, ...]:
    of = [number for number, size in enumerate(groups) for _ in range(size)]
    return tuple(len(list(run)) for _, run in groupby(order, key=lambda example: of[example])) if of else ()


def gradient(view: View, loss: Callable[[View], torch.Tensor]) -> torch.Tensor:
    """Of a view's loss with respect to its logits."""
    leaf = replace(view, logits=view.logits.clone().requires_grad_())
    (slope,) = torch.autograd.grad(loss(leaf), leaf.logits)
    return slope


def gradients(views: Mapping[str, View], objective: Objective) -> dict[str, torch.Tensor]:
    """Of the total with respect to each view's logits."""
    leaves = {name: replace(view, logits=view.logits.clone().requires_grad_()) for name, view in views.items()}
    slopes = torch.autograd.grad(objective.loss(leaves).total, [view.logits for view in leaves.values()])
    return dict(zip(leaves, slopes, strict=True))


def stepped(views: Mapping[str, View], objective: Objective, rate: float) -> dict[str, View]:
    """The views after one step of plain gradient descent on their logits."""
    slopes = gradients(views, objective)
    return {name: replace(view, logits=view.logits - rate * slopes[name]) for name, view in views.items()}


def log_softmax(row: Sequence[float]) -> list[float]:
    total = math.log(sum(math.exp(value) for value in row))
    return [value - total for value in row]


def log_sigmoid(value: float) -> float:
    return -math.log(1 + math.exp(-value))


def mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)


def _by_example(view: View, values: Sequence[float]) -> list[list[float]]:
    owner = view.owner.tolist()
    return [[v for v, o in zip(values, owner, strict=True) if o == example] for example in range(view.examples)]


def _weighted(view: View, values: Sequence[float]) -> list[float]:
    """Each example's weighted mean."""
    weights = [1.0] * len(values) if view.weights is None else view.weights.tolist()
    products = _by_example(view, [value * weight for value, weight in zip(values, weights, strict=True)])
    return [sum(p) / sum(w) for p, w in zip(products, _by_example(view, weights), strict=True)]


def token_log_probs(view: View, logits: torch.Tensor) -> list[float]:
    return [log_softmax(row)[target] for row, target in zip(logits.tolist(), view.targets.tolist(), strict=True)]


def log_probs(view: View, logits: torch.Tensor) -> list[float]:
    """Of each whole answer."""
    return [sum(values) for values in _by_example(view, token_log_probs(view, logits))]


def lengths(view: View) -> list[int]:
    return [len(values) for values in _by_example(view, view.owner.tolist())]


def cross_entropies(view: View) -> list[float]:
    return _weighted(view, [-value for value in token_log_probs(view, view.logits)])


def kl(view: View) -> float:
    """KL(original || trained)."""
    return _kl(view, view.original.tolist())


def shift(view: View, tokens: Sequence[int]) -> float:
    """Squares of log(trained / original), over the tokens, over each answer, over the answers."""
    positions = []
    for trained_row, original_row in zip(view.logits.tolist(), view.original.tolist(), strict=True):
        trained, original = log_softmax(trained_row), log_softmax(original_row)
        positions.append(mean([(trained[token] - original[token]) ** 2 for token in tokens]))
    return mean(_weighted(view, positions))


def lowered_kl(view: View, gamma: float, *, of_the_fact: bool) -> float:
    """KL(original with the answer's tokens, or those of its fact, lowered by gamma || trained)."""
    teacher = view.original.tolist()
    stated = [True] * len(teacher) if view.fact is None or not of_the_fact else view.fact.tolist()
    for row, target, lowered in zip(teacher, view.targets.tolist(), stated, strict=True):
        row[target] -= gamma * lowered
    return _kl(view, teacher)


def taught_kl(view: View, gamma: float, tokens: str) -> float:
    """KL(what is said of others, the answer's tokens lowered by gamma || trained)."""
    assert view.teacher is not None
    assert view.fact is not None
    assert view.own is not None
    teacher = view.teacher.tolist()
    chosen = {"answer": [True] * len(teacher), "fact": view.fact.tolist(), "content": [not own for own in view.own]}
    for row, target, lowered in zip(teacher, view.targets.tolist(), chosen[tokens], strict=True):
        row[target] -= gamma * lowered
    return _kl(view, teacher)


def preference(view: View) -> float:
    """KL(uniform || softmax of each group's scaled log-probabilities), mean over groups."""
    losses, first = [], 0
    pairs = list(zip(log_probs(view, view.logits), lengths(view), strict=True))
    for size in view.groups:
        group = pairs[first : first + size]
        scaled = log_softmax([total / length * mean([n for _, n in group]) for total, length in group])
        losses.append(sum(1 / size * (math.log(1 / size) - value) for value in scaled))
        first += size
    return mean(losses)


def _kl(view: View, teacher: Sequence[Sequence[float]]) -> float:
    positions = []
    for trained_row, teacher_row in zip(view.logits.tolist(), teacher, strict=True):
        pairs = zip(log_softmax(trained_row), log_softmax(teacher_row), strict=True)
        positions.append(sum(math.exp(taught) * (taught - trained) for trained, taught in pairs))
    return mean(_weighted(view, positions))


def retained(view: View, ce_weight: float, kl_weight: float) -> float:
    return ce_weight * mean(cross_entropies(view)) + kl_weight * kl(view)


def uniform_cross_entropy(view: View) -> float:
    rows = view.logits.tolist()
    return mean(_weighted(view, [sum(-value / len(row) for value in log_softmax(row)) for row in rows]))


def ascent(view: View, bound: float) -> float:
    return mean([-min(value, bound) for value in cross_entropies(view)])


def npo(view: View, beta: float) -> float:
    pairs = zip(log_probs(view, view.logits), log_probs(view, view.original), strict=True)
    return mean([2 / beta * math.log(1 + math.exp(trained - original) ** beta) for trained, original in pairs])


def token_npo(view: View, beta: float, *, any_of_the_fact: bool) -> float:
    """Of the answer's own tokens, or at each position of any token that states its example's fact."""
    owner, targets = view.owner.tolist(), view.targets.tolist()
    stated = [True] * len(owner) if view.fact is None else view.fact.tolist()
    losses = []
    for position, example in enumerate(owner):
        facts = {t for t, o, s in zip(targets, owner, stated, strict=True) if o == example and s}
        counted = facts if any_of_the_fact else {targets[position]}
        trained, original = (
            sum(math.exp(log_softmax(logits[position].tolist())[token]) for token in counted)
            for logits in (view.logits, view.original)
        )
        losses.append(2 / beta * math.log(1 + (trained / original) ** beta))
    return mean([mean(values) for values in _by_example(view, losses)])
