"""A service whose tokens are words, each as unlikely as it is long."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from typing import Any

import httpx
import pytest

from adapters.evaluation.likelihood import AnswerScore
from adapters.examples import Message, one_turn
from gateway.client.client import PLAN_OFF, UnlearnClient
from gateway.client.errors import BadAnswer
from gateway.client.examiner import Examiner
from tests.unit.adapters.evaluation.tofu.published import Asked

ASKED = one_turn("Who wrote Emma?")
QUESTION = Asked("Who wrote Emma?", "Jane Austen", None, ("Bo",))


@dataclass
class Words:
    """behind: what its chat template puts behind an answer. likeliest: words that are. logprobs: of what it reads."""

    behind: tuple[str, ...] = ("<end>", "Ċ")
    likeliest: frozenset[str] = frozenset({"Austen"})
    logprobs: bool = True
    known: list[str] = field(default_factory=list)
    requests: list[tuple[str, str | None, dict[str, Any]]] = field(default_factory=list)

    def __call__(self, request: httpx.Request) -> httpx.Response:
        if request.url.path == "/v1/models":
            return httpx.Response(200, json={"data": [{"id": "served"}]})
        body = json.loads(request.content)
        self.requests.append((request.url.path, request.headers.get("x-unlearning-plan"), body))
        if request.url.path == "/tokenize":
            words = self.words(body)
            self.known += [word for word in dict.fromkeys(words) if word not in self.known]
            return httpx.Response(200, json={"tokens": [*map(self.known.index, words)], "token_strs": words})
        if request.url.path == "/v1/chat/completions":
            return httpx.Response(200, json={"choices": [{"message": {"content": "Jane did."}}]})
        choices = [{"index": index, "prompt_logprobs": self.read(ids)} for index, ids in enumerate(body["prompt"])]
        return httpx.Response(200, json={"choices": choices[::-1]})  # in whatever order

    def words(self, body: dict[str, Any]) -> list[str]:
        if "prompt" in body:
            return ["<begin>"] * body["add_special_tokens"] + re.findall(r"\S+", body["prompt"])
        turns = [word for turn in body["messages"] for word in (f"<{turn['role']}>", *turn["content"].split())]
        if body.get("add_generation_prompt", True):
            return [*turns, "<assistant>"]
        return turns if body.get("continue_final_message") else [*turns, *self.behind]

    def read(self, ids: list[int]) -> list[dict[str, Any] | None] | None:
        if not self.logprobs:
            return None
        words = [self.known[token] for token in ids]
        return [
            None,
            *(
                {str(token): {"logprob": -float(len(word)), "rank": 2 - (word in self.likeliest)}}
                for token, word in list(zip(ids, words, strict=True))[1:]
            ),
        ]

    def texts(self) -> list[list[str]]:
        """What was read, as words."""
        read = [body["prompt"] for path, _, body in self.requests if path == "/v1/completions"]
        return [[self.known[token] for token in ids] for prompts in read for ids in prompts]


def examiner(service: Words, system: str | None = None) -> Examiner:
    client = UnlearnClient("http://other", operator_token=lambda: "op", transport=httpx.MockTransport(service))
    return Examiner(client, max_tokens=9, system=system)


def test_an_answer_is_read_with_the_end_of_its_turn() -> None:
    service = Words()
    read = examiner(service).read([(ASKED, ("Jane Austen", "Bo"))], plan=PLAN_OFF)
    assert read == [(AnswerScore((4 + 6 + 5) / 3, (False, True)), AnswerScore((2 + 5) / 2, (False,)))]
    assert service.texts()[1] == ["<user>", "Who", "wrote", "Emma?", "<assistant>", "Bo", "<end>"]


@pytest.mark.parametrize(
    ("behind", "end"),
    [
        (("<end>", "Ċ"), ["<end>"]),
        (("▁", "</s>"), ["</s>"]),
        (("Ġ", "Ċ", "<|im_end|>", "Ċ"), ["<|im_end|>"]),
        (("<eot>",), ["<eot>"]),
        (("\n",), []),
        ((), []),
    ],
)
def test_the_end_of_turn_is_what_the_template_has(behind: tuple[str, ...], end: list[str]) -> None:
    service = Words(behind)
    ((read,),) = examiner(service).read([(ASKED, ("Jane Austen",))], plan=None)
    assert service.texts()[0][5:] == ["Jane", "Austen", *end]
    assert read.correct == (False, True)
    assert read.loss == pytest.approx((10 + sum(map(len, end))) / (2 + len(end)))


def test_questions_are_answered_and_their_answers_read() -> None:
    service = Words()
    (heard,) = examiner(service, "Be brief.").hear([QUESTION], plan="candidate:req_1")
    assert (heard.text, len(heard.read)) == ("Jane did.", 2)
    (asked,) = [body for path, _, body in service.requests if path == "/v1/chat/completions"]
    assert asked["messages"] == [turn.to_dict() for turn in (Message("system", "Be brief."), *ASKED)]
    assert (asked["temperature"], asked["max_tokens"]) == (0, 9)
    assert service.texts()[0][:3] == ["<system>", "Be", "brief."]
    plans = {plan for path, plan, _ in service.requests if path.startswith("/v1/")}
    assert plans == {"candidate:req_1"}


def test_what_no_plan_changes_is_asked_once() -> None:
    service = Words()
    asked = examiner(service)
    first = asked.hear([QUESTION], plan=PLAN_OFF)
    tokenized = [path for path, _, _ in service.requests].count("/tokenize")
    assert asked.hear([QUESTION], plan=None) == first
    assert [path for path, _, _ in service.requests].count("/tokenize") == tokenized


def test_nothing_is_asked_of_no_question() -> None:
    service = Words()
    assert examiner(service).hear([], plan=None) == []
    assert service.requests == []


def test_a_service_that_does_not_say_how_it_reads_is_an_error() -> None:
    with pytest.raises(BadAnswer, match="gave no log-probabilities"):
        examiner(Words(logprobs=False)).read([(ASKED, ("Bo",))], plan=None)
