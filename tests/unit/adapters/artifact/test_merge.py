from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import nn

from adapters.artifact.artifact import FORMAT, SOFT_PROMPT, Artifact, Manifest
from adapters.artifact.merge import merge_loras, merge_offsets
from adapters.artifact.spec import DD_LINEAR, DELTA, ULD, OffsetSpec, PairSpec
from adapters.errors import InvalidArtifact
from adapters.models.lora import LoraLinear, load_state

SHAPES = {"model.layers.0.q": (6, 4), "model.layers.1.q": (5, 7)}  # name: (in, out)
PAIR = PairSpec(2)
INPUTS = {
    name: torch.randn(3, width, generator=torch.Generator().manual_seed(9)) for name, (width, _) in SHAPES.items()
}


def make(rank: int, seed: int, *, strength: float = 1.0, digest: str = "a", **changes: object) -> Artifact:
    """A random offset; `changes` are to its spec."""
    generator = torch.Generator().manual_seed(seed)
    tensors = {}
    for name, (width, height) in SHAPES.items():
        tensors[f"offset.{name}.lora_A"] = torch.randn(rank, width, generator=generator)
        tensors[f"offset.{name}.lora_B"] = torch.randn(height, rank, generator=generator)
    spec = OffsetSpec(DELTA, strength, rank, PAIR)
    manifest = Manifest(
        format=FORMAT,
        method="delta",
        hidden_size=8,
        rows=0,
        dtype="float32",
        model_digest=digest * 64,
        config={},
        seed=seed,
        created_by="test",
        offset=replace(spec, **changes),  # type: ignore[arg-type]
    )
    return Artifact(manifest, tensors)


def change(artifact: Artifact, name: str) -> torch.Tensor:
    """What a layer adds for its inputs, as the trained layer computes it."""
    assert artifact.manifest.offset is not None
    width, height = SHAPES[name]
    layer = LoraLinear(nn.Linear(width, height, bias=False), artifact.manifest.offset.rank)
    load_state({name: layer}, "offset", artifact.tensors)
    with torch.no_grad():
        added: torch.Tensor = layer(INPUTS[name]) - layer.base(INPUTS[name])
    return added


def test_the_merged_layers_add_the_sum_of_the_changes() -> None:
    parts = [make(2, 1), make(3, 2), make(1, 3)]
    merged = merge_offsets(parts)
    for name in SHAPES:
        torch.testing.assert_close(
            change(merged, name), sum(change(part, name) for part in parts), atol=1e-4, rtol=1e-4
        )
    spec = merged.manifest.offset
    assert spec == OffsetSpec(DELTA, 0.8, 6, PAIR)
    assert Artifact.from_bytes(merged.to_bytes()).digest == merged.digest


def test_all_act_at_four_fifths_of_the_largest_strength_and_the_weights_stay() -> None:
    parts = [make(2, 1, strength=1.0), make(3, 2, strength=1.5)]
    merged = merge_offsets(parts)
    assert merged.manifest.offset is not None
    assert merged.manifest.offset.strength == pytest.approx(1.2)
    for name in SHAPES:
        wanted = change(parts[0], name) + change(parts[1], name)
        torch.testing.assert_close(change(merged, name), wanted, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize(("own", "factor"), [(1.0, 1.0), (0.5, 0.5), (0.0, 0.0)])
def test_no_strength_is_raised_to_more_than_twice(own: float, factor: float) -> None:
    parts = [make(2, 1, strength=own), make(3, 2, strength=2.0)]
    merged = merge_offsets(parts)
    for name in SHAPES:
        wanted = factor * change(parts[0], name) + change(parts[1], name)
        torch.testing.assert_close(change(merged, name), wanted, atol=1e-4, rtol=1e-4)


def test_offsets_without_strength_stay_without_effect() -> None:
    merged = merge_offsets([make(2, 1, strength=0.0), make(2, 2, strength=0.0)])
    assert merged.manifest.offset is not None
    assert merged.manifest.offset.strength == 0
    assert all(tensor.isfinite().all() for tensor in merged.tensors.values())


def test_one_offset_alone_stays_what_it_is() -> None:
    alone = make(2, 1, strength=0.7)
    merged = merge_offsets([alone])
    assert merged.manifest.offset == alone.manifest.offset
    assert merged.tensors.keys() == alone.tensors.keys()
    assert all(torch.equal(merged.tensors[name], tensor) for name, tensor in alone.tensors.items())


def test_half_precision_is_kept() -> None:
    def half(artifact: Artifact) -> Artifact:
        tensors = {name: tensor.bfloat16() for name, tensor in artifact.tensors.items()}
        return Artifact(replace(artifact.manifest, dtype="bfloat16"), tensors)

    merged = merge_offsets([half(make(2, 1, strength=0.5)), half(make(2, 2))])
    assert {tensor.dtype for tensor in merged.tensors.values()} == {torch.bfloat16}
    assert Artifact.from_bytes(merged.to_bytes()).manifest == merged.manifest


def test_soft_prompts_are_left_out() -> None:
    plain = make(2, 1)
    both = Artifact(replace(plain.manifest, rows=3), {**plain.tensors, SOFT_PROMPT: torch.zeros(3, 8)})
    merged = merge_offsets([both, make(2, 2)])
    assert SOFT_PROMPT not in merged.tensors
    assert merged.manifest.rows == 0
    assert merged.digest == merge_offsets([plain, make(2, 2)]).digest


SOFT = Artifact(replace(make(1, 1).manifest, rows=3, offset=None), {SOFT_PROMPT: torch.zeros(3, 8)})
FEWER = Artifact(make(1, 1).manifest, {name: t for name, t in make(1, 1).tensors.items() if "layers.0" in name})


@pytest.mark.parametrize(
    ("other", "message"),
    [
        (SOFT, "without an offset"),
        (make(2, 1, kind=ULD, parameter=0.5), "of kind uld"),
        (make(2, 1, kind=DD_LINEAR), "of kind dd_linear"),
        (make(2, 1, pair=PairSpec(3)), "different pairs"),
        (make(2, 1, pair=PairSpec(0, "b" * 64)), "different pairs"),
        (make(2, 1, digest="b"), "different pairs"),
        (FEWER, "different layers"),
    ],
)
def test_what_does_not_add_up_is_refused(other: Artifact, message: str) -> None:
    for pair in ([make(2, 3), other], [other, make(2, 3)]):
        with pytest.raises(InvalidArtifact, match=message):
            merge_offsets(pair)


def test_nothing_cannot_be_merged() -> None:
    with pytest.raises(InvalidArtifact):
        merge_offsets([])


def on_target(rank: int, seed: int, *, beside: Artifact | None = None, digest: str = "a") -> Artifact:
    """A random LoRA on the target, beside an offset where one is given."""
    generator = torch.Generator().manual_seed(100 + seed)
    base = beside or make(1, seed, digest=digest)
    tensors = dict(beside.tensors) if beside else {}
    for name, (width, height) in SHAPES.items():
        tensors[f"target.{name}.lora_A"] = torch.randn(rank, width, generator=generator)
        tensors[f"target.{name}.lora_B"] = torch.randn(height, rank, generator=generator)
    manifest = replace(base.manifest, offset=beside.manifest.offset if beside else None, target_rank=rank)
    return Artifact(manifest, tensors)


def product(artifact: Artifact, layer: str) -> torch.Tensor:
    return artifact.tensors[f"{layer}.lora_B"] @ artifact.tensors[f"{layer}.lora_A"]


def test_changes_of_the_target_add_up() -> None:
    parts = [on_target(2, 1), on_target(3, 2)]
    merged = merge_loras(parts)
    assert (merged.manifest.offset, merged.manifest.target_rank) == (None, 5)
    for name in SHAPES:
        wanted = product(parts[0], f"target.{name}") + product(parts[1], f"target.{name}")
        torch.testing.assert_close(product(merged, f"target.{name}"), wanted)
    assert Artifact.from_bytes(merged.to_bytes()).digest == merged.digest


def test_offsets_and_changes_of_the_target_stand_side_by_side() -> None:
    """Two offsets of different strength, one with a change of the target beside it, and another such change."""
    first, second, third = make(2, 1, strength=0.5), on_target(3, 2, beside=make(4, 2)), on_target(1, 3)
    merged = merge_loras([first, second, third])
    assert merged.manifest.target_rank == 4
    assert merged.manifest.offset == OffsetSpec(DELTA, 0.8, 6, PAIR)
    for name in SHAPES:
        on_pair = product(first, f"offset.{name}") + product(second, f"offset.{name}")
        torch.testing.assert_close(product(merged, f"offset.{name}"), on_pair)
        changed = product(second, f"target.{name}") + product(third, f"target.{name}")
        torch.testing.assert_close(product(merged, f"target.{name}"), changed)
    assert Artifact.from_bytes(merged.to_bytes()).digest == merged.digest


def test_one_offset_of_any_kind_stands_beside_changes_of_the_target() -> None:
    alone = make(2, 1, kind=ULD, parameter=0.5)
    merged = merge_loras([on_target(3, 2), alone])
    assert merged.manifest.offset == alone.manifest.offset
    assert all(torch.equal(merged.tensors[name], tensor) for name, tensor in alone.tensors.items())


@pytest.mark.parametrize(
    ("parts", "message"),
    [
        ([SOFT], "without a LoRA"),
        ([], "without a LoRA"),
        ([on_target(2, 1), on_target(2, 2, digest="b")], "different models"),
        ([on_target(2, 1), make(2, 2, digest="b")], "different models"),
        ([make(2, 1), on_target(2, 1), make(2, 2, kind=ULD, parameter=0.5)], "of kind uld"),
    ],
)
def test_loras_that_do_not_belong_together_are_refused(parts: list[Artifact], message: str) -> None:
    with pytest.raises(InvalidArtifact, match=message):
        merge_loras(parts)


def test_changes_of_different_layers_of_the_target_are_refused() -> None:
    whole = on_target(2, 1)
    fewer = Artifact(whole.manifest, {name: t for name, t in whole.tensors.items() if "layers.0" in name})
    with pytest.raises(InvalidArtifact, match="different layers"):
        merge_loras([whole, fewer])


def test_merging_leaves_soft_prompts_out() -> None:
    both = on_target(2, 1)
    both = Artifact(replace(both.manifest, rows=3), {**both.tensors, SOFT_PROMPT: torch.zeros(3, 8)})
    assert merge_loras([both, make(2, 2)]).digest == merge_loras([on_target(2, 1), make(2, 2)]).digest


def test_a_merge_of_more_rank_than_is_taken_is_the_nearest_of_that_rank() -> None:
    alike = make(3, 1)
    again = Artifact(alike.manifest, {name: tensor.clone() for name, tensor in alike.tensors.items()})
    merged = merge_loras([alike, again], max_rank=3)  # six, of which three say what the others do
    whole = merge_loras([alike, again])
    assert merged.manifest.offset == OffsetSpec(DELTA, 0.8, 3, PAIR)
    for name in SHAPES:
        torch.testing.assert_close(change(merged, name), change(whole, name), atol=1e-4, rtol=1e-4)
    assert merged.manifest.config == {"merged": 2, "kept": pytest.approx(1)}
    assert Artifact.from_bytes(merged.to_bytes()).digest == merged.digest


def test_it_says_how_much_is_left_of_the_layer_that_lost_most() -> None:
    parts = [make(2, 1), make(2, 2)]
    merged = merge_loras(parts, max_rank=2)
    whole = merge_loras(parts)
    shares = []
    for name in SHAPES:
        tensors = (f"offset.{name}.lora_B", f"offset.{name}.lora_A")
        wanted, got = ((m.tensors[tensors[0]] @ m.tensors[tensors[1]]).double() for m in (whole, merged))
        shares.append(float(got.square().sum() / wanted.square().sum()))
    assert merged.manifest.config["kept"] == pytest.approx(min(shares), rel=1e-4)
    assert 0.3 < min(shares) < 0.99
    assert merge_loras(parts, max_rank=4).manifest.config == {"merged": 2, "kept": 1.0}
