"""What an objective sees of some examples: two models' logits wherever a token of an answer is predicted."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby

import torch
import torch.nn.functional as F

from adapters.models.frozen import Batch
from adapters.models.tokens import TokenizedExample
from adapters.objectives.terms.cross_entropy import answer_cross_entropy
from adapters.objectives.terms.kl import answer_kl
from adapters.objectives.terms.reduction import mean_over_examples, position_weights


@dataclass(frozen=True, slots=True)
class View:
    """The answer positions of all examples of a batch, one after another, without padding.

    logits [positions, vocabulary]: of the model being trained; row i is the prediction *of* targets[i].
    original [positions, vocabulary]: the frozen target's logits at the same positions; no gradient reaches it.
    targets [positions]: token ids. owner [positions]: the example of each position, in 0 … examples-1, each
    example's positions in one run; every example owns a position. weights [positions]: weight of each position
    in its example's mean; None: alike. fact [positions], bool: which tokens state their answer's fact, at least one an
    example; None: all. own [positions], bool: which are nobody's secret; None: none. teacher [positions, vocabulary]:
    logits of what the target says of others at the same positions; None: nobody asked. groups: how many
    examples in turn answer one prompt.
    """

    logits: torch.Tensor
    original: torch.Tensor
    targets: torch.Tensor
    owner: torch.Tensor
    examples: int
    weights: torch.Tensor | None = None
    fact: torch.Tensor | None = None
    own: torch.Tensor | None = None
    teacher: torch.Tensor | None = None
    groups: tuple[int, ...] = ()

    def cross_entropy(self) -> torch.Tensor:
        """Scalar: mean over examples of the (weighted) mean token cross-entropy, in nats."""
        return answer_cross_entropy(self.logits, self.targets, self.owner, self.examples, self.weights)

    def cross_entropies(self) -> torch.Tensor:
        """[examples], float32: each example's own (weighted) mean token cross-entropy, in nats."""
        losses = -self._token_log_probs(self.logits)
        weights = torch.ones_like(losses) if self.weights is None else self.weights.to(losses)
        return self._sums(losses * weights) / self._sums(weights)

    def kl(self) -> torch.Tensor:
        """Scalar: mean over examples of the (weighted) mean KL(original || trained), in nats."""
        return answer_kl(self.logits, self.original.detach(), self.owner, self.examples, self.weights)

    def shift(self, tokens: torch.Tensor) -> torch.Tensor:
        """Scalar: mean over examples of the (weighted) mean square of log(trained / original) of these tokens, in nats
        squared.

        tokens [any]: token ids, each counted as often as it is there, asked at every position. KL(original || trained)
        does not see how an unlikely token becomes less likely still; this does.
        """
        trained, original = (
            logits[:, tokens].float() - logits.float().logsumexp(-1, keepdim=True)
            for logits in (self.logits, self.original.detach())
        )
        squares = (trained - original).square().mean(-1)
        return mean_over_examples(squares, self.owner, self.examples, self.weights)

    def answer_log_probs(self) -> tuple[torch.Tensor, torch.Tensor]:
        """(trained, original), each [examples], float32: log-probability of the whole answer, in nats.

        A sum over the answer's tokens; weights do not enter, for it would no longer be a probability.
        """
        return self._log_probs(self.logits), self._log_probs(self.original.detach())

    def log_ratios(self) -> torch.Tensor:
        """[positions], float32: how much more probable each token is than it was, log(trained / original), in nats."""
        return self._token_log_probs(self.logits) - self._token_log_probs(self.original.detach())

    def stated(self) -> torch.Tensor:
        """[positions], bool: which tokens state their answer's fact; all where that is not known."""
        return torch.ones_like(self.targets, dtype=torch.bool) if self.fact is None else self.fact

    def content(self) -> torch.Tensor:
        """[positions], bool: which tokens are not nobody's secret."""
        return torch.ones_like(self.targets, dtype=torch.bool) if self.own is None else ~self.own

    def preference(self) -> torch.Tensor:
        """Scalar, nats: mean over groups of KL(uniform || p), p the softmax over a group's answers of their mean
        log-probability a token, times the group's mean length: how far the model prefers one of them."""
        lengths = self.lengths()
        total = self.logits.new_zeros((), dtype=torch.float32)
        first = 0
        sums, _ = self.answer_log_probs()
        for size in self.groups:
            mine = slice(first, first + size)
            scaled = sums[mine] / lengths[mine] * lengths[mine].float().mean()
            total = total - scaled.log_softmax(-1).mean() - math.log(size)
            first += size
        return total / max(len(self.groups), 1)

    def lengths(self) -> torch.Tensor:
        """[examples], int64: how many tokens each answer has."""
        return self._sums(torch.ones_like(self.owner))

    def _log_probs(self, logits: torch.Tensor) -> torch.Tensor:
        return self._sums(self._token_log_probs(logits))

    def _token_log_probs(self, logits: torch.Tensor) -> torch.Tensor:
        """[positions], float32."""
        return -F.cross_entropy(logits.float(), self.targets, reduction="none")

    def _sums(self, values: torch.Tensor) -> torch.Tensor:
        """[examples] from [positions]."""
        return values.new_zeros(self.examples).index_add(0, self.owner, values)


def cut_views(
    groups: Mapping[str, Sequence[TokenizedExample]],
    batch: Batch,
    logits: torch.Tensor,
    original: torch.Tensor,
    first_token_weight: float,
    teacher: torch.Tensor | None = None,
) -> dict[str, View]:
    """Each named group's part of a batch that holds all of them one after another, in the order of `groups`.

    logits, original, teacher [positions, vocabulary]: of the batch.
    """
    weights = position_weights(batch.rows, first_token_weight)
    views, first, start = {}, 0, 0
    for name, group in groups.items():
        mine = slice(start, start + sum(len(example.answer_ids) for example in group))
        owner = batch.rows[mine] - first
        views[name] = View(
            logits[mine],
            original[mine],
            batch.targets[mine],
            owner,
            len(group),
            weights[mine],
            batch.fact[mine],
            batch.own[mine],
            None if teacher is None else teacher[mine],
            tuple(len(list(run)) for _, run in groupby(group, key=lambda example: example.prompt_ids)),
        )
        first, start = first + len(group), mine.stop
    return views
