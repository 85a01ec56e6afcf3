"""How offsets are put to vLLM, and what its workers answer."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from gateway.engine.door import EngineOffsets, lora_request
from gateway.engine.inside.extension import UnlearningWorkerExtension
from gateway.engine.residency.loras import Offset
from gateway.errors import AdapterUnavailable

A, B = Offset(3, "a" * 64, Path("/offsets/a")), Offset(4, "b" * 64, Path("/offsets/b"))
ON_TARGET = ("target.model.layers.0.self_attn.k_proj", "target.model.layers.2.mlp.down_proj")
MODULES = ("offset.model.layers.0.self_attn.q_proj", "offset.model.layers.0.mlp.down_proj")


class Worker(UnlearningWorkerExtension):
    """A worker whose model has one layer, its projections packed as vLLM packs them."""

    def __init__(self) -> None:
        modules = dict.fromkeys(
            (
                "pair.offset.model.layers.0.self_attn.qkv_proj",
                "pair.offset.model.layers.0.mlp.down_proj",
                "pair.rule",
                "target.model.layers.0.self_attn.qkv_proj",
                "target.model.layers.2.mlp.down_proj",
                "mark",
            )
        )
        packed = {"qkv_proj": ["q_proj", "k_proj", "v_proj"]}
        manager = SimpleNamespace(modules=modules, packed_modules_mapping=packed)
        self.model = SimpleNamespace(needs_both_logits=False, without_offset=frozenset())
        self.model_runner = SimpleNamespace(
            lora_manager=SimpleNamespace(_adapter_manager=manager), get_model=lambda: self.model
        )


class AsyncLLM:
    """Two workers, and LoRAs by id."""

    def __init__(self) -> None:
        self.workers = [Worker(), Worker()]
        self.loras: dict[int, str] = {}
        self.failure: Exception | None = None

    async def collective_rpc(self, method: str, args: tuple[Any, ...] = ()) -> list[Any]:
        return [getattr(worker, method)(*args) for worker in self.workers]

    async def add_lora(self, request: Any) -> bool:
        if self.failure is not None:
            raise self.failure
        self.loras[request.lora_int_id] = request.lora_path
        return True

    async def remove_lora(self, lora_id: int) -> bool:
        return self.loras.pop(lora_id, None) is not None

    @property
    def needs_both_logits(self) -> list[bool]:
        return [worker.model.needs_both_logits for worker in self.workers]

    @property
    def without_offset(self) -> list[frozenset[int]]:
        return [worker.model.without_offset for worker in self.workers]


@pytest.fixture
def llm() -> AsyncLLM:
    return AsyncLLM()


@pytest.fixture
def engine(llm: AsyncLLM) -> EngineOffsets:
    engine: Any = llm
    return EngineOffsets(engine)


def test_a_lora_is_named_by_its_content() -> None:
    request = lora_request(A)
    assert (request.lora_name, request.lora_int_id, request.lora_path) == (A.name, A.id, str(A.folder))


async def test_load_and_forget(engine: EngineOffsets, llm: AsyncLLM) -> None:
    await engine.add(A, MODULES, plain_sum=True)
    assert llm.loras == {3: "/offsets/a"}
    await engine.remove(A)
    assert llm.loras == {}


async def test_modules_that_the_pair_has_not_are_refused(engine: EngineOffsets, llm: AsyncLLM) -> None:
    unknown = ["offset.model.layers.1.mlp.down_proj", "reference.model.layers.0.mlp.down_proj"]
    with pytest.raises(AdapterUnavailable, match=rf"changes 2 modules that the pair has not: {unknown[0]}"):
        await engine.add(A, [*MODULES, *unknown], plain_sum=True)
    assert llm.loras == {}


@pytest.mark.parametrize("failure", [ValueError("rank 128 is too large"), RuntimeError("rank 128 is too large")])
async def test_what_vllm_refuses_is_refused_with_its_reason(
    engine: EngineOffsets, llm: AsyncLLM, failure: Exception
) -> None:
    llm.failure = failure
    with pytest.raises(AdapterUnavailable, match="rank 128 is too large"):
        await engine.add(A, MODULES, plain_sum=True)


async def test_two_head_products_are_made_while_a_rule_needs_them(engine: EngineOffsets, llm: AsyncLLM) -> None:
    await engine.add(A, MODULES, plain_sum=False)
    await engine.add(B, MODULES, plain_sum=True)
    assert llm.needs_both_logits == [True, True]
    await engine.remove(B)
    assert llm.needs_both_logits == [True, True]
    await engine.remove(A)
    assert llm.needs_both_logits == [False, False]


async def test_they_are_made_before_the_rule_is_loaded_and_not_for_one_that_failed(
    engine: EngineOffsets, llm: AsyncLLM
) -> None:
    llm.failure = ValueError("damaged")
    with pytest.raises(AdapterUnavailable):
        await engine.add(A, MODULES, plain_sum=False)
    assert llm.needs_both_logits == [True, True]
    await engine.remove(A)
    assert llm.needs_both_logits == [False, False]


async def test_modules_on_which_the_target_takes_no_lora_are_refused(engine: EngineOffsets, llm: AsyncLLM) -> None:
    unknown = "target.model.layers.1.mlp.down_proj"
    with pytest.raises(AdapterUnavailable, match=f"1 modules that the target takes no LoRA on: {unknown}"):
        await engine.add(A, [*ON_TARGET, unknown], plain_sum=True)
    assert llm.loras == {}
    assert llm.without_offset == [frozenset()] * 2


async def test_the_workers_know_which_loras_leave_the_pair_alone(engine: EngineOffsets, llm: AsyncLLM) -> None:
    """An id must be forgotten with its adapter: another may get it."""
    await engine.add(A, ON_TARGET, plain_sum=True)
    await engine.add(B, [*MODULES, *ON_TARGET], plain_sum=True)
    assert llm.without_offset == [frozenset({A.id})] * 2
    await engine.remove(B)
    assert llm.without_offset == [frozenset({A.id})] * 2
    await engine.remove(A)
    assert llm.without_offset == [frozenset()] * 2
    await engine.add(A, MODULES, plain_sum=True)
    assert llm.without_offset == [frozenset()] * 2


async def test_a_lora_that_failed_is_known_no_longer(engine: EngineOffsets, llm: AsyncLLM) -> None:
    llm.failure = ValueError("damaged")
    with pytest.raises(AdapterUnavailable):
        await engine.add(A, ON_TARGET, plain_sum=True)
    await engine.remove(A)
    assert llm.without_offset == [frozenset()] * 2
