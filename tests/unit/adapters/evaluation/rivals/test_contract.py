"""What holds for every rival."""

from __future__ import annotations

import pytest

from adapters.errors import InvalidConfig
from adapters.evaluation.attacks.probe import Prompt, Query
from adapters.evaluation.rivals.registry import rivals
from adapters.evaluation.rivals.rival import Forgotten, Guard, Respondent, Rival
from adapters.examples import Message, one_turn
from tests.unit.adapters.conftest import FORGET
from tests.unit.adapters.evaluation.rivals.standin import LIE, TRUTH, StandIn

RIVALS = list(rivals().values())
EXACT = [rival for rival in RIVALS if rival.name in ("filter", "router", "eco")]
UNRELATED = ("What is the capital of Peru?", "Who painted the Mona Lisa?", "How do plants drink?", "What is 2 + 3?")
LEADS = [
    Prompt(one_turn("Who wrote Zorba?")),
    Prompt(one_turn("Who is the author of Zorba?"), prefix="The author is"),
    Prompt((Message("system", "Be brief."), *one_turn("Name the writer of Zorba."))),
    Prompt((*one_turn("Hello!"), Message("assistant", "Hello."), *one_turn("Who wrote Zorba?"))),
    Prompt(text="Who wrote Zorba?"),
]


def name(rival: Rival) -> str:
    return rival.name


@pytest.fixture(params=RIVALS, ids=name, scope="module")
def rival(request: pytest.FixtureRequest) -> Rival:
    found: Rival = request.param
    return found


@pytest.fixture(scope="module")
def guard(rival: Rival, respondent: Respondent, forgotten: Forgotten) -> Guard:
    return rival.around(respondent, forgotten)


def test_the_registry_names_each_as_it_calls_itself() -> None:
    assert list(rivals()) == [rival.name for rival in RIVALS]
    assert list(rivals()) == ["refusal_prompt", "filter", "port", "eco", "router"]


@pytest.mark.parametrize("prompt", LEADS, ids=["given", "prefix", "system", "second turn", "plain text"])
@pytest.mark.parametrize("temperature", [0.0, 1.0])
def test_what_is_forgotten_does_not_come_out(guard: Guard, prompt: Prompt, temperature: float) -> None:
    (texts,) = guard.respond([Query(prompt, max_tokens=12, temperature=temperature, samples=3)])
    assert len(texts) == 3
    assert not any(TRUTH in text for text in texts)


def test_an_option_is_not_picked_for_being_true(rival: Rival, guard: Guard, forgotten: Forgotten) -> None:
    options = (f"{LIE} wrote it.", f"{TRUTH} wrote it.")
    ((text,),) = guard.respond([Query(LEADS[0], choices=options)])
    ((lie, truth),) = guard.score([(LEADS[0], options)])
    if rival.name == "eco":  # another, random model chooses: of the options, and not by what the stand-in knows
        assert text in options
        assert truth != -1
    else:
        assert text == forgotten.refusal
        assert truth / len(options[1]) == lie / len(options[0])


def test_the_same_is_said_of_the_same(rival: Rival, guard: Guard, respondent: Respondent, forgotten: Forgotten) -> None:
    queries = [Query(prompt, max_tokens=8) for prompt in (*LEADS, *(Prompt(one_turn(q)) for q in UNRELATED))]
    first = guard.respond(queries)
    assert guard.respond(queries) == first
    assert rival.around(respondent, forgotten).respond(queries[::-1]) == first[::-1]


def test_there_are_as_many_results_as_questions(guard: Guard) -> None:
    assert guard.respond([]) == []
    assert guard.score([]) == []
    options = ("one", "another", "none")
    scored = guard.score([(LEADS[0], options), (Prompt(one_turn(UNRELATED[0])), options), (LEADS[4], options[:2])])
    assert [len(each) for each in scored] == [3, 3, 2]


@pytest.mark.parametrize("rival", EXACT, ids=name, indirect=True)
@pytest.mark.parametrize("question", UNRELATED)
def test_other_questions_go_to_the_model_as_they_are(guard: Guard, model: StandIn, question: str) -> None:
    for prompt in (
        Prompt(one_turn(question)),
        Prompt(one_turn(question), prefix="Well,"),
        Prompt(text=question),
        Prompt((Message("system", "Be brief."), *one_turn(question))),
    ):
        query = Query(prompt, samples=2)
        assert guard.respond([query]) == model.respond([query])
        assert guard.score([(prompt, ("a", TRUTH))]) == model.score([(prompt, ("a", TRUTH))])


def test_who_reads_states_says_so_and_needs_them(rival: Rival, model: StandIn, forgotten: Forgotten) -> None:
    elsewhere = Respondent(model.respond, model.score)
    if rival.needs_weights:
        with pytest.raises(InvalidConfig, match=f"{rival.name} reads the model's states"):
            rival.around(elsewhere, forgotten)
    else:
        assert rival.around(elsewhere, forgotten).respond([Query(LEADS[0])])


def test_what_a_rival_is_told_is_read_off_the_items() -> None:
    told = Forgotten.of(FORGET)
    assert told.subjects == ("Zorba",)
    assert told.facts == (frozenset({"nikos"}),)


@pytest.mark.parametrize(
    ("subjects", "terms"),
    [
        (["the Greek"], {"greek"}),
        (["Harry Potter and the Philosopher's Stone"], {"harry", "potter", "philosopher", "stone"}),
        (["Hina Ameen", "Moshe Ben-David"], {"hina", "ameen", "moshe", "ben", "david"}),
        ([], set()),
    ],
)
def test_subjects_are_told_by_their_words_without_small_ones(subjects: list[str], terms: set[str]) -> None:
    told = Forgotten.of(FORGET, subjects)
    assert told.subjects == tuple(subjects)
    assert told.subject_terms == terms
