"""Says what is wrong with a grammar that the engine refused; vLLM tells no more than that the answer failed."""

from __future__ import annotations

import asyncio
import re
import time

from vllm.sampling_params import SamplingParams, StructuredOutputsParams
from vllm.v1.engine.async_llm import AsyncLLM
from vllm.v1.request import Request
from vllm.v1.structured_output import StructuredOutputManager
from vllm.v1.structured_output.backend_types import StructuredOutputGrammar

_POLL_S = 0.01
#: Where in its own sources, and when, xgrammar found what it complains about.
_ORIGIN = re.compile(r"^\[[\d:]+\] \S+:\d+: ")
#: What the self-check asks for before anybody else does. An engine has the backend that its first grammar needed,
#: whatever is best for those that follow.
FIRST_SCHEMA = '{"type": "object", "required": []}'
_DEAD_END = "no token fits it, and whatever else the request asks for, any further"


class GrammarCheck:
    """Compiles a grammar as the engine does, with vLLM's own backend; for a request that has failed already."""

    def __init__(self, engine: AsyncLLM) -> None:
        self._engine = engine
        self._manager: StructuredOutputManager | None = None
        self._lock = asyncio.Lock()

    async def refusal(self, wanted: StructuredOutputsParams) -> str:
        """What the backend says against the grammar, on one line."""
        async with self._lock:
            outcome = await asyncio.to_thread(self._compile, wanted)
        if not isinstance(outcome, Exception):
            return _DEAD_END
        return _ORIGIN.sub("", " ".join(str(outcome).split()))

    def _compile(self, wanted: StructuredOutputsParams) -> StructuredOutputGrammar | Exception:
        if self._manager is None:
            self._manager = StructuredOutputManager(self._engine.vllm_config)
            self._compile(StructuredOutputsParams(json=FIRST_SCHEMA))
        params = SamplingParams(max_tokens=1, structured_outputs=wanted)
        config = self._engine.vllm_config
        params.verify(
            config.model_config, None, config.structured_outputs_config, self._engine.renderer.get_tokenizer()
        )
        request = Request("grammar", [0], params, None)
        self._manager.grammar_init(request)
        compiling = request.structured_output_request
        assert compiling is not None
        while not compiling.is_grammar_ready:
            time.sleep(_POLL_S)
        assert compiling.grammar is not None
        return compiling.grammar
