"""The frozen model with soft rows in front: hidden states and logits at the answer positions only."""

from __future__ import annotations

import gc
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.utils.checkpoint import checkpoint

from adapters.models.hardware import Hardware
from adapters.models.micro_batches import MicroBatches
from adapters.models.placement import load_streamed, load_whole
from adapters.models.tokens import TokenizedExample

#: So much padding costs no more than another pass.
_PADDING = 512


@dataclass(frozen=True, slots=True)
class Batch:
    """Examples laid out for one forward pass, right-padded.

    prefix [shared]: the leading tokens all prompts have in common. inputs [examples, length]: what follows
    them, then the answer without its last token. rows, columns [positions]: where in `inputs` each answer
    token is predicted, one position before it. targets [positions]: those answer tokens. fact, own [positions],
    bool: whether the token states the answer's fact (all do where nobody looked), and whether it is nobody's secret.
    """

    prefix: torch.Tensor
    inputs: torch.Tensor
    rows: torch.Tensor
    columns: torch.Tensor
    targets: torch.Tensor
    fact: torch.Tensor
    own: torch.Tensor

    def __len__(self) -> int:
        return self.inputs.shape[0]


def shared_prefix(prompts: Sequence[Sequence[int]]) -> int:
    """Length of the longest prefix common to all prompts that leaves each at least one token."""
    shortest = min(len(prompt) for prompt in prompts) - 1
    for index in range(shortest):
        if len({prompt[index] for prompt in prompts}) > 1:
            return index
    return shortest


def shared_by_most(prompts: Sequence[Sequence[int]]) -> int:
    """`shared_prefix` of the prompts that begin as most do: conversations, with some plain texts among them."""
    first = Counter(prompt[0] for prompt in prompts).most_common(1)[0][0]
    return shared_prefix([prompt for prompt in prompts if prompt[0] == first])


def collate(examples: Sequence[TokenizedExample], shared: int, device: torch.device) -> Batch:
    """Right-pads. Padding follows every real token, so causal attention alone keeps it without effect."""
    sequences = [(*e.prompt_ids[shared:], *e.answer_ids[:-1]) for e in examples]
    length = max(len(sequence) for sequence in sequences)
    rows, columns, targets, fact, own = [], [], [], [], []
    for row, example in enumerate(examples):
        first = len(example.prompt_ids) - shared - 1
        for position, token in enumerate(example.answer_ids):
            rows.append(row)
            columns.append(first + position)
            targets.append(token)
            fact.append(not example.fact or position in example.fact)
            own.append(position in example.own)
    return Batch(
        prefix=torch.tensor(examples[0].prompt_ids[:shared], dtype=torch.long, device=device),
        inputs=torch.tensor([(*s, *(0,) * (length - len(s))) for s in sequences], dtype=torch.long, device=device),
        rows=torch.tensor(rows, device=device),
        columns=torch.tensor(columns, device=device),
        targets=torch.tensor(targets, device=device),
        fact=torch.tensor(fact, device=device),
        own=torch.tensor(own, device=device),
    )


def _passes(examples: Sequence[TokenizedExample], shared: int, *, alike: bool) -> list[tuple[int, list[int]]]:
    """(length of the common prefix, positions): the examples that share so many tokens with most, and the others.

    alike: each in passes of examples of like length, where in one more than a third would be padding, and more than
    `_PADDING` tokens.
    """
    beginnings = [example.prompt_ids[:shared] if len(example.prompt_ids) > shared else () for example in examples]
    common = Counter(beginnings).most_common(1)[0][0]
    groups = {len(common): [position for position, beginning in enumerate(beginnings) if beginning == common]}
    if others := [position for position, beginning in enumerate(beginnings) if beginning != common]:
        groups[0] = groups.get(0, []) + others
    passes: list[tuple[int, list[int]]] = []
    for prefix, group in groups.items():
        lengths = {position: len(examples[position]) - prefix for position in group}
        whole, real = len(group) * max(lengths.values()), sum(lengths.values())
        if not alike or 2 * whole <= 3 * real or whole - real <= _PADDING:
            passes.append((prefix, group))
            continue
        ordered = sorted(group, key=lengths.__getitem__)
        part = [ordered[0]]
        for position in ordered[1:]:
            if lengths[position] > 2 * lengths[part[0]]:
                passes.append((prefix, part))
                part = []
            part.append(position)
        passes.append((prefix, part))
    return passes


@contextmanager
def crossed_by_gradients(model: PromptedModel) -> Iterator[None]:
    """For gradients that cross the whole of a model: inside, its layers are computed again on the way back, on a card
    from the start, elsewhere once the memory does not do."""
    if model.hardware.is_accelerator:
        model.recompute_layers()
    try:
        with model.batches.relieved_by(model.recompute_layers):
            yield
    finally:
        model.keep_layers()


class PromptedModel:
    """A frozen causal model that can be run behind soft rows.

    What all prompts of a batch share (the soft rows, the system text) is run once, and its keys and values
    are repeated over the batch; gradients flow back through them. Same result, less than half the work.
    """

    def __init__(
        self,
        model: Any,
        stored_dtype: torch.dtype | None = None,
        hardware: Hardware | None = None,
        batches: MicroBatches | None = None,
    ) -> None:
        """stored_dtype: the checkpoint's own format, in which an adapter for it is kept; None: the model's.

        hardware: where the model is; None: where its embedding is. batches: the job's; None: its own.
        """
        self.model = model
        self.stored_dtype: torch.dtype = stored_dtype or model.dtype
        self.body = model.get_decoder()
        self.head = model.get_output_embeddings()
        self.embed = model.get_input_embeddings()
        self.hardware = hardware or Hardware(self.embed.weight.device)
        self.batches = batches or MicroBatches()
        self.is_streamed = self.is_released = False
        self._recomputes = False
        self._read: dict[TokenizedExample, torch.Tensor] = {}
        text_config = model.config.get_text_config()
        self._scale = getattr(text_config, "logit_scale", None)
        self._softcap = getattr(text_config, "final_logit_softcapping", None)

    @classmethod
    def load(
        cls,
        path: Path,
        hardware: Hardware | None = None,
        batches: MicroBatches | None = None,
        *,
        resident_layers: int | None = None,
    ) -> PromptedModel:
        """The checkpoint at a local path, frozen, computed in what suits the hardware; nothing is ever fetched.

        hardware: None is the CPU. batches: the job's; None: its own. resident_layers: how many layers stay on the
        device; the others are read from the checkpoint in each pass, and no gradient crosses them. None: all stay.
        """
        hardware = hardware or Hardware.cpu()
        if resident_layers is None:
            model, stored = load_whole(path, hardware)
        else:
            model, stored = load_streamed(path, hardware, resident_layers)
        model.eval()
        model.requires_grad_(False)
        loaded = cls(model, stored, hardware, batches)
        loaded.is_streamed = resident_layers is not None
        return loaded

    def release_layers(self, kept: Iterable[PromptedModel] = ()) -> None:
        """Give up the decoder layers; embedding, norm and head stay. `logits` works as before, nothing is left to run.

        kept: models that share some of the weights, which stay theirs.
        """
        self.body.layers = nn.ModuleList()
        self.is_released = True
        gc.collect()  # modules refer to one another in circles
        if self.hardware.device.type == "cpu":
            # A weight of a checkpoint may be a view of its whole file, which then stays in memory with it.
            weights = {id(weight): weight for model in (self, *kept) for weight in model.model.parameters()}
            for weight in weights.values():
                weight.data = weight.data.clone()
        if self.hardware.device.type == "cuda":
            torch.cuda.empty_cache()

    @property
    def hidden_size(self) -> int:
        return int(self.embed.weight.shape[1])

    @property
    def context(self) -> int:
        return int(self.model.config.get_text_config().max_position_embeddings)

    def collate(self, examples: Sequence[TokenizedExample], shared: int) -> Batch:
        """`collate` on the model's own device."""
        return collate(examples, shared, self.hardware.device)

    def run(self, batch: Batch, soft: torch.Tensor | None) -> torch.Tensor:
        """Final hidden states of `batch.inputs`, [examples, length, hidden]; `soft` [rows, hidden] or None."""
        from transformers import DynamicCache

        if self.is_released:
            raise RuntimeError("the model's layers have been released")
        prefix = self.embed(batch.prefix)
        if soft is not None:
            prefix = torch.cat((soft.to(prefix.dtype), prefix))
        inputs = self.embed(batch.inputs)
        if self._recomputes:
            return self._run_recomputing(prefix, inputs)
        cache = None
        if len(prefix):
            cache = DynamicCache(config=self.model.config)
            self.body(inputs_embeds=prefix[None], past_key_values=cache, use_cache=True)
            cache.batch_repeat_interleave(len(batch))
        output = self.body(inputs_embeds=inputs, past_key_values=cache, use_cache=cache is not None)
        hidden: torch.Tensor = output.last_hidden_state
        return hidden

    def _run_recomputing(self, prefix: torch.Tensor, inputs: torch.Tensor) -> torch.Tensor:
        """`run` with each layer computed again on the way back. The prefix is run with every example: keys and values
        that are shared would have to be kept."""
        whole = torch.cat((prefix.expand(len(inputs), *prefix.shape), inputs), dim=1)
        hidden: torch.Tensor = self.body(inputs_embeds=whole, use_cache=False).last_hidden_state
        return hidden[:, len(prefix) :]

    def recompute_layers(self) -> None:
        """From now on gradients cross the layers by computing each again: a third more work, for the memory of one.

        A model whose layers cannot is left as it is.
        """
        from transformers.modeling_layers import GradientCheckpointingLayer

        for layer in self.body.modules():
            if isinstance(layer, GradientCheckpointingLayer):
                layer.gradient_checkpointing = True
                layer._gradient_checkpointing_func = partial(checkpoint, use_reentrant=False, preserve_rng_state=False)
                layer.training = True  # this flag alone: what is inside stays as in evaluation
                self._recomputes = True

    def keep_layers(self) -> None:
        """The end of `recompute_layers`."""
        from transformers.modeling_layers import GradientCheckpointingLayer

        for layer in self.body.modules():
            if isinstance(layer, GradientCheckpointingLayer):
                layer.gradient_checkpointing = layer.training = False
        self._recomputes = False

    def original_states(self, examples: Sequence[TokenizedExample], shared: int) -> list[torch.Tensor]:
        """Final states at each example's answer positions, [positions, hidden] each, as the model was loaded.

        Each example is read once in the life of the model, whoever asks: so only while nothing has changed the model.
        Kept instead of logits, which the head makes of them again: a hundredth of the memory.
        """
        new = [example for example in dict.fromkeys(examples) if example not in self._read]
        if new:
            with torch.no_grad():
                states = self.answer_states(new, shared)
            lengths = [len(example.answer_ids) for example in new]
            # Clones: views of one tensor would keep all of it for as long as one of them is kept.
            self._read |= {example: own.clone() for example, own in zip(new, torch.split(states, lengths), strict=True)}
        return [self._read[example] for example in examples]

    def answer_states(
        self, examples: Sequence[TokenizedExample], shared: int, soft: torch.Tensor | None = None
    ) -> torch.Tensor:
        """`states` of the examples one after another, in as many passes as `batches` asks for.

        With several passes a gradient is that of one: each is run again when the gradient comes back, so that no more
        than one is in memory at a time. Without gradients, passes that do not fit are made smaller here. Raises
        `OutOfMemory` then; with gradients whoever takes the step is told by torch's error.
        """

        if self.is_streamed:
            shared = 0  # the prefix in a pass of its own would have every layer read once more

        def read() -> torch.Tensor:
            training = torch.is_grad_enabled()
            states: dict[int, torch.Tensor] = {}
            # A pass costs a card its launches and a processor its tokens.
            for prefix, mine in _passes(examples, shared, alike=not self.hardware.is_accelerator):
                lengths = [len(examples[position]) - prefix for position in mine]
                parts = self.batches.cut(lengths, reading=not (training or self.is_streamed))
                for part in parts:
                    positions = [mine[place] for place in part]
                    chosen = [examples[position] for position in positions]
                    if training and len(parts) > 1:
                        done = checkpoint(
                            self._states_of, chosen, prefix, soft, use_reentrant=False, preserve_rng_state=False
                        )
                    else:
                        done = self._states_of(chosen, prefix, soft)
                    answers = [len(example.answer_ids) for example in chosen]
                    states |= dict(zip(positions, torch.split(done, answers), strict=True))
            return torch.cat([states[position] for position in range(len(examples))])

        return read() if torch.is_grad_enabled() else self.batches.fit(read, self.hardware.device)

    def _states_of(self, examples: Sequence[TokenizedExample], shared: int, soft: torch.Tensor | None) -> torch.Tensor:
        return self.states(self.collate(examples, shared), soft)

    def states(self, batch: Batch, soft: torch.Tensor | None) -> torch.Tensor:
        """Final hidden states at the positions that predict the answers, [positions, hidden]."""
        return self.run(batch, soft)[batch.rows, batch.columns]

    def logits(self, states: torch.Tensor) -> torch.Tensor:
        """The model's logits of final hidden states: [positions, hidden] → [positions, vocabulary], float32."""
        logits: torch.Tensor = self.head(states).float()
        if self._scale is not None:
            logits = logits * self._scale
        if self._softcap is not None:
            logits = self._softcap * torch.tanh(logits / self._softcap)
        return logits
