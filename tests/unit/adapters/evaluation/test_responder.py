"""Against plain `generate`, and against whole prefixes run anew for every token."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
import torch

from adapters.artifact.artifact import SOFT_PROMPT, TARGET
from adapters.artifact.spec import DELTA
from adapters.evaluation.attacks.probe import Prompt, Query
from adapters.evaluation.decoding import BatchLimits
from adapters.evaluation.responder import Responder
from adapters.evaluation.served import ServedModel
from adapters.examples import Message, PartialAnswer, one_turn
from adapters.models.frozen import PromptedModel
from adapters.models.generation import continue_greedily
from adapters.models.lora import attach, load_state
from adapters.models.tokens import encode_answer, encode_prompt, load_tokenizer
from tests.unit.adapters.evaluation.served_cases import Case, bare, offset, on_target, recomputed, soft

LINES = (
    Prompt(one_turn("Who wrote Zorba?")),
    Prompt((Message("user", "2+2"), Message("assistant", "It is 4."), Message("user", "And 3+3?"))),
    Prompt(one_turn("Name the capital of Peru."), prefix="The capital is"),
    Prompt(text="The capital of Peru is"),
)
KINDS: dict[str, Callable[[PromptedModel], Case]] = {
    "bare": bare,
    "soft": soft,
    "lora": on_target,
    "delta": lambda target: offset(target, DELTA, layers=2),
}


@pytest.fixture(params=KINDS)
def case(request: pytest.FixtureRequest, target: PromptedModel) -> Case:
    return KINDS[request.param](target)


@pytest.fixture(scope="module")
def tokenizer(model_path: Path) -> Any:
    return load_tokenizer(str(model_path))


@dataclass(frozen=True)
class Setting:
    case: Case
    target: PromptedModel
    tokenizer: Any

    def responder(self, limits: BatchLimits | None = None) -> Responder:
        return Responder(ServedModel(self.target, self.case.artifact, self.case.source), self.tokenizer, limits)

    def ids(self, prompt: Prompt) -> tuple[int, ...]:
        if not prompt.messages:
            return tuple(self.tokenizer(prompt.text)["input_ids"])
        prefix = encode_answer(self.tokenizer, prompt.prefix, ended=False) if prompt.prefix else ()
        return (*encode_prompt(self.tokenizer, prompt.messages), *prefix)

    def text(self, answer: tuple[int, ...]) -> str:
        stop = self.tokenizer.eos_token_id
        cut = answer[: answer.index(stop)] if stop in answer else answer
        return str(self.tokenizer.decode(cut, skip_special_tokens=True))


@pytest.fixture
def setting(case: Case, target: PromptedModel, tokenizer: Any) -> Setting:
    return Setting(case, target, tokenizer)


def test_greedy_texts_are_those_of_whole_prefixes_run_anew(setting: Setting) -> None:
    queries = [Query(prompt, max_tokens=length) for prompt, length in zip(LINES, (7, 4, 9, 6), strict=True)]
    expected = [
        (setting.text(recomputed(setting.case, setting.ids(query.prompt), query.max_tokens)),) for query in queries
    ]
    assert setting.responder().respond(queries) == expected


@pytest.mark.parametrize("kind", ["bare", "soft", "lora"])
def test_greedy_texts_are_those_of_generate(kind: str, target: PromptedModel, model_path: Path, tokenizer: Any) -> None:
    case = KINDS[kind](target)
    plain, rows = PromptedModel.load(model_path).model, None
    if case.artifact is not None:
        rows = case.artifact.tensors.get(SOFT_PROMPT)
        if rows is None:
            load_state(attach(plain, 4), TARGET, case.artifact.tensors)
    asked = [prompt for prompt in LINES if prompt.messages]
    partial = [PartialAnswer(prompt.messages, prompt.prefix) for prompt in asked]
    without = [each for each in partial if not each.prefix]
    expected = continue_greedily(plain, tokenizer, without, max_tokens=10, soft=rows)
    said = Setting(case, target, tokenizer).responder().respond([Query(prompt, max_tokens=10) for prompt in asked])
    assert [text for (text,), each in zip(said, partial, strict=True) if not each.prefix] == expected


def test_scores_are_those_of_whole_sequences(setting: Setting) -> None:
    prompts = [(prompt, (" Lima", " Nikos.", "x")) for prompt in LINES]
    scores = setting.responder(BatchLimits(5, 10_000)).score(prompts)
    for (prompt, continuations), sums in zip(prompts, scores, strict=True):
        for text, found in zip(continuations, sums, strict=True):
            sequence, expected = setting.ids(prompt), 0.0
            for token in encode_answer(setting.tokenizer, text, ended=False):
                with torch.no_grad():
                    expected += float(setting.case.logits(sequence).log_softmax(-1)[token])
                sequence = (*sequence, token)
            assert found == pytest.approx(expected, rel=1e-4)


def test_an_answer_is_held_to_the_choices(setting: Setting) -> None:
    """Greedily, token by token: the likeliest of those that go on towards one of them. One may begin another."""
    choices = ("Lima", "Lisbon", "Lisbon!", "Oslo", "4")
    said = setting.responder().respond([Query(prompt, max_tokens=2, choices=choices) for prompt in LINES])
    stop = setting.tokenizer.eos_token_id
    for prompt, (text,) in zip(LINES, said, strict=True):
        left = [(choice, encode_answer(setting.tokenizer, choice)) for choice in choices]
        sequence, at = setting.ids(prompt), 0
        while len(left) > 1:
            with torch.no_grad():
                logits = setting.case.logits(sequence)
            token = max({ids[at] for _, ids in left}, key=lambda token: float(logits[token]))
            left = [(choice, ids) for choice, ids in left if ids[at] == token]
            sequence, at = (*sequence, token), at + 1
            assert token != stop or len(left) == 1
        assert text == left[0][0]


@pytest.mark.parametrize("choices", [("Lima",), ("a b", "a c"), ("é?", "!")])
def test_choices_come_back_as_they_were_given(setting: Setting, choices: tuple[str, ...]) -> None:
    (said,) = setting.responder().respond([Query(LINES[0], choices=choices, samples=3, temperature=1.0)])
    assert set(said) <= set(choices)


def test_samples_follow_from_their_seeds_alone(setting: Setting) -> None:
    """In whatever batch, and whoever is asked beside."""
    query = Query(LINES[0], max_tokens=6, temperature=1.0, samples=6, seed=3)
    (together,) = setting.responder().respond([query])
    assert len(set(together)) > 1
    others = [replace(query, prompt=prompt, seed=50) for prompt in LINES[1:]]
    assert setting.responder(BatchLimits(4, 10_000)).respond([*others, query])[-1] == together
    later = setting.responder().respond([replace(query, seed=5, samples=4)])
    assert later == [together[2:]]
    assert setting.responder().respond([replace(query, seed=100)]) != [together]


def test_samples_are_drawn_by_probability(target: PromptedModel, tokenizer: Any) -> None:
    """The first token of 2000 samples, against the model's distribution at the same temperature."""
    setting = Setting(bare(target), target, tokenizer)
    query = Query(LINES[3], max_tokens=1, temperature=0.7, samples=2000)
    (said,) = setting.responder(BatchLimits(512, 10**6)).respond([query])
    with torch.no_grad():
        expected = (setting.case.logits(setting.ids(query.prompt)) / 0.7).softmax(-1)
    top = [int(token) for token in expected.topk(4).indices]
    for token in top:
        share = sum(text == tokenizer.decode([token]) for text in said) / len(said)
        deviation = (float(expected[token]) * (1 - float(expected[token])) / len(said)) ** 0.5
        assert abs(share - float(expected[token])) < 4 * deviation


def test_greedy_samples_are_all_the_same(setting: Setting) -> None:
    (said,) = setting.responder().respond([Query(LINES[0], max_tokens=5, samples=3)])
    assert len(said) == 3
    assert len(set(said)) == 1


def test_a_prompt_without_a_token_is_refused(setting: Setting) -> None:
    with pytest.raises(ValueError, match="no token"):
        setting.responder().respond([Query(Prompt())])


def test_nothing_asked_is_nothing_answered(setting: Setting) -> None:
    assert setting.responder().respond([]) == []
    assert setting.responder().score([]) == []


class Merging:
    """The tokenizer with one token more than characters: "s " is written as that of "#"."""

    def __init__(self, tokenizer: Any) -> None:
        self._tokenizer = tokenizer

    def __call__(self, text: str, **rest: Any) -> Any:
        return self._tokenizer(text.replace("s ", "#"), **rest)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._tokenizer, name)


@pytest.mark.parametrize(
    ("text", "continuation"), [("It is", " Lima"), ("It is ", "Lima"), ("It", " is Lima"), ("s", " L")]
)
def test_a_continuation_is_scored_as_one_text_with_its_prompt(
    target: PromptedModel, tokenizer: Any, text: str, continuation: str
) -> None:
    """It may melt into the prompt's last token, which is scored with it then."""
    merging = Merging(tokenizer)
    setting = Setting(bare(target), target, tokenizer)
    ((found,),) = Responder(ServedModel(target), merging).score([(Prompt(text=text), (continuation,))])
    whole, alone = (tuple(merging(each)["input_ids"]) for each in (text + continuation, text))
    start = max(1, next((n for n, (a, b) in enumerate(zip(whole, alone, strict=False)) if a != b), len(alone)))
    with torch.no_grad():
        logprobs = [setting.case.logits(whole[:n]).log_softmax(-1)[whole[n]] for n in range(start, len(whole))]
    assert found == pytest.approx(float(sum(logprobs)), rel=1e-4)
