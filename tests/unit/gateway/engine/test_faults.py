"""What is done about logits that are not finite; `tests/engine/test_offsets.py` has a real engine give some."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest
from vllm.logprobs import Logprob
from vllm.outputs import RequestOutput
from vllm.v1.engine.exceptions import EngineGenerateError

from gateway.engine.faults import FaultWatch, LogitsNotFinite, check_prompt, is_fault


async def test_one_scrub_serves_all_that_ask_while_another_runs() -> None:
    running, done = asyncio.Event(), asyncio.Event()

    calls: list[str] = []

    async def collective_rpc(method: str) -> None:
        calls.append(method)
        running.set()
        await done.wait()

    processor = SimpleNamespace(request_states={}, process_outputs=None)
    engine: Any = SimpleNamespace(output_processor=processor, collective_rpc=collective_rpc)
    watch = FaultWatch(engine)
    first = asyncio.create_task(watch.scrub())
    await running.wait()
    others = [asyncio.create_task(watch.scrub()) for _ in range(20)]
    await asyncio.sleep(0)
    done.set()
    await asyncio.gather(first, *others)
    assert calls == ["scrub_cache"] * 2, "what a row left behind after the first began is cleaned by the second"


@pytest.mark.parametrize(("values", "faulty"), [([-1.0, float("-inf")], False), ([-1.0, float("nan")], True)])
def test_a_prompt_whose_log_probabilities_are_nan(values: list[float], faulty: bool) -> None:
    """−inf is an answer: a rule may mask a token."""
    entries: Any = [None, *({token: Logprob(value)} for token, value in enumerate(values))]
    output = RequestOutput("r", "text", [1, 2, 3], entries, [], finished=False)
    if faulty:
        with pytest.raises(LogitsNotFinite):
            check_prompt(output)
    else:
        check_prompt(output)


def test_a_fault_is_told_from_other_failures() -> None:
    fault, other = EngineGenerateError(), EngineGenerateError()
    fault.__cause__, other.__cause__ = LogitsNotFinite(), ValueError()
    assert [is_fault(error) for error in (fault, other, LogitsNotFinite())] == [True, False, True]
