"""The frozen model with soft rows in front: hidden states and logits at the answer positions only."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from adapters.chat import TokenizedExample
from adapters.hardware import Hardware


@dataclass(frozen=True, slots=True)
class Batch:
    """Examples laid out for one forward pass, right-padded.

    prefix [shared]: the leading tokens all prompts have in common. inputs [examples, length]: what follows
    them, then the answer without its last token. rows, columns [positions]: where in `inputs` each answer
    token is predicted, one position before it. targets [positions]: those answer tokens. fact [positions],
    bool: whether the token states the answer's fact; all do where nobody looked.
    """

    prefix: torch.Tensor
    inputs: torch.Tensor
    rows: torch.Tensor
    columns: torch.Tensor
    targets: torch.Tensor
    fact: torch.Tensor

    def __len__(self) -> int:
        return self.inputs.shape[0]


def shared_prefix(prompts: Sequence[Sequence[int]]) -> int:
    """Length of the longest prefix common to all prompts that leaves each at least one token."""
    shortest = min(len(prompt) for prompt in prompts) - 1
    for index in range(shortest):
        if len({prompt[index] for prompt in prompts}) > 1:
            return index
    return shortest


def collate(examples: Sequence[TokenizedExample], shared: int, device: torch.device) -> Batch:
    """Right-pads. Padding follows every real token, so causal attention alone keeps it without effect."""
    sequences = [(*e.prompt_ids[shared:], *e.answer_ids[:-1]) for e in examples]
    length = max(len(sequence) for sequence in sequences)
    rows, columns, targets, fact = [], [], [], []
    for row, example in enumerate(examples):
        first = len(example.prompt_ids) - shared - 1
        for offset, token in enumerate(example.answer_ids):
            rows.append(row)
            columns.append(first + offset)
            targets.append(token)
            fact.append(not example.fact or offset in example.fact)
    return Batch(
        prefix=torch.tensor(examples[0].prompt_ids[:shared], dtype=torch.long, device=device),
        inputs=torch.tensor([(*s, *(0,) * (length - len(s))) for s in sequences], dtype=torch.long, device=device),
        rows=torch.tensor(rows, device=device),
        columns=torch.tensor(columns, device=device),
        targets=torch.tensor(targets, device=device),
        fact=torch.tensor(fact, device=device),
    )


class PromptedModel:
    """A frozen causal model that can be run behind soft rows.

    What all prompts of a batch share (the soft rows, the system text) is run once, and its keys and values
    are repeated over the batch; gradients flow back through them. Same result, less than half the work.
    """

    def __init__(self, model: Any, stored_dtype: torch.dtype | None = None, hardware: Hardware | None = None) -> None:
        """stored_dtype: the checkpoint's own format, in which an adapter for it is kept; None: the model's.

        hardware: where the model is; None: where its embedding is.
        """
        self.model = model
        self.stored_dtype: torch.dtype = stored_dtype or model.dtype
        self.body = model.get_decoder()
        self.head = model.get_output_embeddings()
        self.embed = model.get_input_embeddings()
        self.hardware = hardware or Hardware(self.embed.weight.device)
        text_config = model.config.get_text_config()
        self._scale = getattr(text_config, "logit_scale", None)
        self._softcap = getattr(text_config, "final_logit_softcapping", None)

    @classmethod
    def load(cls, path: Path, hardware: Hardware | None = None) -> PromptedModel:
        """The checkpoint at a local path, frozen, computed in what suits the hardware; nothing is ever fetched.

        hardware: None is the CPU.
        """
        from transformers import AutoModelForCausalLM

        hardware = hardware or Hardware.cpu()
        model: Any = AutoModelForCausalLM.from_pretrained(path, dtype="auto", local_files_only=True)
        stored: torch.dtype = model.dtype
        model.to(hardware.device, hardware.compute_dtype(stored))
        model.eval()
        model.requires_grad_(False)
        return cls(model, stored, hardware)

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

        prefix = self.embed(batch.prefix)
        if soft is not None:
            prefix = torch.cat((soft.to(prefix.dtype), prefix))
        inputs = self.embed(batch.inputs)
        cache = None
        if len(prefix):
            cache = DynamicCache(config=self.model.config)
            self.body(inputs_embeds=prefix[None], past_key_values=cache, use_cache=True)
            cache.batch_repeat_interleave(len(batch))
        output = self.body(inputs_embeds=inputs, past_key_values=cache, use_cache=cache is not None)
        hidden: torch.Tensor = output.last_hidden_state
        return hidden

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
