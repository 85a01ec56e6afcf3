"""A refusal is content to every parser, and any other answer is what the parser makes of it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from vllm.entrypoints.generate.base.protocol import DeltaMessage
from vllm.parser.abstract_parser import Parser

from gateway.engine.parsing import taking_refusals
from gateway.policy import context as policy_context
from gateway.policy.context import PolicyContext
from gateway.policy.plan import PlanBuilder, PlanMode

TEXT = "I'm sorry, I don't know that."


class Greedy(Parser):  # type: ignore[misc]  # untyped
    """Takes all for a thought, and for the arguments of a call."""

    def __init__(self) -> None:
        pass

    def parse(self, model_output: str, *args: Any, **kwargs: Any) -> Any:
        return model_output, None, ["call"]

    def parse_delta(self, delta_text: str, *args: Any, **kwargs: Any) -> Any:
        return DeltaMessage(reasoning=delta_text)

    def count_reasoning_tokens(self, token_ids: Any) -> int:
        return len(token_ids)


Greedy.__abstractmethods__ = frozenset()


@pytest.fixture(params=[True, False, None], ids=["refused", "answered", "no context"])
def refused(request: pytest.FixtureRequest) -> Iterator[bool]:
    if request.param is not None:
        plan = PlanBuilder(b"k").build(PlanMode.ACTIVE, ())
        policy_context.bind(PolicyContext(plan, holding=None, refused=request.param))  # type: ignore[arg-type]  # holds nothing
    yield bool(request.param)
    policy_context.bind(None)  # type: ignore[arg-type]  # as before


def test_it_is_content(refused: bool) -> None:
    parser = taking_refusals(Greedy)()
    assert parser.parse(TEXT, None) == ((None, TEXT, []) if refused else (TEXT, None, ["call"]))
    delta = parser.parse_delta(TEXT, [1, 2], None, finished=True)
    assert delta is not None
    assert (delta.content, delta.reasoning) == ((TEXT, None) if refused else (None, TEXT))
    assert parser.count_reasoning_tokens((1, 2)) == (0 if refused else 2)
