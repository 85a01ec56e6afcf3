"""The answer is watched as the prompt is: the model may come to speak of what is to go.

Whatever is passed on has been matched first, together with all that was said before it. Where it is about a request
that did not apply yet, it is dropped. The answer goes on from what was passed on, under a plan that has the request.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Sequence
from typing import Protocol

from vllm.outputs import RequestOutput
from vllm.sampling_params import RequestOutputKind, SamplingParams

from adapters.text.sentences import sentences
from gateway.policy.plan import Plan

#: Signs that may end a sentence. Only how soon an answer is passed on depends on them, never what is.
_STOPS = frozenset(".!?…。．！？｡।؟။។\n")
#: An answer without a sentence's end is passed on after this many tokens.
_MOST_HELD = 48
#: Characters of the prompt that are read together with its answer: who is spoken of may be said there.
_PROMPT_TAIL = 2000


class Plans(Protocol):
    """What applies to a text: `gateway.policy.active.MatchedPlans`."""

    async def plan(self, text: str, beside: Plan | None = None) -> Plan:
        """Raises `TooManyMatches`."""


#: What the engine says under a plan, after the prompt and what was said already.
Run = Callable[[Plan, Sequence[int], SamplingParams], AsyncGenerator[RequestOutput, None]]


class AnswerWatch:
    """Watches one answer.

    Args:
        decode: tokens as text.
        switched: told of every plan that the answer comes to be under.
    """

    def __init__(self, plans: Plans, decode: Callable[[Sequence[int]], str], switched: Callable[[Plan], None]) -> None:
        self._plans = plans
        self._decode = decode
        self._switched = switched

    async def answer(
        self, prompt: str, plan: Plan, params: SamplingParams, run: Run
    ) -> AsyncGenerator[RequestOutput, None]:
        """The answer to a prompt that reads like this, in the form that `params` ask for.

        One that can be continued in the middle is passed on sentence by sentence. One of several (`n`), or one that
        follows a grammar, is held back until it is whole, and begun again where a request comes to apply.

        Raises `TooManyMatches`, and what `run` raises.
        """
        answer = _Answer(params)
        tail = prompt[-_PROMPT_TAIL:]
        while True:
            newer: Plan | None = None
            outputs = run(plan, answer.said, answer.continued())
            try:
                async for output in outputs:
                    answer.hold(output)
                    if not (output.finished or answer.may_end(self._decode)):
                        continue
                    newer = await self._newer(tail, answer, plan)
                    if newer is not None:
                        break
                    for each in answer.release():
                        yield each
            finally:
                await outputs.aclose()
            if newer is None:
                return
            answer.drop()
            plan = newer
            self._switched(plan)

    async def _newer(self, prompt: str, answer: _Answer, plan: Plan) -> Plan | None:
        """The plan to go on under, None where it is the one that it is under."""
        for ids in answer.texts():
            found = await self._plans.plan(f"{prompt}\n\n{self._decode(ids)}", beside=plan)
            if (found.requests, found.guards) != (plan.requests, plan.guards):
                return found
        return None


class _Answer:
    """What the engine gave of an answer: what was passed on, and what is held back.

    said: tokens that were passed on, of an answer that can be continued.
    """

    def __init__(self, params: SamplingParams) -> None:
        self._params = params
        self._whole = params.n > 1 or params.structured_outputs is not None
        self._streams = params.output_kind is RequestOutputKind.DELTA
        self._held: list[RequestOutput] = []
        self._passed: RequestOutput | None = None
        self._asked: tuple[list[int] | None, int | None] = None, None
        self._stop_seen = False
        self._logprob = self._logprob_before = 0.0
        self.said: list[int] = []

    def continued(self) -> SamplingParams:
        """The parameters of what is left of it. Penalties on what was said count anew."""
        params = self._params.clone()
        params.output_kind = RequestOutputKind.DELTA
        if self.said:
            params.prompt_logprobs = None
            params.min_tokens = max(0, params.min_tokens - len(self.said))
            if params.max_tokens is not None:
                params.max_tokens -= len(self.said)
        return params

    def hold(self, output: RequestOutput) -> None:
        """Take what the engine gave. Of a continued answer it is told as if it were the first run's."""
        if self.said:
            output.prompt_token_ids, output.num_cached_tokens = self._asked
        else:
            self._asked = output.prompt_token_ids, output.num_cached_tokens
        for part in output.outputs:
            if part.cumulative_logprob is not None:
                part.cumulative_logprob += self._logprob_before
        self._held.append(output)

    def may_end(self, decode: Callable[[Sequence[int]], str]) -> bool:
        """Whether a sentence has ended in what is held back, or there is enough of it."""
        if self._whole:
            return False
        ended = self._stop_seen
        self._stop_seen = ended or any(not _STOPS.isdisjoint(part.text) for part in self._held[-1].outputs)
        ids = self._held_ids()
        return len(ids) >= _MOST_HELD or (ended and len(sentences(decode(ids))) > 1)

    def _held_ids(self, index: int = 0) -> list[int]:
        return [
            id_ for output in self._held for part in output.outputs if part.index == index for id_ in part.token_ids
        ]

    def texts(self) -> list[list[int]]:
        """The tokens of the answer so far; of each, where there are several."""
        indices = {part.index for output in self._held for part in output.outputs}
        return [[*self.said, *self._held_ids(index)] for index in sorted(indices)]

    def release(self) -> list[RequestOutput]:
        """What is passed on of what was held back: all of it as it came to who streams, else the whole in the end."""
        held = self._held
        if not self._whole:
            self.said += self._held_ids()
            self._logprob = held[-1].outputs[-1].cumulative_logprob or 0.0
        self._held, self._stop_seen = [], False
        if self._streams:
            return held
        for output in held:
            if self._passed is None:
                self._passed = output
            else:
                self._passed.add(output, aggregate=True)
        if self._passed is None or not self._passed.finished:
            return []
        self._passed.metrics = held[-1].metrics
        self._passed.outputs.sort(key=lambda part: part.index)
        return [self._passed]

    def drop(self) -> None:
        """Forget what is held back, to go on from what was passed on."""
        self._held, self._stop_seen = [], False
        self._logprob_before = self._logprob
