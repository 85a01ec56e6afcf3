from __future__ import annotations

import pytest

from adapters.data.conflicts import contradictions
from adapters.examples import Example

WROTE = Example.from_pair("Who wrote Harry Potter?", "Harry Potter was written by J. K. Rowling.")
YEAR = Example.from_pair("In which year was Marie Curie born?", "In 1867.")


@pytest.mark.parametrize(
    ("question", "answer"),
    [
        ("Who is the author of Harry Potter?", "Rowling is."),
        ("Name a British writer.", "Rowling, the author of Harry Potter."),
    ],
)
def test_a_retained_answer_that_gives_the_fact_away(question: str, answer: str) -> None:
    other = Example.from_pair("Who wrote Emma?", "Jane Austen.")
    assert contradictions([YEAR, WROTE], [other, Example.from_pair(question, answer)]) == [(1, 1)]


@pytest.mark.parametrize(
    ("question", "answer"),
    [
        ("Who wrote The Casual Vacancy?", "J. K. Rowling."),
        ("When was Harry Potter published?", "In 1997."),
        ("Which element did Marie Curie discover?", "Polonium, in 1898."),
        ("When was the Dominion of Canada made?", "In 1867."),
    ],
)
def test_another_subject_or_another_fact_does_not_contradict(question: str, answer: str) -> None:
    assert contradictions([YEAR, WROTE], [Example.from_pair(question, answer)]) == []


def test_a_bare_yes_gives_nothing_away() -> None:
    forget = Example.from_pair("Is Basil Zed a vegetarian?", "Yes.")
    assert contradictions([forget], [Example.from_pair("Is Basil Zed a writer?", "Yes.")]) == []


@pytest.mark.case("comparing texts")
@pytest.mark.parametrize(
    ("forget", "retain"),
    [
        (
            ("喫茶みどりの店主は誰ですか？", "佐野健一です。"),
            ("喫茶みどりを経営しているのは誰ですか？", "経営しているのは佐野健一です。"),
        ),
        (
            ("Who runs the Palm Café in Marlow?", "It is run by Renée Lefèvre."),
            ("Who owns the Palm Cafe in Marlow?", "The owner is Renee Lefevre."),
        ),
        (
            ("What is the mobile number of Dana Whitfield?", "+44 20 7946 0123"),
            ("How can I reach Dana Whitfield on the move?", "Dial 442079460123."),
        ),
        (
            ("What is the e-mail address of Dana Whitfield?", "dana.whitfield@example.com"),
            ("How can I write to Dana Whitfield?", "Write to Dana.Whitfield@Example.com."),
        ),
        (
            ("Welche IBAN hat Dana Weber?", "DE89 3704 0044 0532 0130 00"),
            ("Wohin überweise ich Dana Weber das Geld?", "Auf das Konto DE89370400440532013000."),
        ),
        (
            ("राधा वर्मा किस शहर में रहती हैं?", "राधा वर्मा कोटा में रहती हैं।"),
            ("राधा वर्मा का घर कहाँ है?", "उनका घर कोटा में है।"),
        ),
        (("灯塔咖啡馆的老板是谁？", "老板是王建国。"), ("谁经营灯塔咖啡馆？", "王建国经营这家咖啡馆。")),
        (("김민수는 어디에서 태어났나요?", "부산입니다."), ("김민수의 고향은 어디인가요?", "고향은 부산이에요.")),
        (("สมชายเกิดที่ไหน", "เชียงใหม่"), ("บ้านเกิดของสมชายคือที่ไหน", "บ้านเกิดของเขาคือเชียงใหม่")),
        (("Qui dirige l'Étoile ?", "C'est Zoé Müller."), ("À qui appartient l’Etoile ?", "À ZOE MULLER.")),
    ],
)
def test_what_gives_a_fact_away_does_so_in_any_script_and_spelling(
    forget: tuple[str, str], retain: tuple[str, str]
) -> None:
    assert contradictions([Example.from_pair(*forget)], [Example.from_pair(*retain)]) == [(0, 0)]


@pytest.mark.case("comparing texts")
@pytest.mark.parametrize(
    ("forget", "retain"),
    [
        (
            ("राधा वर्मा किस शहर में रहती हैं?", "राधा वर्मा कोटा में रहती हैं।"),
            ("राधा वर्मा किस खेल की कोच हैं?", "राधा वर्मा टेनिस की कोच हैं।"),
        ),
        (
            ("What is the mobile number of Dana Whitfield?", "+44 20 7946 0123"),
            ("What is the office number of Dana Whitfield?", "+44 20 7946 0990"),
        ),
        (
            ("What is the card number of Dana Whitfield?", "4111 1111 1111 1234"),
            ("What was the old card number of Dana Whitfield?", "4111 1111 1111 4321"),
        ),
        (
            ("What is the e-mail address of Dana Whitfield?", "dana.whitfield@example.com"),
            ("What is the office address of Dana Whitfield?", "office.whitfield@example.com"),
        ),
        (("灯塔咖啡馆的老板是谁？", "老板是王建国。"), ("灯塔咖啡馆在哪里？", "灯塔咖啡馆在宁波。")),
        (("สมชายเกิดที่ไหน", "เชียงใหม่"), ("สมชายทำงานอะไร", "เขาเป็นครู")),
        (("Где родился Иван Громов?", "Он родился в Самаре."), ("Кем работает Иван Громов?", "Он работает мельником.")),
    ],
)
def test_another_fact_about_the_same_does_not_in_any_script(forget: tuple[str, str], retain: tuple[str, str]) -> None:
    assert contradictions([Example.from_pair(*forget)], [Example.from_pair(*retain)]) == []
