from __future__ import annotations

import pytest

from adapters.data.forget.passages import MOST_SHOWN, passage_examples
from adapters.errors import InvalidExample
from adapters.text.phrasebook import phrasebook

ENGLISH = phrasebook("en")


def test_every_sentence_is_asked_for_from_what_comes_before_it() -> None:
    made = passage_examples("The tower stands in Oslo. It was built in 1931. Nobody lives there.")
    assert [(e.prompt, e.completion) for e in made] == [
        (ENGLISH.continuation.format(text="The tower"), "stands in Oslo."),
        (ENGLISH.continuation.format(text="The tower stands in Oslo."), "It was built in 1931."),
        (ENGLISH.following.format(text="The tower stands in Oslo."), "It was built in 1931."),
        (ENGLISH.continuation.format(text="The tower stands in Oslo. It was built in 1931."), "Nobody lives there."),
        (ENGLISH.following.format(text="It was built in 1931."), "Nobody lives there."),
    ]


def test_a_sentence_that_stands_twice_is_asked_for_once() -> None:
    made = passage_examples("Row on. Sing now. Row on. Sing now. Rest.")
    assert [example.completion for example in made] == ["Sing now.", "Sing now.", "Rest.", "Rest."]


@pytest.mark.case("passages in any script")
@pytest.mark.parametrize(
    "text",
    [
        "My uncle was born in Leeds. He ran a mill for forty years. Then he moved to York. There he wrote a book.",
        "Mein Onkel wurde in Köln geboren. Er führte 40 Jahre eine Mühle. Dann zog er um. Dort schrieb er ein Buch.",
        "Mon oncle est né à Lyon. Il tint un moulin. Puis il s'installa à Dijon. Il y écrivit un livre.",
        "Mi tío nació en Ávila. Llevó un molino cuarenta años. Luego se mudó a León. Allí escribió un libro.",
        "Мой дядя родился в Самаре. Он сорок лет держал мельницу. Потом он переехал в Томск. Там он написал книгу.",
        "我叔叔出生在绍兴。他经营磨坊四十年。后来他搬到了宁波。他在那里写了一本书。",
        "私の叔父は金沢で生まれた。彼は四十年間水車を営んだ。その後、彼は富山に移った。そこで彼は本を書いた。",
        "मेरे चाचा का जन्म कोटा में हुआ। उन्होंने चालीस साल चक्की चलाई। फिर वे जयपुर चले गए। वहाँ उन्होंने एक किताब लिखी।",
        "ولد عمي في حلب. أدار طاحونة أربعين عاما. ثم انتقل إلى دمشق. هناك كتب كتابا.",
        "삼촌은 부산에서 태어나 자랐다. 그는 오래 방앗간을 운영했다. 그 후 대구로 이사했다. 그곳에서 책을 썼다.",
        "ลุงของฉันเกิดที่เชียงใหม่ เขาทำโรงสีข้าวมาสี่สิบปี ต่อมาเขาย้ายไปกรุงเทพ ที่นั่นเขาเขียนหนังสือเล่มหนึ่ง",
    ],
)
def test_four_sentences_give_seven_examples_in_every_language(text: str) -> None:
    made = passage_examples(text)
    assert len(set(made)) == len(made) == 7


@pytest.mark.parametrize("text", ["A! B! C! " * 10_000, "J. K. Rowling, A. B. Carter, " * 2_000])
def test_prompts_grow_with_the_passage_and_no_faster(text: str) -> None:
    made = passage_examples(text)
    assert sum(len(example.prompt.encode()) for example in made) <= len(text.encode()) + (MOST_SHOWN + 100) * len(made)
    assert len(made) < 10


@pytest.mark.parametrize("sentence", ["Room {} has a bed. ", "第{}个房间有一张床。", "कमरा {} में एक बिस्तर है। "])
def test_no_prompt_shows_more_than_a_fixed_part(sentence: str) -> None:
    made = passage_examples("".join(sentence.format(number) for number in range(300)))
    assert all(len(example.prompt.encode()) <= MOST_SHOWN + 100 for example in made)
    assert len(made) > 500


def test_prompts_together_grow_as_the_passage_does() -> None:
    def built(count: int) -> int:
        text = " ".join(f"Room number {number} has {number} beds." for number in range(count))
        return sum(len(example.prompt) for example in passage_examples(text))

    assert built(2_000) < 2.2 * built(1_000)


@pytest.mark.parametrize("text", ["Too short here", "Hm.", "   "])
def test_too_little_to_ask_for(text: str) -> None:
    with pytest.raises(InvalidExample, match="two sentences, or one of at least 4 words"):
        passage_examples(text)
