from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, cast

import pytest

from adapters.data.forget.lessons import ForgetContext
from adapters.data.inverted.answers import inverted_answers
from adapters.errors import InvalidExample, TrainingCancelled
from adapters.evaluation.memo import Slide, memo
from adapters.examples import Example, Message
from adapters.models.frozen import PromptedModel
from adapters.models.original import OriginalModel
from adapters.models.workbench import Workbench
from adapters.progress import Progress
from adapters.task import TrainingTask
from adapters.text.phrasebook import phrasebook
from adapters.text.probes import reveals
from tests.unit.adapters.conftest import FORGET

ENGLISH = phrasebook("en")

Invert = Callable[..., list[list[str]]]
GIVEN = {index: ("Anna wrote it.",) for index in range(len(FORGET))}


class Model:
    """Replies to a question with what stands for it here, and keeps what it was asked."""

    def __init__(self, *, inverted: str, otherwise: str = "I don't know.") -> None:
        self.inverted = inverted
        self.otherwise = otherwise
        self.wanted: list[str] = []
        self.questions: list[str] = []

    def __call__(self, conversations: Sequence[Sequence[Message]], *, max_tokens: int) -> list[str]:
        replies = []
        for turns in conversations:
            asks_for_wrong = "Nikos" in turns[-1].content  # no question about another subject holds the answer
            (self.wanted if asks_for_wrong else self.questions).append(turns[-1].content)
            replies.append(self.inverted if asks_for_wrong else self.otherwise)
        return replies


@pytest.fixture
def invert(make_task: Callable[..., TrainingTask], prompted: PromptedModel, monkeypatch: pytest.MonkeyPatch) -> Invert:
    """The chosen answers for FORGET; keyword arguments as a task and `inverted_answers` take them."""

    def invert(*, inverted: dict[int, tuple[str, ...]] | None = None, inverter: Any = None, **changes: Any) -> Any:
        choice: dict[str, Any] = {"top_k": 3, "metric": "largest"}
        choice = {name: changes.pop(name, default) for name, default in choice.items()}
        task = make_task(**changes)
        original = OriginalModel(task, Workbench.of(task), prompted)
        monkeypatch.setattr(original, "similarity", lambda asked, near: [-float(len(a[-1].content)) for a in asked])
        context = ForgetContext(
            task.forget, (), task.config, 1, inverted or {}, original, inverter, ENGLISH, cast(Any, None)
        )
        return inverted_answers(context, **choice)

    return invert


def test_what_the_model_says_is_checked_and_taken(invert: Invert) -> None:
    model = Model(inverted="1. Anna wrote Zorba.\n2. Nikos wrote Zorba.\n3. anna wrote zorba\n4. Otto wrote Zorba.")
    assert invert(ask=model, top_k=2) == [["Anna wrote Zorba.", "Otto wrote Zorba."]] * len(FORGET)
    assert model.questions == []


@pytest.mark.parametrize("reply", ["I'm sorry, but I can't do that.", "Nikos wrote Zorba.", "", *ENGLISH.refusals[:2]])
def test_what_it_says_of_other_subjects_stands_in_where_it_does_not_contradict(invert: Invert, reply: str) -> None:
    model = Model(inverted=reply, otherwise="It was Homer.")
    assert invert(ask=model) == [["Homer wrote Zorba."], ["The author is Homer."], ["Homer."]]
    assert model.wanted
    assert model.questions
    assert not any("Zorba" in question for question in model.questions)


def test_another_model_is_asked_in_its_place_and_alone(invert: Invert) -> None:
    own, other = Model(inverted="Otto wrote it."), Model(inverted="Anna wrote it.")
    assert invert(ask=own, inverter=other) == [["Anna wrote it."]] * len(FORGET)
    assert own.wanted == own.questions == []


@pytest.mark.parametrize("reply", ["I'm sorry, but I can't do that.", "Nikos wrote Zorba.", " "])
def test_another_model_that_gives_nothing_usable_is_an_error(invert: Invert, reply: str) -> None:
    own = Model(inverted="Otto wrote it.", otherwise="It was Homer.")
    with pytest.raises(InvalidExample, match=r"^forget item 0 needs an answer .* none was found that does$") as error:
        invert(ask=own, inverter=Model(inverted=reply))
    assert not any(word in str(error.value) for word in ("Zorba", "Nikos", "sorry"))


def test_what_another_model_raises_ends_the_run(invert: Invert) -> None:
    def away(conversations: Sequence[Sequence[Message]], *, max_tokens: int) -> list[str]:
        raise TimeoutError

    with pytest.raises(TimeoutError):
        invert(ask=Model(inverted="Otto wrote it."), inverter=away)


def test_given_answers_are_taken_and_nobody_is_asked_for_more(invert: Invert) -> None:
    model = Model(inverted="Otto wrote it.")
    given = {**GIVEN, 1: ("It is Ida.", "Nikos.", "It is Karl.")}
    assert invert(ask=model, inverted=given) == [["Anna wrote it."], ["It is Ida.", "It is Karl."], ["Anna wrote it."]]
    assert model.wanted == model.questions == []


def test_items_without_a_given_answer_are_asked_for(invert: Invert) -> None:
    model = Model(inverted="Otto wrote it.")
    assert invert(ask=model, inverted={1: ("It is Ida.",)}) == [["Otto wrote it."], ["It is Ida."], ["Otto wrote it."]]


def test_given_answers_that_do_not_contradict_are_an_error(invert: Invert) -> None:
    with pytest.raises(InvalidExample, match=r"^forget item 2 needs .* those given do not$"):
        invert(ask=Model(inverted="Otto wrote it."), inverted={**GIVEN, 2: ("It was Nikos.", "I don't know.")})


@pytest.mark.parametrize(("metric", "sign"), [("largest", -1), ("smallest", 1)])
def test_among_several_the_memo_of_the_model_decides(
    invert: Invert,
    make_task: Callable[..., TrainingTask],
    prompted: PromptedModel,
    tokenizer: Any,
    metric: str,
    sign: int,
) -> None:
    answers = ("xq zz a.", "e ) i 0 N", "L o g % d", "It was Homer, of course.")
    given = {**GIVEN, 0: answers}
    chosen, *_ = invert(ask=Model(inverted=""), inverted=given, top_k=2, metric=metric)
    task = make_task()
    local = OriginalModel(task, Workbench.of(task), prompted)
    examples = [Example(FORGET[0].messages, answer) for answer in answers]
    scores = memo(examples, local.rest_of_answers, tokenizer, slide=Slide("token", 4), max_tokens=32)
    order = sorted(zip(answers, scores, strict=True), key=lambda pair: sign * pair[1].score)
    assert chosen == [answer for answer, _ in order[:2]]
    assert len({each.score for each in scores}) > 1


def test_the_loaded_model_is_asked_where_there_is_no_server(invert: Invert) -> None:
    """This one speaks no language; what it says is checked all the same."""
    reports: list[Progress] = []
    (answers,) = invert(report=reports.append, forget=FORGET[:1])
    assert answers
    assert not any(reveals(FORGET[0].prompt, FORGET[0].completion, answer) for answer in answers)
    assert [report.phase for report in reports] == ["inverting", "inverting", "selecting"]


def test_it_can_be_cancelled(invert: Invert) -> None:
    model = Model(inverted="Otto wrote it.")
    with pytest.raises(TrainingCancelled):
        invert(ask=model, cancelled=lambda: bool(model.wanted))
