"""A model with an adapter, computed as the engine computes it, in plain transformers, on any device.

A soft prompt stands in front of everything; a LoRA on the target changes a copy of it. An offset is the difference of
the pair's two stacks, read by the head and added to the target's logits by its kind's rule; every stack reads the same
tokens and keeps a cache of its own.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any

import torch
from transformers import DynamicCache

from adapters.artifact.artifact import OFFSET_HALF, REFERENCE_HALF, SOFT_PROMPT, TARGET, Artifact
from adapters.artifact.spec import DD_RANK, ULD, OffsetSpec, PairSpec
from adapters.evaluation.likelihood import AnswerScore
from adapters.models.combining import most_negative, top_choices
from adapters.models.frozen import PromptedModel, shared_prefix
from adapters.models.hardware import Hardware
from adapters.models.lora import attach, load_state
from adapters.models.pair import pair_model
from adapters.models.tokens import TokenizedExample

#: Answer positions whose logits are made at a time.
_POSITIONS = 1024


class ServedModel:
    """The target, alone or with one artifact, where the target is."""

    def __init__(self, target: PromptedModel, artifact: Artifact | None = None, source: PairSpec | None = None) -> None:
        """source: the pair, for an artifact with an offset.

        Raises `InvalidArtifact` for an artifact of another model or pair, ValueError for one of several kinds at once.
        """
        self._target = target
        self._spec: OffsetSpec | None = None
        self._soft: torch.Tensor | None = None
        self._stacks = [target]
        if artifact is None:
            return
        pair = source
        artifact.require(hidden_size=target.hidden_size, pair=pair, target_lora=True)
        self._soft = artifact.tensors.get(SOFT_PROMPT)
        self._spec = artifact.manifest.offset
        rank = artifact.manifest.target_rank
        if (self._soft is not None) + (self._spec is not None) + bool(rank) > 1:
            raise ValueError("an artifact of several kinds at once is not measured here")
        if rank:
            self._target = PromptedModel(copy.deepcopy(target.model), target.stored_dtype, target.hardware)
            self._stacks = [self._target]
            load_state(attach(self._target.model, rank), TARGET, artifact.tensors)
        if self._spec is None:
            return
        assert source is not None
        self._stacks.append(self._stack(source, artifact, OFFSET_HALF))
        if self._spec.needs_reference_half or not source.layers:
            self._stacks.append(self._stack(source, artifact, REFERENCE_HALF))

    def _stack(self, source: PairSpec, artifact: Artifact, half: str) -> PromptedModel:
        """One stack of the pair with its half of the LoRA, where the artifact has that."""
        stack = pair_model(self._target, source)
        if any(name.startswith(f"{half}.") for name in artifact.tensors):
            assert artifact.manifest.offset is not None
            load_state(attach(stack.model, artifact.manifest.offset.rank), half, artifact.tensors)
        return stack

    @property
    def hardware(self) -> Hardware:
        """Where it computes."""
        return self._target.hardware

    @torch.no_grad()
    def score(self, prompt: tuple[int, ...], answers: Sequence[tuple[int, ...]]) -> list[AnswerScore]:
        """Scores of several answers, each with its end of turn, to one prompt, which is run once for all of them."""
        batch = self._target.collate([TokenizedExample(prompt, answer) for answer in answers], len(prompt) - 1)
        caches = self.begin(batch.prefix, len(answers))
        states = [each[batch.rows, batch.columns] for each in self.read(caches, batch.inputs)]
        logits = self.logits(states)
        losses = torch.nn.functional.cross_entropy(logits, batch.targets, reduction="none")
        right = logits.argmax(-1) == batch.targets
        scores = []
        for row in range(len(answers)):
            mine = batch.rows == row
            scores.append(AnswerScore(float(losses[mine].mean()), tuple(right[mine].tolist()[:-1])))
        return scores

    @torch.no_grad()
    def log_likelihoods(self, examples: Sequence[TokenizedExample]) -> list[float]:
        """Of each answer after its prompt the sum of its tokens' log-probabilities, in nats; all in one pass."""
        batch = self._target.collate(examples, shared_prefix([example.prompt_ids for example in examples]))
        caches = self.begin(batch.prefix, len(examples))
        states = [each[batch.rows, batch.columns] for each in self.read(caches, batch.inputs)]
        sums = torch.zeros(len(examples), dtype=torch.float64, device=batch.rows.device)
        for start in range(0, len(batch.targets), _POSITIONS):
            part = slice(start, start + _POSITIONS)
            logits = self.logits([each[part] for each in states])
            losses = torch.nn.functional.cross_entropy(logits, batch.targets[part], reduction="none")
            sums.index_add_(0, batch.rows[part], -losses.double())
        return [float(value) for value in sums.tolist()]

    def begin(self, prefix: torch.Tensor, rows: int) -> list[Any]:
        """A cache for each stack that has read the soft prompt and `prefix` [length] once, for so many rows."""
        caches = [DynamicCache(config=stack.model.config) for stack in self._stacks]
        if len(prefix) or self._soft is not None:
            for stack, cache in zip(self._stacks, caches, strict=True):
                embedded = stack.embed(prefix)
                if self._soft is not None:
                    embedded = torch.cat((self._soft.to(embedded), embedded))
                stack.body(inputs_embeds=embedded[None], past_key_values=cache, use_cache=True)
                cache.batch_repeat_interleave(rows)
        return caches

    def read(self, caches: Sequence[Any], ids: torch.Tensor, mask: torch.Tensor | None = None) -> list[torch.Tensor]:
        """Final states [rows, length, hidden] of the target and, with an offset, of the pair's two stacks.

        ids [rows, length]. mask [rows, length so far]: 0 at padding; None where padding follows everything.
        """
        positions = None
        if mask is not None:
            positions = (mask.cumsum(-1) - 1).clamp(min=0)[:, -ids.shape[1] :]
        states = []
        for number, (stack, cache) in enumerate(zip(self._stacks, caches, strict=True)):
            output = stack.body(
                inputs_embeds=stack.embed(ids),
                attention_mask=mask,
                position_ids=positions,
                past_key_values=cache,
                use_cache=True,
                output_hidden_states=number == 0 and len(self._stacks) == 2,
            )
            states.append(output.last_hidden_state)
            if number == 0 and output.hidden_states is not None:
                middle = self._middle(output)
        if len(self._stacks) == 2:
            states.append(middle)
        return states

    def _middle(self, output: Any) -> torch.Tensor:
        """The reference's final states: the target's after layer K, normed; the last are that already."""
        assert self._spec is not None
        layers = self._spec.pair.layers
        if layers == len(output.hidden_states) - 1:
            final: torch.Tensor = output.last_hidden_state
            return final
        normed: torch.Tensor = self._target.body.norm(output.hidden_states[layers])
        return normed

    def logits(self, states: Sequence[torch.Tensor]) -> torch.Tensor:
        """Logits [positions, vocabulary] of final states [positions, hidden], as the engine computes them."""
        if self._spec is None:
            return self._target.logits(states[0])
        target, offset, reference = states
        strength, parameter = (
            self._spec.strength,
            target.new_full((len(target), 1), float(self._spec.parameter)).float(),
        )
        shares_head = bool(self._spec.pair.layers)
        head = self._target if shares_head else self._stacks[1]
        if self._spec.kind == ULD:
            logits = self._target.logits(target)
            chosen = top_choices(logits, parameter)
            return logits - torch.where(chosen, head.logits(strength * offset), torch.zeros_like(logits))
        if self._spec.kind == DD_RANK:
            masked = most_negative(head.logits(offset - reference), parameter)
            return self._target.logits(target).masked_fill(masked, float("-inf"))
        if shares_head:
            return self._target.logits(target + strength * (offset - reference))
        return self._target.logits(target) + head.logits(strength * (offset - reference))
