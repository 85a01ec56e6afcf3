"""What a strength does on the held-out part, and which one to serve with."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F

from adapters.errors import TrainingDiverged
from adapters.models.frozen import Batch, PromptedModel
from adapters.models.tokens import TokenizedExample
from adapters.objectives.terms.reduction import mean_over_examples
from adapters.training.held_out import Score, Split

_CHUNK = 16
#: How near to the lowest share of the forget answers' probability another share counts as low as it.
_NEXT_TO = 0.02


def choose(effects: Mapping[float, Score], *, forget_limit: float, kl_limit: float) -> float:
    """The smallest strength that forgets enough, of those whose KL is within `kl_limit`.

    Enough is a share of at most `forget_limit`, or, where none comes down to it, one next to the lowest there is.
    Raises `TrainingDiverged` when no strength is within `kl_limit`.
    """
    within = {strength: effect.loss for strength, effect in effects.items() if effect.kl <= kl_limit}
    if not within:
        raise TrainingDiverged(f"the held-out KL was above kl_limit ({kl_limit:g}) at every strength")
    enough = max(forget_limit, min(within.values()) + _NEXT_TO)
    return min(strength for strength, share in within.items() if share <= enough)


def divergence(target: torch.Tensor, combined: torch.Tensor) -> torch.Tensor:
    """[positions], nats: KL(target || combined) of logits [positions, vocabulary].

    That is infinite where a token is masked; such a row gets KL(combined || target), which is -ln of the target's
    probability of what is left when the rest is as it was.
    """
    log_target, log_combined = F.log_softmax(target.float(), dim=-1), F.log_softmax(combined.float(), dim=-1)
    masked = log_combined.isneginf()
    gone = masked.any(-1)
    difference = (log_target - log_combined).masked_fill(masked, 0.0)
    backward = -(log_combined.exp() * difference).sum(-1)
    return torch.where(gone, backward, (log_target.exp() * difference).sum(-1))


@dataclass(frozen=True, slots=True)
class _Chunk:
    examples: Sequence[TokenizedExample]
    batch: Batch
    states: torch.Tensor  # the target's, [positions, hidden]: its head turns them into logits again


class Effects:
    """Measures strengths on the held-out part. The target is run once, on construction.

    The loss of a score is the combined model's probability of the forget answers' tokens, each after those before it,
    summed over all of them, as a share of the target's. Probabilities and not their logarithms, for a token that the
    rank form masks would count for all others, and one that the target never says would count as forgotten.
    """

    def __init__(self, target: PromptedModel, parts: Split, shared: int) -> None:
        self._target = target
        self._shared = shared
        self._forget = self._chunks([example.original for example in parts.held_forget])
        self._retain = self._chunks(parts.held_retain)

    def measure(
        self,
        small_states: Callable[[Sequence[TokenizedExample], int], torch.Tensor],
        combine: Callable[[torch.Tensor, torch.Tensor, float], torch.Tensor],
        strengths: Iterable[float],
    ) -> dict[float, Score]:
        """The score of each strength.

        small_states: what the small models make of examples that share so many tokens, [positions, …]. combine:
        (target's states, that, strength) → combined logits [positions, vocabulary].
        """
        strengths = list(strengths)
        said = dict.fromkeys(strengths, 0.0)
        moved = dict.fromkeys(strengths, 0.0)
        known, examples = 0.0, 0
        with torch.no_grad():
            for chunk in self._forget:
                small = small_states(chunk.examples, self._shared)
                known += _said(self._target.logits(chunk.states), chunk.batch)
                for strength in strengths:
                    said[strength] += _said(combine(chunk.states, small, strength), chunk.batch)
            for chunk in self._retain:
                small, count = small_states(chunk.examples, self._shared), len(chunk.examples)
                logits = self._target.logits(chunk.states)
                examples += count
                for strength in strengths:
                    kl = divergence(logits, combine(chunk.states, small, strength))
                    moved[strength] += float(mean_over_examples(kl, chunk.batch.rows, count)) * count
        return {strength: Score(said[strength] / known, moved[strength] / examples) for strength in strengths}

    def _chunks(self, examples: Sequence[TokenizedExample]) -> list[_Chunk]:
        chunks = []
        with torch.no_grad():
            for start in range(0, len(examples), _CHUNK):
                part = examples[start : start + _CHUNK]
                states = torch.cat(self._target.original_states(part, self._shared))
                chunks.append(_Chunk(part, self._target.collate(part, self._shared), states))
        return chunks


def _said(logits: torch.Tensor, batch: Batch) -> float:
    """Sum of the probabilities of the batch's answer tokens."""
    return float(F.softmax(logits.float(), dim=-1).gather(-1, batch.targets[:, None]).sum())
