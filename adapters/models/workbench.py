"""What all candidates of one job work with: the device, the target, which is loaded once, and what it was asked.

Importing this is cheap: torch is imported on first use.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from adapters.artifact.artifact import Artifact
from adapters.artifact.checkpoint import CheckpointWeights
from adapters.artifact.spec import PairSpec
from adapters.errors import OutOfMemory
from adapters.examples import Message
from adapters.task import Method, TrainingTask

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

    from adapters.evaluation.attacks.probe import Query, Respond
    from adapters.models.frozen import PromptedModel
    from adapters.models.hardware import Hardware

#: Bytes for what is beside the weights: activations, states, the trained part and its optimiser.
WORKING_ROOM = 2**30
_GIB = 2**30

Asked = tuple[tuple[Message, ...], int]


class Workbench:
    """One job's device, tokenizer and frozen target.

    The target is loaded when it is first needed: the whole of it where it fits the device, otherwise its first layers,
    of which the pair is made, and the others are read as they are run. It is loaded once: `keeps_target` says before
    each candidate whether another one follows that will want it.
    """

    def __init__(self, model_path: Path, device: str | Hardware = "cpu") -> None:
        """model_path: the target's checkpoint. device: a name of `adapters.models.hardware`, or chosen hardware."""
        self.model_path = model_path
        self.keeps_target = False
        self._device = device
        self._pair: PairSpec | None = None
        self._tokenizer: PreTrainedTokenizerBase | None = None
        self._target: PromptedModel | None = None
        self._answers: dict[Asked, str] = {}
        self._continuations: dict[tuple[tuple[str, ...], int], list[str]] = {}
        self._responses: dict[Query, tuple[str, ...]] = {}

    @classmethod
    def of(cls, task: TrainingTask) -> Workbench:
        """The task's own, or one on the CPU for this task alone."""
        bench = task.workbench or cls(task.model_path)
        bench._pair = None if task.pair is None else task.pair
        return bench

    def train(self, method: Method, task: TrainingTask) -> Artifact:
        """What the method learns with this workbench. Raises `OutOfMemory`, and what the method's `train` raises."""
        try:
            return method.train(replace(task, workbench=self))
        except RuntimeError as error:
            # Torch is imported by whatever ran out of memory on a card; importing it here would cost others seconds.
            if type(error).__name__ != "OutOfMemoryError":
                raise
            said = str(error)
        from adapters.models.micro_batches import out_of_memory

        raise out_of_memory(said, self.hardware.device, "what is learned with, before any step")

    @property
    def hardware(self) -> Hardware:
        """Chosen on first use; `auto` is a card only with room for the least that a job needs. Raises
        `HardwareUnavailable`."""
        from adapters.models.hardware import Hardware

        if isinstance(self._device, str):
            weights = CheckpointWeights.of(self.model_path)
            least = weights.total if self._pair is None else weights.first(self._pair.layers)
            self._device = Hardware.named(self._device, needed=least + WORKING_ROOM)
        return self._device

    @property
    def tokenizer(self) -> PreTrainedTokenizerBase:
        """Loaded on first use. Raises `InvalidConfig` where the model has none that will do."""
        from adapters.models.tokens import load_tokenizer

        if self._tokenizer is None:
            self._tokenizer = load_tokenizer(str(self.model_path))
        return self._tokenizer

    @property
    def target(self) -> PromptedModel:
        """To be run forward. Raises `HardwareUnavailable`."""
        from adapters.models.frozen import PromptedModel

        if self._target is None:
            layers = None if self._pair is None or self._fits() else self._pair.layers
            self._target = PromptedModel.load(self.model_path, self.hardware, resident_layers=layers)
        return self._target

    @property
    def whole_target(self) -> PromptedModel:
        """For gradients to cross. Raises `OutOfMemory` where it does not fit the device."""
        if self.target.is_streamed:
            needed = self._bytes() + WORKING_ROOM
            raise OutOfMemory(
                f"{self.hardware.device} has too little memory to train through the whole model, which takes "
                f"{needed / _GIB:.1f} GiB. What helps: a method that trains a pair (delta), or more room on the device"
            )
        return self.target

    def done_reading(self, *trained: PromptedModel) -> None:
        """The target is not run again for this candidate: its layers are given up unless another candidate follows.

        trained: what was made of some of them.
        """
        if self._target is not None and not self.keeps_target:
            self._target.release_layers(trained)

    def answered(
        self, conversations: Sequence[Sequence[Message]], max_tokens: int, ask: Callable[[list[int]], list[str]]
    ) -> list[str]:
        """The original model's answers, those that another candidate has asked for among them.

        ask: positions of conversations → their answers, for those that nobody has asked for.
        """
        keys: list[Asked] = [(tuple(messages), max_tokens) for messages in conversations]
        new = [position for position, key in enumerate(keys) if key not in self._answers]
        if new:
            said = ask(new)
            self._answers |= {keys[position]: answer for position, answer in zip(new, said, strict=True)}
        return [self._answers[key] for key in keys]

    def continued(self, texts: Sequence[str], seed: int, go_on: Callable[[], list[str]]) -> list[str]:
        """How the original model goes on with these texts, sampled by this seed: once for all candidates."""
        key = (tuple(texts), seed)
        if key not in self._continuations:
            self._continuations[key] = go_on()
        return self._continuations[key]

    def responded(self, queries: Sequence[Query], respond: Respond) -> list[tuple[str, ...]]:
        """What the original model answers to each query: once for all candidates and all rounds of one."""
        new = [query for query in dict.fromkeys(queries) if query not in self._responses]
        if new:
            self._responses |= zip(new, respond(new), strict=True)
        return [self._responses[query] for query in queries]

    def _fits(self) -> bool:
        free = self.hardware.free
        return free is None or self._bytes() + WORKING_ROOM <= free

    def _bytes(self) -> int:
        """Of the whole target in the format it is computed in."""
        import torch

        stored = CheckpointWeights.of(self.model_path)
        widened = stored.is_bfloat16 and self.hardware.compute_dtype(torch.bfloat16) is torch.float32
        return stored.total * (2 if widened else 1)
