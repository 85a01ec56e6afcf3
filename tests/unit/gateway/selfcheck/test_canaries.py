"""Canaries are well-formed artifacts of the kinds that are offered, and come before the store."""

from __future__ import annotations

import pytest
import torch

from adapters.artifact.artifact import Artifact
from adapters.artifact.spec import PairSpec
from gateway.errors import AdapterUnavailable
from gateway.selfcheck.assembly import texts
from gateway.selfcheck.canaries import CHANGE, RANK, ROWS, STRENGTHS, CanaryMaker, Layer, Shelf

HIDDEN = 16
OFFSET = Layer("offset.model.layers.0.mlp.down_proj", 32, HIDDEN, 0.1)
REFERENCE = Layer("reference.model.layers.0.mlp.down_proj", 32, HIDDEN, 0.1)
ON_TARGET = Layer("target.model.layers.0.mlp.down_proj", 32, HIDDEN, 0.1)


class Empty:
    async def get(self, digest: str) -> bytes:
        raise AdapterUnavailable(f"no {digest}")


@pytest.fixture
def shelf() -> Shelf:
    return Shelf(Empty())


async def read(shelf: Shelf, digest: str) -> Artifact:
    return Artifact.from_bytes(await shelf.get(digest), expect_digest=digest)


async def test_the_store_is_asked_for_what_is_no_canary(shelf: Shelf) -> None:
    with pytest.raises(AdapterUnavailable, match="no other"):
        await shelf.get("other")


async def test_one_of_each_kind_that_is_offered(shelf: Shelf) -> None:
    maker = CanaryMaker(shelf, hidden_size=HIDDEN, pair=PairSpec(4))
    made = maker.make(torch.randn(5, HIDDEN, dtype=torch.bfloat16), [OFFSET, ON_TARGET])
    assert set(made.named) == {"soft prompt", "offset", "LoRA"}
    assert len({canary.digest for canary in made.all}) == len(made.all) == 6
    for canary in made.all:
        artifact = await read(shelf, canary.digest)
        artifact.require(hidden_size=HIDDEN, pair=PairSpec(4), target_lora=True)
        offset = artifact.manifest.offset
        assert (artifact.manifest.rows, 0 if offset is None else offset.rank, artifact.manifest.target_rank) == (
            canary.footprint.rows,
            canary.footprint.offset_rank,
            canary.footprint.target_rank,
        )


def test_none_of_a_kind_that_is_not(shelf: Shelf) -> None:
    assert CanaryMaker(shelf, hidden_size=HIDDEN, pair=None).make(None, []).all == ()
    assert set(CanaryMaker(shelf, hidden_size=HIDDEN, pair=None).make(None, [ON_TARGET]).named) == {"LoRA"}


async def test_offsets_differ_in_their_strength_alone(shelf: Shelf) -> None:
    made = CanaryMaker(shelf, hidden_size=HIDDEN, pair=PairSpec(4)).make(None, [OFFSET])
    first, second = [await read(shelf, canary.digest) for canary in made.offsets]
    assert all(torch.equal(first.tensors[name], second.tensors[name]) for name in first.tensors)
    assert [a.manifest.offset.strength for a in (first, second) if a.manifest.offset] == list(STRENGTHS)


async def test_the_idle_offset_has_a_half_on_a_reference_of_its_own(shelf: Shelf) -> None:
    pair = PairSpec(4, own_reference=True)
    made = CanaryMaker(shelf, hidden_size=HIDDEN, pair=pair).make(None, [OFFSET, REFERENCE])
    assert made.idle_offset is not None
    idle = await read(shelf, made.idle_offset.digest)
    idle.require(hidden_size=HIDDEN, pair=pair)
    assert {name.partition(".")[0] for name in idle.tensors} == {"offset", "reference"}
    assert not any(bool(tensor.any()) for name, tensor in idle.tensors.items() if name.endswith("lora_B"))


async def test_a_random_lora_changes_a_layer_by_a_share_of_its_weights(shelf: Shelf) -> None:
    layer = Layer("target.model.layers.0.mlp.down_proj", 512, 256, 0.03)
    made = CanaryMaker(shelf, hidden_size=HIDDEN, pair=None).make(None, [layer])
    assert made.lora is not None
    tensors = (await read(shelf, made.lora.digest)).tensors
    a, b = (tensors[f"{layer.name}.lora_{side}"].float() for side in "AB")
    assert a.shape == (RANK, 512)
    assert float((b @ a).norm()) == pytest.approx(CHANGE * 0.03 * (512 * 256) ** 0.5, rel=0.1)


def test_the_soft_prompt_fits_the_rows_that_are_kept_for_it() -> None:
    found = texts(lambda text: list(range(len(text.split()) * 3)))
    assert len(found.prefix) == ROWS
    assert len({len(prompt) for prompt in found.prompts}) == 1
