"""Multi-LoRA products on CPU against a loop over tokens."""

from __future__ import annotations

import pytest
import torch
from vllm.lora.layers import LoRAMapping
from vllm.lora.punica_wrapper.punica_cpu import PunicaWrapperCPU

from gateway.engine.inside.punica import GroupedPunicaWrapper, group_tokens, used_rank

SLOTS, RANK, WIDTH = 3, 4, 5
SLICES = (6, 2, 3)
IDS: list[int | None] = [7, 9, 4]  # the adapter in each slot; all are full
MIXED = [9, 9, 0, 7, 4, 0, 7, 0, 0, 9]  # the adapter of each token, 0 for none

Stacks = tuple[torch.Tensor, ...]


def noise(*shape: int, seed: int) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def stacks(ranks: tuple[int, ...] = (RANK, 2, 1)) -> tuple[Stacks, Stacks]:
    """A [slots, 1, rank, in] and B [slots, 1, out, rank] of each slice; the slots' ranks differ, the rest is zeros."""
    lora_a = tuple(noise(SLOTS, 1, RANK, WIDTH, seed=10 + i) for i in range(len(SLICES)))
    lora_b = tuple(noise(SLOTS, 1, size, RANK, seed=20 + i) for i, size in enumerate(SLICES))
    for slot, rank in enumerate(ranks):
        for a, b in zip(lora_a, lora_b, strict=True):
            a[slot, 0, rank:] = 0
            b[slot, 0, :, rank:] = 0
    return lora_a, lora_b


def naive(y: torch.Tensor, x: torch.Tensor, loras: tuple[Stacks, Stacks], slots: list[int], scale: float) -> None:
    for token, slot in enumerate(slots):
        start = 0
        for a, b in zip(*loras, strict=True):
            if slot >= 0:
                y[token, start : start + b.shape[2]] += (b[slot, 0] @ (a[slot, 0] @ x[token])) * scale
            start += b.shape[2]


def mapped(kind: type[PunicaWrapperCPU], tokens: list[int], ids: list[int | None] = IDS) -> PunicaWrapperCPU:
    """A wrapper that has been told of a step with these tokens, as vLLM's model runner tells it."""
    wrapper = kind(max_num_batched_tokens=64, max_batches=8, device="cpu")
    wrapper.update_metadata(LoRAMapping(tuple(tokens), (0,), is_prefill=True), ids, SLOTS, 100)
    return wrapper


def run(
    wrapper: PunicaWrapperCPU, tokens: int, loras: tuple[Stacks, Stacks], scale: float = 1.0
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """(input, output before, output after)."""
    x, before = noise(tokens, WIDTH, seed=1), noise(tokens, sum(SLICES), seed=2)
    after = before.clone()
    wrapper.add_lora_linear(after, x, *loras, scale, SLICES)
    return x, before, after


def slots_of(tokens: list[int], ids: list[int | None] = IDS) -> list[int]:
    return [ids.index(token) if token else -1 for token in tokens]


def test_tokens_are_grouped_by_slot_and_neighbours_are_a_slice() -> None:
    groups = group_tokens(torch.tensor([-1, 2, 2, 2, 0, -1, 0, 1]))
    assert [(group.slot, group.tokens) for group in groups if isinstance(group.tokens, slice)] == [
        (1, slice(7, 8)),
        (2, slice(1, 4)),
    ]
    (scattered,) = [group for group in groups if isinstance(group.tokens, torch.Tensor)]
    assert scattered.slot == 0
    assert isinstance(scattered.tokens, torch.Tensor)
    assert scattered.tokens.tolist() == [4, 6]


@pytest.mark.parametrize("slots", [[], [-1, -1]])
def test_tokens_without_a_slot_are_in_no_group(slots: list[int]) -> None:
    assert group_tokens(torch.tensor(slots, dtype=torch.long)) == []


@pytest.mark.parametrize(("rows", "rank"), [([], 0), ([0], 1), ([0, 1, 2], 3), ([0, 2], 3), ([3], 4)])
def test_the_used_rank_ends_at_the_last_row_that_is_not_padding(rows: list[int], rank: int) -> None:
    lora_a = torch.zeros(4, WIDTH)
    lora_a[rows, 2] = 0.5
    assert used_rank(lora_a) == rank


@pytest.mark.parametrize(
    "tokens", [MIXED, [7] * 5, [0, 0, 4, 4, 4, 9], [9], [0, 0]], ids=["mixed", "one", "runs", "single", "none"]
)
@pytest.mark.parametrize("scale", [1.0, 0.5])
def test_the_product_is_that_of_a_loop_over_tokens(tokens: list[int], scale: float) -> None:
    loras = stacks()
    x, before, after = run(mapped(GroupedPunicaWrapper, tokens), len(tokens), loras, scale)
    expected = before.clone()
    naive(expected, x, loras, slots_of(tokens), scale)
    torch.testing.assert_close(after, expected)


@pytest.mark.parametrize(
    "wrapper",
    [
        GroupedPunicaWrapper,
        pytest.param(
            PunicaWrapperCPU,
            marks=pytest.mark.xfail(
                raises=AssertionError,
                reason="vLLM 0.32 gathers slot −1, the last one, for tokens without an adapter. Once this passes, "
                "gateway/engine/inside/punica.py is needed for speed alone.",
            ),
        ),
    ],
)
def test_tokens_without_an_adapter_are_left_alone_though_every_slot_is_full(wrapper: type[PunicaWrapperCPU]) -> None:
    _, before, after = run(mapped(wrapper, MIXED), len(MIXED), stacks())
    without = [token for token, adapter in enumerate(MIXED) if not adapter]
    assert torch.equal(after[without], before[without])


def test_vllms_own_wrapper_agrees_where_every_token_has_an_adapter() -> None:
    tokens = [9, 9, 7, 4, 7, 9]
    loras = stacks()
    _, _, ours = run(mapped(GroupedPunicaWrapper, tokens), len(tokens), loras)
    _, _, theirs = run(mapped(PunicaWrapperCPU, tokens), len(tokens), loras)
    torch.testing.assert_close(ours, theirs)


def test_each_step_has_its_own_groups() -> None:
    loras, wrapper = stacks(), mapped(GroupedPunicaWrapper, MIXED)
    run(wrapper, len(MIXED), loras)
    tokens = [4, 0, 9]
    wrapper.update_metadata(LoRAMapping(tuple(tokens), (0,), is_prefill=True), IDS, SLOTS, 100)
    x, before, after = run(wrapper, len(tokens), loras)
    expected = before.clone()
    naive(expected, x, loras, slots_of(tokens), 1.0)
    torch.testing.assert_close(after, expected)


@pytest.mark.parametrize("told", [True, False], ids=["other ids", "same ids"])
def test_another_adapter_in_the_slot_is_applied_with_all_its_ranks(told: bool) -> None:
    """vLLM tells nothing when an id comes back into its slot with other weights; they may have more ranks."""
    loras, tokens = stacks(ranks=(1, 0, 1)), [7, 9, 9]
    wrapper = mapped(GroupedPunicaWrapper, tokens)
    run(wrapper, len(tokens), loras)
    with torch.inference_mode():
        for old, new in zip((*loras[0], *loras[1]), (*stacks()[0], *stacks()[1]), strict=True):
            old.copy_(new)
    ids: list[int | None] = IDS
    if told:
        ids, tokens = [5, 8, 4], [5, 8, 8]
        wrapper.update_metadata(LoRAMapping(tuple(tokens), (0,), is_prefill=True), ids, SLOTS, 100)
    x, before, after = run(wrapper, len(tokens), loras)
    expected = before.clone()
    naive(expected, x, loras, slots_of(tokens, ids), 1.0)
    torch.testing.assert_close(after, expected)
