"""vLLM's parsers of answers, told which are refusals: those are content, whatever tools or thoughts are asked for.

A parser takes the answer to a call that is demanded by name for the call's arguments, and one without the sign that
thinking is over for a thought.
"""

from __future__ import annotations

from typing import Any

from vllm.entrypoints.generate.base.protocol import DeltaMessage
from vllm.parser.abstract_parser import Parser

from gateway.policy import context as policy_context


def taking_refusals(parser: type[Parser]) -> type[Parser]:
    """The same parser, and of a refusal all is content."""

    class RefusalParser(parser):  # chosen at run time
        def parse(self, model_output: str, *args: Any, **kwargs: Any) -> Any:
            return (None, model_output, []) if _is_refusal() else super().parse(model_output, *args, **kwargs)

        def parse_delta(self, delta_text: str, *args: Any, **kwargs: Any) -> Any:
            return (
                DeltaMessage(content=delta_text) if _is_refusal() else super().parse_delta(delta_text, *args, **kwargs)
            )

        def count_reasoning_tokens(self, token_ids: Any) -> int:
            return 0 if _is_refusal() else super().count_reasoning_tokens(token_ids)

    return RefusalParser


def _is_refusal() -> bool:
    context = policy_context.current()
    return context is not None and context.refused
