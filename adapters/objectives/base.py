"""What every objective has: views it needs, a loss of two terms, a config it checks itself."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import ClassVar, Protocol, runtime_checkable

import torch

from adapters.objectives.view import View

FORGET = "forget"  # the answers to be forgotten
REFUSAL = "refusal"  # a refusal for each of the same forget prompts, in the same order
INVERTED = "inverted"  # answers that contradict those to be forgotten, to the same prompts
RETAIN = "retain"  # examples whose answers stay

# which tokens of an answer a loss is taken on: those that state its fact, or all
TOKENS = (FACT, ANSWER) = ("fact", "answer")

# (lowest, highest), both allowed
WEIGHT = (0.0, 100.0)
BETA = (1e-3, 100.0)
GAMMA = (0.0, 100.0)  # nats
MIX = (0.0, 1.0)


@dataclass(frozen=True, slots=True)
class ObjectiveLoss:
    """The two scalar terms of one step, in nats, already weighted."""

    forget: torch.Tensor
    retain: torch.Tensor

    @property
    def total(self) -> torch.Tensor:
        """Scalar to minimise."""
        return self.forget + self.retain


class Objective(Protocol):
    """One training objective, which is its own settings."""

    name: ClassVar[str]

    @property
    def views(self) -> frozenset[str]:
        """Names of the views that `loss` needs with these settings."""
        ...

    def loss(self, views: Mapping[str, View]) -> ObjectiveLoss:
        """Raises `KeyError` when a needed view is missing."""
        ...


#: A layer's change, W0 + B A: (W0 [out, in], A [rank, in], B [out, rank]). W0 is frozen.
WeightChange = tuple[torch.Tensor, torch.Tensor, torch.Tensor]


@runtime_checkable
class WeightPenalty(Protocol):
    """An objective that also has a term on the weights themselves, where those are the target's own."""

    def penalty(self, changes: Mapping[str, WeightChange], generator: torch.Generator) -> torch.Tensor:
        """Scalar, already weighted, added to the loss of a step; gradients reach A and B.

        changes: by layer name. generator: whatever is drawn comes from it, so that a seed decides the run.
        """
        ...


def drawn_penalty(
    objective: Objective, changes: Mapping[str, WeightChange], generator: torch.Generator
) -> Callable[[ObjectiveLoss], ObjectiveLoss]:
    """What adds the objective's term on the weights, where it has one, to a step's losses, with what is to stay.

    Called again, for a step that is taken again, it draws the same as before.
    """
    if not isinstance(objective, WeightPenalty):
        return lambda losses: losses
    start = generator.get_state()

    def penalised(losses: ObjectiveLoss) -> ObjectiveLoss:
        generator.set_state(start)
        return ObjectiveLoss(losses.forget, losses.retain + objective.penalty(changes, generator))

    return penalised


def needed(*own: str, retain: float) -> frozenset[str]:
    """The views an objective names as its `own`, and the retain view if its weights sum to more than 0."""
    return frozenset((*own, RETAIN) if retain > 0 else own)


def retain_term(view: View | None, ce_weight: float, kl_weight: float) -> torch.Tensor:
    """Scalar, nats: ce_weight * CE(retain answers) + kl_weight * KL(original || trained).

    A term of weight 0 is not computed, and with both 0 `view` may be None. Raises `KeyError` when it may not.
    """
    if view is None:
        if ce_weight or kl_weight:
            raise KeyError(RETAIN)
        return torch.zeros(())  # a scalar of the CPU goes with those of any device
    term = view.logits.new_zeros((), dtype=torch.float32)
    if ce_weight:
        term = term + ce_weight * view.cross_entropy()
    if kl_weight:
        term = term + kl_weight * view.kl()
    return term
