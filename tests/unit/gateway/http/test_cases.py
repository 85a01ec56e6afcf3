"""Sets that were once taken wrongly, or wrongly refused, registered over the routes; see `tests.cases`."""

from __future__ import annotations

from typing import Any

import pytest

from tests.unit.gateway.http.test_forget import Api, api  # noqa: F401  # a fixture
from tests.unit.gateway.requests.test_service import setup  # noqa: F401  # a fixture

BODY = {"method": "spul", "activation": "manual", "scope": {"prompts": "always"}}


def pair(prompt: str, completion: str) -> dict[str, str]:
    return {"prompt": prompt, "completion": completion}


PASSAGES = {
    "four sentences, en": "My uncle was born in Leeds. He ran a mill for forty years. Then he moved to York. "
    "There he wrote a book.",
    "four sentences, ru": "Мой дядя родился в Самаре. Он сорок лет держал мельницу. Потом он переехал в Томск. "
    "Там он написал книгу.",
    "four sentences, zh": "我叔叔出生在绍兴。他经营磨坊四十年。后来他搬到了宁波。他在那里写了一本书。",
    "four sentences, ja": "私の叔父は金沢で生まれた。彼は四十年間水車を営んだ。その後、彼は富山に移った。"
    "そこで彼は本を書いた。",
    "four sentences, hi": "मेरे चाचा कोटा में पैदा हुए। उन्होंने चालीस साल चक्की चलाई। फिर वे जयपुर चले गए। "
    "वहाँ उन्होंने एक किताब लिखी।",
    "four sentences, ar": "ولد عمي في حلب. أدار طاحونة أربعين عاما. ثم انتقل إلى حمص. هناك كتب كتابا.",
    "four sentences, el": "Ο θείος μου γεννήθηκε στον Βόλο. Είχε έναν μύλο σαράντα χρόνια. Μετά πήγε στην Πάτρα. "
    "Εκεί έγραψε ένα βιβλίο.",
}
FOOTER = "All rights reserved by the Bramley Courier. No part may be reproduced."
REPEATS: dict[str, tuple[list[dict[str, Any]], int, int]] = {
    "two articles with one footer": (
        [
            {"text": f"The mayor of Bramley keeps bees. He has nine hives. {FOOTER}"},
            {"text": f"The Bramley bridge was closed in May. It opens again in June. {FOOTER}"},
        ],
        0,
        0,
    ),
    "the same pair twice": ([pair("Who keeps the lighthouse?", "Ines Calloway keeps it.")] * 2, 1, 1),
    "the same passage thrice": ([{"text": "The mill burned down. Nobody saw it."}] * 3, 0, 4),
    "a pair and the same as a conversation": (
        [
            pair("Who keeps the lighthouse?", "Ines Calloway."),
            {
                "messages": [
                    {"role": "user", "content": "Who keeps the lighthouse?"},
                    {"role": "assistant", "content": "Ines Calloway."},
                ]
            },
        ],
        1,
        1,
    ),
}
#: {name: (forget, retain, status)}
COMPARED = {
    "given away in Japanese": (
        pair("喫茶みどりの店主は誰ですか？", "佐野健一です。"),
        pair("喫茶みどりを経営しているのは誰ですか？", "経営しているのは佐野健一です。"),
        422,
    ),
    "given away without the accents": (
        pair("Who runs the Palm Café in Marlow?", "It is run by Renée Lefèvre."),
        pair("Who owns the Palm Cafe in Marlow?", "The owner is Renee Lefevre."),
        422,
    ),
    "another fact about the same person, in Hindi": (
        pair("राधा वर्मा किस शहर में रहती हैं?", "राधा वर्मा कोटा में रहती हैं।"),
        pair("राधा वर्मा किस खेल की कोच हैं?", "राधा वर्मा टेनिस की कोच हैं।"),
        202,
    ),
    "another number of the same exchange": (
        pair("What is the mobile number of Dana Whitfield?", "+44 20 7946 0123"),
        pair("What is the office number of Dana Whitfield?", "+44 20 7946 0990"),
        202,
    ),
    "the same number written together": (
        pair("What is the mobile number of Dana Whitfield?", "+44 20 7946 0123"),
        pair("How can I reach Dana Whitfield on the move?", "Dial 442079460123."),
        422,
    ),
    "given away in full-width letters": (
        pair("Who runs the mill in Leeds?", "Ottoline Quill"),
        pair("Whose mill is it in Leeds?", "It is Ｏｔｔｏｌｉｎｅ Ｑｕｉｌｌ's."),
        422,
    ),
    "given away in Thai, without spaces": (
        pair("เจ้าของร้านใบไม้คือใคร", "สมชาย ใจดี"),
        pair("ใครเปิดร้านใบไม้", "ร้านนี้เปิดโดยสมชาย ใจดี"),
        422,
    ),
    "another account at the same bank": (
        pair("What is the account number of Tom Fenwick?", "DE02 1203 0000 0000 2020 51"),
        pair("What is the account number of the Fenwick mill?", "DE02 5001 0517 0137 0750 30"),
        202,
    ),
}


@pytest.mark.case("passages in any script")
@pytest.mark.parametrize("name", PASSAGES)
async def test_of_four_sentences_seven_examples_are_made(api: Api, name: str) -> None:  # noqa: F811
    answer = await api.call("POST", "/forget", json=BODY | {"forget": [{"text": PASSAGES[name]}]})
    assert (answer.status_code, answer.json()["forget_count"]) == (202, 7)


@pytest.mark.case("repeats")
@pytest.mark.parametrize("name", REPEATS)
async def test_what_stands_twice_counts_once(api: Api, name: str) -> None:  # noqa: F811
    items, count, repeats = REPEATS[name]
    answer = await api.call("POST", "/forget", json=BODY | {"forget": items})
    record = answer.json()
    assert answer.status_code == 202, record
    assert not count or record["forget_count"] == count
    assert not repeats or record["intake"]["forget"]["repeats"] == repeats


@pytest.mark.case("comparing texts")
@pytest.mark.parametrize("name", COMPARED)
async def test_what_is_retained_may_not_give_away_what_is_forgotten(api: Api, name: str) -> None:  # noqa: F811
    forget, retain, status = COMPARED[name]
    answer = await api.call("POST", "/forget", json=BODY | {"forget": [forget], "retain": [retain]})
    assert answer.status_code == status, answer.text
    assert status == 202 or "forget.0 and retain.0" in answer.text


@pytest.mark.case("comparing texts")
@pytest.mark.parametrize("answer", ["👍", "…", "—", "?!"])
async def test_an_answer_without_a_word(api: Api, answer: str) -> None:  # noqa: F811
    items = [pair("What does Tom think of it?", answer), pair("Who runs the Palm Café?", "Renée Lefèvre")]
    refused = await api.call("POST", "/forget", json=BODY | {"forget": items})
    assert (refused.status_code, "forget item 0" in refused.text) == (422, True), refused.text


@pytest.mark.case("passages in any script")
@pytest.mark.parametrize("text", [f"Chapter one {'.' * 8000} 7", "A! " * 30_000, "J. Doe, " * 4000], ids=range(3))
async def test_a_long_text_is_answered_whatever_it_is_made_of(api: Api, text: str) -> None:  # noqa: F811
    answer = await api.call("POST", "/forget", json=BODY | {"forget": [{"text": text}]})
    assert answer.status_code in (202, 422)
