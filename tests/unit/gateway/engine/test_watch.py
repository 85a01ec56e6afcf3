"""The watched answer over an engine's edge: a model that says given sentences under given plans."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import pytest
from vllm.outputs import CompletionOutput, RequestOutput
from vllm.sampling_params import RequestOutputKind, SamplingParams, StructuredOutputsParams

from adapters.artifact.footprint import Footprint
from gateway.engine.watch import AnswerWatch
from gateway.errors import TooManyMatches
from gateway.policy.plan import AdapterRef, Plan, PlanBuilder, PlanMode

PROMPT = "user\nTell me of books.\nassistant\n"
PLANS = PlanBuilder(b"k")


def plan_of(*requests: str) -> Plan:
    return PLANS.build(PlanMode.ACTIVE, [AdapterRef(each, each * 64, Footprint(1)) for each in requests])


NOTHING = plan_of()
#: What a request is about, by its id.
ABOUT = {"p": "Potter", "h": "Hobbit"}


class Texts:
    """`Plans` that go by words; `read` is all they were asked of."""

    def __init__(self) -> None:
        self.read: list[str] = []

    async def plan(self, text: str, beside: Plan | None = None) -> Plan:
        self.read.append(text)
        before = set(() if beside is None else beside.requests)
        found = {each for each, word in ABOUT.items() if word in text}
        if len(found) > 1 and "too many" in text:
            raise TooManyMatches("too many")
        return plan_of(*sorted(before | found))


@dataclass
class Model:
    """Says a text a letter at a time: token ids are code points. `says`: by the requests of the plan."""

    says: dict[tuple[str, ...], str]
    runs: list[tuple[tuple[str, ...], str, SamplingParams]] = field(default_factory=list)
    closed: int = 0
    given: int = 0

    async def run(self, plan: Plan, said: Sequence[int], params: SamplingParams) -> AsyncGenerator[RequestOutput, None]:
        assert params.output_kind is RequestOutputKind.DELTA
        self.runs.append((plan.requests, decode(said), params))
        text = self.says[plan.requests]
        assert params.max_tokens is not None
        end = min(len(text), params.max_tokens)
        try:
            for number, character in enumerate(text[:end], 1):
                await asyncio.sleep(0)
                self.given += 1
                yield output(
                    [ord(character)],
                    character,
                    prompt=[1, 2, *said],
                    logprob=-float(number),
                    finish=None if number < end else "stop" if end == len(text) else "length",
                    parts=params.n,
                )
        finally:
            self.closed += 1


def output(
    ids: list[int], text: str, *, prompt: list[int], logprob: float, finish: str | None, parts: int = 1
) -> RequestOutput:
    made = [
        CompletionOutput(index, text, list(ids), logprob, [{ids[0]: None}], finish_reason=finish)
        for index in range(parts)
    ]
    return RequestOutput("r", None, prompt, None, made, finish is not None, num_cached_tokens=len(prompt) // 2)


def decode(ids: Sequence[int]) -> str:
    return "".join(map(chr, ids))


async def answered(
    model: Model, texts: Texts | None = None, *, streams: bool = True, plan: Plan = NOTHING, **params: Any
) -> tuple[list[RequestOutput], list[Plan]]:
    kind = RequestOutputKind.DELTA if streams else RequestOutputKind.FINAL_ONLY
    switched: list[Plan] = []
    watch = AnswerWatch(texts or Texts(), decode, switched.append)
    asked = SamplingParams(output_kind=kind, **{"max_tokens": 500, **params})
    return [each async for each in watch.answer(PROMPT, plan, asked, model.run)], switched


def text_of(outputs: Sequence[RequestOutput], index: int = 0) -> str:
    return "".join(part.text for output in outputs for part in output.outputs if part.index == index)


PLAIN = "There are many. Some are long. Some are short."


@pytest.mark.parametrize("streams", [True, False])
async def test_an_answer_about_nothing_is_what_the_engine_said(streams: bool) -> None:
    model = Model({(): PLAIN})
    outputs, switched = await answered(model, streams=streams)
    assert text_of(outputs) == PLAIN
    assert not switched
    assert len(model.runs) == model.closed == 1
    assert len(outputs) == (len(PLAIN) if streams else 1)
    assert outputs[-1].finished
    assert outputs[-1].outputs[0].finish_reason == "stop"
    assert outputs[-1].outputs[0].cumulative_logprob == -len(PLAIN)


SPEAKS = "There are many. The best is Harry Potter. It is long."
AFTER = " The best is hard to say. All are good."


@pytest.mark.parametrize("streams", [True, False])
async def test_the_sentence_that_speaks_of_it_is_never_passed_on(streams: bool) -> None:
    model = Model({(): SPEAKS, ("p",): AFTER})
    outputs, switched = await answered(model, streams=streams)
    text = text_of(outputs)
    assert text.startswith("There are many. ")
    assert "Potter" not in text
    assert text.endswith(AFTER)
    assert [each.requests for each in switched] == [("p",)]
    (first, _, _), (second, said, _) = model.runs
    assert (first, second) == ((), ("p",))
    assert text == said + AFTER
    assert model.closed == 2
    assert model.given < len(SPEAKS) + len(AFTER), "the engine was ended at the sentence"


@pytest.mark.parametrize("streams", [True, False])
async def test_usage_and_logprobs_are_of_what_was_passed_on(streams: bool) -> None:
    model = Model({(): SPEAKS, ("p",): AFTER})
    outputs, _ = await answered(model, streams=streams, logprobs=1)
    parts = [part for each in outputs for part in each.outputs]
    ids = [id_ for part in parts for id_ in part.token_ids]
    entries = [next(iter(entry)) for part in parts for entry in part.logprobs or ()]
    assert decode(ids) == text_of(outputs)
    assert entries == ids
    assert {tuple(each.prompt_token_ids or ()) for each in outputs} == {(1, 2)}
    assert {each.num_cached_tokens for each in outputs} == {1}
    said = len(model.runs[1][1])
    assert parts[-1].cumulative_logprob == -said - len(AFTER)


async def test_of_an_answer_that_begins_with_it_nothing_is_passed_on() -> None:
    model = Model({(): "Harry Potter is. It is long.", ("p",): PLAIN})
    outputs, _ = await answered(model)
    assert text_of(outputs) == PLAIN
    assert model.runs[1][1] == ""


@pytest.mark.parametrize("ending", ["", ".", "!?", "。"])
async def test_the_end_of_an_answer_is_read_whether_or_not_its_sentence_ends(ending: str) -> None:
    model = Model({(): f"It is Harry Potter{ending}", ("p",): "I cannot say."})
    outputs, _ = await answered(model)
    assert text_of(outputs) == "I cannot say."


async def test_a_name_across_two_sentences_is_seen() -> None:
    texts = Texts()
    both = "Many know Har. ry"
    await answered(Model({(): both + " and more. And more."}), texts)
    assert any(both in text for text in texts.read), "all that was said before is read with it"
    assert all(text.startswith(PROMPT) for text in texts.read), "and so is the prompt"


async def test_text_without_a_sentence_is_read_before_it_is_passed_on() -> None:
    words = "word " * 40
    model = Model({(): f"{words}Harry Potter {words}", ("p",): "on"})
    outputs, _ = await answered(model)
    assert "Potter" not in text_of(outputs)
    assert text_of(outputs).startswith("word word")
    assert model.given < 2 * len(words)


async def test_it_may_come_to_speak_of_several_things() -> None:
    model = Model({(): SPEAKS, ("p",): " Or The Hobbit. Yes.", ("h", "p"): " Or none. Yes."})
    outputs, switched = await answered(model)
    text = text_of(outputs)
    assert "Potter" not in text
    assert "Hobbit" not in text
    assert text.endswith(" Or none. Yes.")
    assert [each.requests for each in switched] == [("p",), ("h", "p")]


async def test_what_applies_already_is_not_begun_again() -> None:
    model = Model({("p",): SPEAKS})
    outputs, switched = await answered(model, plan=plan_of("p"))
    assert text_of(outputs) == SPEAKS
    assert not switched


async def test_what_is_left_of_the_tokens_is_what_was_not_passed_on() -> None:
    model = Model({(): SPEAKS, ("p",): AFTER})
    outputs, _ = await answered(model, max_tokens=40, min_tokens=20, prompt_logprobs=1)
    said = len(model.runs[1][1])
    assert said > 0
    again = model.runs[1][2]
    assert (again.max_tokens, again.min_tokens, again.prompt_logprobs) == (40 - said, max(0, 20 - said), None)
    assert len(text_of(outputs)) == 40
    assert outputs[-1].outputs[0].finish_reason == "length"


@pytest.mark.parametrize("streams", [True, False])
@pytest.mark.parametrize("params", [{"n": 2}, {"structured_outputs": StructuredOutputsParams(regex=".*")}])
async def test_what_cannot_be_continued_is_begun_again(streams: bool, params: dict[str, Any]) -> None:
    model = Model({(): SPEAKS, ("p",): PLAIN})
    outputs, switched = await answered(model, streams=streams, **params)
    assert text_of(outputs) == PLAIN
    assert text_of(outputs, 1) == (PLAIN if "n" in params else "")
    assert [each.requests for each in switched] == [("p",)]
    assert [said for _, said, _ in model.runs] == ["", ""]
    assert model.closed == 2
    assert outputs[-1].finished


async def test_a_caller_who_leaves_ends_the_engine_s_run() -> None:
    model = Model({(): PLAIN})
    watch = AnswerWatch(Texts(), decode, lambda plan: None)
    asked = SamplingParams(output_kind=RequestOutputKind.DELTA, max_tokens=500)
    answer = watch.answer(PROMPT, NOTHING, asked, model.run)
    await anext(answer)
    await answer.aclose()
    assert model.closed == 1
    assert model.given < len(PLAIN)


async def test_too_many_requests_for_one_answer_are_refused() -> None:
    model = Model({(): "Harry Potter and The Hobbit are too many. Yes."})
    with pytest.raises(TooManyMatches):
        await answered(model)
    assert model.closed == 1


class Guarding(Texts):
    """One of the requests is not active yet: what is about it is refused."""

    async def plan(self, text: str, beside: Plan | None = None) -> Plan:
        before = NOTHING if beside is None else beside
        return replace(before, guards=("p",)) if before.guards or ABOUT["p"] in text else before


@pytest.mark.parametrize("streams", [True, False])
@pytest.mark.parametrize("n", [1, 2])
async def test_an_answer_that_comes_to_be_guarded_ends_with_a_refusal(streams: bool, n: int) -> None:
    model = Model({(): SPEAKS})
    refused: list[str] = []

    def run(plan: Plan, said: Sequence[int], params: SamplingParams) -> AsyncGenerator[RequestOutput, None]:
        if not plan.guards:
            return model.run(plan, said, params)
        refused.append(decode(said))
        return refusal(n)

    async def refusal(parts: int) -> AsyncGenerator[RequestOutput, None]:
        yield output([ord("!")], "!", prompt=[1, 2], logprob=0.0, finish="content_filter", parts=parts)

    switched: list[Plan] = []
    kind = RequestOutputKind.DELTA if streams else RequestOutputKind.FINAL_ONLY
    watch = AnswerWatch(Guarding(), decode, switched.append)
    outputs = [
        each async for each in watch.answer(PROMPT, NOTHING, SamplingParams(n=n, max_tokens=500, output_kind=kind), run)
    ]
    assert [each.guards for each in switched] == [("p",)]
    assert text_of(outputs) == f"{refused[0]}!"
    assert refused == ([""] if n > 1 else ["There are many. T"])
    assert outputs[-1].outputs[0].finish_reason == "content_filter"
