"""No output becomes an answer unless the worker says of it what the plan wants."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Sequence
from types import SimpleNamespace
from typing import Any

import pytest
from prometheus_client import CollectorRegistry
from vllm.sampling_params import SamplingParams
from vllm.v1.engine import EngineCoreOutput
from vllm.v1.engine.exceptions import EngineGenerateError

from adapters.artifact.footprint import Footprint
from gateway.engine.applied import AppliedCheck
from gateway.engine.statement import Statement, pack
from gateway.errors import AdaptersNotApplied, AdapterUnavailable
from gateway.policy.plan import AdapterRef
from gateway.service.metrics import GatewayMetrics

A, B = (AdapterRef(f"req_{digest}", digest, Footprint(rows=2)) for digest in "ab")
STAMP_A, STAMP_B = (Statement((each.digest,)).stamp for each in (A, B))


class Queue:
    """vLLM's queue of one generation: what is an exception ends it."""

    def __init__(self) -> None:
        self.items: asyncio.Queue[Any] = asyncio.Queue()

    def put(self, item: Any) -> None:
        self.items.put_nowait(item)


class State:
    def __init__(self, queue: Queue) -> None:
        self.queue = queue


class Engine:
    """As much of `AsyncLLM` as adds requests, processes outputs and ends a generation at its first failure."""

    def __init__(self) -> None:
        self.states: dict[str, Any] = {}
        self.output_processor = SimpleNamespace(
            request_states=self.states, add_request=self._add, process_outputs=self._process
        )
        self.nans: list[int] = []
        self.aborted: list[str] = []
        self.failure: Exception | None = None

    def _add(self, request: Any, queue: Queue) -> None:
        self.states[request.request_id] = State(queue)

    def _process(self, outputs: list[EngineCoreOutput]) -> None:
        for output in outputs:
            self.nans.append(output.num_nans_in_logits)
            self.states[output.request_id].queue.put(output)

    async def generate(
        self, prompt: Any, params: SamplingParams, request_id: str, **_: Any
    ) -> AsyncGenerator[Any, None]:
        queue = Queue()
        for number in range(params.n):
            self.output_processor.add_request(SimpleNamespace(request_id=f"{number}_{request_id}"), queue)
        try:
            while True:
                item = await queue.items.get()
                if isinstance(item, Exception):
                    raise EngineGenerateError from item
                yield item
                if item.finish_reason is not None:
                    return
        finally:
            self.aborted.append(request_id)

    async def collective_rpc(self, method: str, args: Any) -> list[dict[str, str]]:
        assert method == "applied_to"
        return [dict.fromkeys(args[0], "none")]

    def give(self, request: str, stamp: int, *, has_nan: bool = False, tokens: int = 1, last: bool = False) -> None:
        """An output from the worker."""
        output = EngineCoreOutput(request, [5] * tokens, num_nans_in_logits=pack(stamp, has_nan=has_nan))
        output.finish_reason = "stop" if last else None
        self.output_processor.process_outputs([output])


@pytest.fixture
def engine() -> Engine:
    return Engine()


@pytest.fixture
def metrics() -> GatewayMetrics:
    return GatewayMetrics(CollectorRegistry())


Generate = Callable[..., "asyncio.Task[list[Any]]"]


class Books:
    """Holdings that note what was brought in again."""

    def __init__(self) -> None:
        self.repaired: list[list[str]] = []
        self.failure: Exception | None = None

    async def repair(self, adapters: Sequence[AdapterRef]) -> None:
        self.repaired.append([each.digest for each in adapters])
        if self.failure is not None:
            raise self.failure


@pytest.fixture
def books() -> Books:
    return Books()


@pytest.fixture
def check(engine: Engine, books: Books, metrics: GatewayMetrics) -> AppliedCheck:
    wrapped: Any = engine
    holdings: Any = books
    return AppliedCheck(wrapped, holdings, metrics)


@pytest.fixture
def generate(check: AppliedCheck) -> Generate:
    async def collect(request: str, adapters: list[AdapterRef], n: int) -> list[Any]:
        return [each async for each in check.generate(adapters, {}, SamplingParams(n=n), request)]

    def start(request: str, *adapters: AdapterRef, n: int = 1) -> asyncio.Task[list[Any]]:
        return asyncio.create_task(collect(request, list(adapters), n))

    return start


def mismatches(metrics: GatewayMetrics) -> float:
    return float(metrics.not_applied._value.get())


async def test_an_answer_of_the_plan_is_passed_on(engine: Engine, generate: Generate) -> None:
    answer = generate("r", A)
    await asyncio.sleep(0)
    engine.give("0_r", STAMP_A)
    engine.give("0_r", STAMP_A, last=True)
    assert [output.new_token_ids for output in await answer] == [[5], [5]]
    assert engine.nans == [0, 0], "the stamp is taken out of what vLLM reads"


@pytest.mark.parametrize("said", [0, STAMP_B, Statement().stamp, Statement(("a", "b")).stamp], ids=str)
async def test_any_other_word_of_the_worker_ends_the_request(
    engine: Engine, generate: Generate, metrics: GatewayMetrics, said: int
) -> None:
    answer = generate("r", A)
    await asyncio.sleep(0)
    engine.give("0_r", said, last=True)
    with pytest.raises(AdaptersNotApplied):
        await answer
    assert engine.aborted == ["r"]
    assert engine.nans == [], "the token went no further"
    assert mismatches(metrics) == 1


async def test_also_where_nothing_should_apply_and_something_did(engine: Engine, generate: Generate) -> None:
    answer = generate("r")
    await asyncio.sleep(0)
    engine.give("0_r", STAMP_A)
    with pytest.raises(AdaptersNotApplied):
        await answer


async def test_also_in_the_middle_of_an_answer(engine: Engine, generate: Generate) -> None:
    answer = generate("r", A)
    await asyncio.sleep(0)
    engine.give("0_r", STAMP_A)
    engine.give("0_r", STAMP_B)
    with pytest.raises(AdaptersNotApplied):
        await answer
    assert len(engine.nans) == 1


async def test_each_of_several_answers_to_one_prompt_is_compared(engine: Engine, generate: Generate) -> None:
    answer = generate("r", A, n=3)
    await asyncio.sleep(0)
    engine.give("0_r", STAMP_A)
    engine.give("2_r", STAMP_A)
    engine.give("1_r", STAMP_B)
    with pytest.raises(AdaptersNotApplied):
        await answer


async def test_requests_that_callers_gave_one_name_are_told_apart(engine: Engine, generate: Generate) -> None:
    first = generate("same", A)
    await asyncio.sleep(0)
    state = engine.states.pop("0_same")
    engine.states["0_same-1"] = state  # as vLLM numbers them
    second = generate("same", B)
    await asyncio.sleep(0)
    engine.give("0_same", STAMP_B, last=True)
    engine.give("0_same-1", STAMP_B, last=True)
    assert len(await second) == 1
    with pytest.raises(AdaptersNotApplied):
        await first


async def test_an_output_that_says_nothing_needs_no_stamp(engine: Engine, generate: Generate) -> None:
    """vLLM ends a request whose grammar it refuses without having run it."""
    answer = generate("r", A)
    await asyncio.sleep(0)
    engine.give("0_r", 0, tokens=0, last=True)
    assert len(await answer) == 1


async def test_nan_logits_are_told_to_who_looks_for_them(engine: Engine, generate: Generate) -> None:
    answer = generate("r", A)
    await asyncio.sleep(0)
    engine.give("0_r", STAMP_A, has_nan=True, last=True)
    await answer
    assert engine.nans == [1]


async def test_a_request_that_came_around_the_check_is_not_answered(engine: Engine, generate: Generate) -> None:
    around = engine.generate({}, SamplingParams(), "r")
    waiting = asyncio.ensure_future(anext(around))
    await asyncio.sleep(0)
    engine.give("0_r", Statement().stamp)
    with pytest.raises(EngineGenerateError):
        await waiting


async def test_other_failures_stay_what_they_are(engine: Engine, generate: Generate, metrics: GatewayMetrics) -> None:
    answer = generate("r", A)
    await asyncio.sleep(0)
    engine.states["0_r"].queue.put(ValueError())
    with pytest.raises(EngineGenerateError):
        await answer
    assert mismatches(metrics) == 0


async def test_what_was_not_applied_is_brought_in_again_and_not_for_each_request(
    engine: Engine, generate: Generate, books: Books
) -> None:
    for number, adapters in enumerate([(A,), (A,), (A, B), ()]):
        answer = generate(f"r{number}", *adapters)
        await asyncio.sleep(0)
        engine.give(f"0_r{number}", 0)
        with pytest.raises(AdaptersNotApplied):
            await answer
    assert books.repaired == [["a"], ["a", "b"], []]


async def test_where_that_fails_too_the_request_is_still_refused(
    engine: Engine, generate: Generate, books: Books
) -> None:
    books.failure = AdapterUnavailable("gone")
    answer = generate("r", A)
    await asyncio.sleep(0)
    engine.give("0_r", 0)
    with pytest.raises(AdaptersNotApplied):
        await answer


async def test_what_was_cached_until_then_is_told_apart(
    engine: Engine, generate: Generate, check: AppliedCheck
) -> None:
    for number, (stamp, mismatches) in enumerate([(STAMP_A, 0), (STAMP_B, 1), (STAMP_A, 1), (0, 2)]):
        answer = generate(f"r{number}", A)
        await asyncio.sleep(0)
        engine.give(f"0_r{number}", stamp, last=True)
        await asyncio.wait([answer])
        answer.exception()
        assert check.mismatches == mismatches
