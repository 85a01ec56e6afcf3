"""What an unlearning method is, and what it is asked to do."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from adapters.artifact.artifact import Artifact
from adapters.artifact.footprint import Footprint
from adapters.artifact.spec import PairSpec
from adapters.errors import TrainingCancelled
from adapters.examples import Example, Message
from adapters.progress import Progress
from adapters.text.phrasebook import Phrasebook, phrasebook, phrasebook_for

if TYPE_CHECKING:
    from adapters.evaluation.attacks.probe import Respond
    from adapters.evaluation.attacks.run import Result
    from adapters.models.workbench import Workbench


class Ask(Protocol):
    """The original model's greedy answers, one a conversation, in order."""

    def __call__(self, conversations: Sequence[Sequence[Message]], *, max_tokens: int) -> list[str]: ...


class GoOn(Protocol):
    """How the original model goes on with each plain text, in order, sampled from its `top_k` likeliest tokens.

    The same seed samples the same.
    """

    def __call__(
        self, texts: Sequence[str], *, max_tokens: int, temperature: float, top_k: int, seed: int
    ) -> list[str]: ...


@dataclass(frozen=True)
class TrainingTask:
    """One training run.

    `retain` None: the method makes a retain set itself. `ask` None: it answers the questions of that set
    with the model it has loaded; otherwise `ask` is put to use, which is faster where a server runs. `go_on`: the same
    for texts that are to be continued. `respond`: the same for any prompt, as attacks make them.
    `pair`: the pair the engine offers, None without one.
    `inverted`: answers that contradict the forget items', by the items' positions, for an objective that learns such.
    For other items they are asked for: of `inverter`, another model, or where that is None of the model itself.
    `model_digest`: the checkpoint's, where the caller knows it already; None: it is hashed for the artifact.
    `workbench`: what the candidates of a job share, and what they train on; None: the run has its own, on the CPU.
    `language`: that of the texts which are put around the items' own, as `adapters.text.phrasebook` has it; None: that
    of the items.
    `start`: what an earlier round has learned, from which this one goes on. `leaks`: what has still come out of that.
    `report` is called often (throttle it in the caller); `cancelled` is polled at every step.
    """

    model_path: Path
    forget: tuple[Example, ...]
    retain: tuple[Example, ...] | None
    config: Any
    report: Callable[[Progress], None]
    cancelled: Callable[[], bool]
    ask: Ask | None = None
    pair: PairSpec | None = None
    inverted: Mapping[int, tuple[str, ...]] = field(default_factory=dict)
    inverter: Ask | None = None
    model_digest: str | None = None
    workbench: Workbench | None = None
    go_on: GoOn | None = None
    language: str | None = None
    respond: Respond | None = None
    start: Artifact | None = None
    leaks: tuple[Result, ...] = ()

    @property
    def phrasebook(self) -> Phrasebook:
        """What the package itself says in the items' language."""
        if self.language is not None:
            return phrasebook(self.language)
        return phrasebook_for(text for item in self.forget for text in (item.prompt, item.completion))

    def check_cancelled(self) -> None:
        """Raises `TrainingCancelled` once the caller wants the run to stop."""
        if self.cancelled():
            raise TrainingCancelled("training was cancelled")


class Method(Protocol):
    """One way to forget: how its settings look, how it trains, what room its adapter takes."""

    @property
    def name(self) -> str: ...

    @property
    def config_type(self) -> type[Any]: ...

    def footprint(self, config: Any) -> Footprint:
        """The room that the adapter will take in the engine."""
        ...

    def needs_own_reference(self, config: Any) -> bool:
        """Whether the adapter has a half on the pair's reference, which then must take one."""
        ...

    def train(self, task: TrainingTask) -> Artifact:
        """Raises `InvalidExample`, `TrainingDiverged` or `TrainingCancelled`."""
        ...
