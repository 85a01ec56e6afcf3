"""What every objective has: views that it needs, a loss of two terms, the data it learns from, settings."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import ClassVar

import torch

from adapters.bounds import Settings, setting
from adapters.data.forget.lessons import ForgetContext, Lesson, refusals_in_phrasings
from adapters.objectives.view import View

FORGET = "forget"  # the answers to be forgotten
REFUSAL = "refusal"  # a refusal for each of the same forget prompts, in the same order
INVERTED = "inverted"  # answers that contradict those to be forgotten, to the same prompts
TAUGHT = "taught"  # answers that give the fact away from the side; a teacher says what to say instead
CHOICE = "choice"  # answers of the same kind to one prompt, in groups one after another, the true one first in each
RETAIN = "retain"  # examples whose answers stay

# which tokens of an answer a loss is taken on: those that state its fact, or all
TOKENS = (FACT, ANSWER) = ("fact", "answer")

# (lowest, highest), both allowed
WEIGHT = (0.0, 100.0)
BETA = (1e-3, 100.0)
GAMMA = (0.0, 100.0)  # nats
MIX = (0.0, 1.0)

#: A layer's change, W0 + B A: (W0 [out, in], A [rank, in], B [out, rank]). W0 is frozen.
WeightChange = tuple[torch.Tensor, torch.Tensor, torch.Tensor]


@dataclass(frozen=True, slots=True)
class ObjectiveLoss:
    """The two scalar terms of one step, in nats, already weighted."""

    forget: torch.Tensor
    retain: torch.Tensor

    @property
    def total(self) -> torch.Tensor:
        """Scalar to minimise."""
        return self.forget + self.retain


@dataclass(frozen=True)
class Objective(Settings, ABC):
    """One training objective: a frozen dataclass whose fields are its settings."""

    name: ClassVar[str]
    #: Views that a step may be without, and that count nothing then.
    sparse: ClassVar[frozenset[str]] = frozenset()

    @property
    @abstractmethod
    def views(self) -> frozenset[str]:
        """Names of the views that `loss` needs with these settings."""

    @abstractmethod
    def loss(self, views: Mapping[str, View]) -> ObjectiveLoss:
        """Raises `KeyError` when a needed view is missing that is not `sparse`."""

    def examples(self, context: ForgetContext) -> list[Lesson]:
        """What the views of forget prompts are made of: refusals, in several phrasings, where an objective brings no
        data of its own.

        Raises `InvalidExample` for items it cannot learn from, and `TrainingCancelled`.
        """
        return refusals_in_phrasings(context)

    def penalty(self, changes: Mapping[str, WeightChange], generator: torch.Generator) -> torch.Tensor | None:  # noqa: ARG002
        """Scalar, already weighted, that a step adds for the change of the weights; None for an objective without such.

        changes: by layer name; gradients reach A and B. generator: whatever is drawn comes from it, so that a seed
        decides the run.
        """
        return None


@dataclass(frozen=True)
class RetainingObjective(Objective):
    """An objective with the two usual terms on what is retained."""

    retain_ce: float = setting(1.0, "weight of the cross-entropy on retained answers", WEIGHT)
    retain_kl: float = setting(0.0, "weight of KL(original || trained) on retained answers", WEIGHT)

    def needed(self, *own: str) -> frozenset[str]:
        """The views the objective names as its `own`, and the retain view where a term has weight."""
        return needed(*own, retain=self.retain_ce + self.retain_kl)

    def retained(self, views: Mapping[str, View]) -> torch.Tensor:
        """Scalar, nats: both terms. Raises `KeyError` where one has weight and the view is missing."""
        return retain_term(views.get(RETAIN), self.retain_ce, self.retain_kl)


def weighs_changes(objective: Objective) -> bool:
    """Whether it has a term on the change of the weights."""
    return objective.penalty({}, torch.Generator()) is not None


def drawn_penalty(
    objective: Objective, changes: Mapping[str, WeightChange], generator: torch.Generator
) -> Callable[[ObjectiveLoss], ObjectiveLoss]:
    """What adds the objective's term on the weights, where it has one, to a step's losses, with what is to stay.

    Called again, for a step that is taken again, it draws the same as before.
    """
    start = generator.get_state()

    def penalised(losses: ObjectiveLoss) -> ObjectiveLoss:
        generator.set_state(start)
        penalty = objective.penalty(changes, generator)
        return losses if penalty is None else ObjectiveLoss(losses.forget, losses.retain + penalty)

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
