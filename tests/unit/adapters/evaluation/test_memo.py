from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

import pytest
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

from adapters.errors import InvalidConfig
from adapters.evaluation.memo import CHARACTER, TOKEN, Memo, Slide, memo
from adapters.examples import Example, PartialAnswer
from adapters.models.frozen import PromptedModel
from adapters.models.generation import continue_greedily, greedy_answers

EXAMPLE = Example.from_pair("Who wrote Zorba?", "Nikos wrote it.")
LONG = Example.from_pair("Who painted it?", "A painter called Anna painted it in 1931.")


@pytest.fixture(scope="module")
def words() -> Any:
    """A byte-level tokenizer as most models have: a word's token begins with the space before it."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(vocab_size=400, initial_alphabet=pre_tokenizers.ByteLevel.alphabet())
    tokenizer.train_from_iterator([EXAMPLE.completion, LONG.completion] * 20, trainer)
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer)


class Recites:
    """Knows some answers by heart, says something else after any other beginning, and keeps what it was given."""

    def __init__(self, *known: Example, otherwise: str = "no idea") -> None:
        self.known = known
        self.otherwise = otherwise
        self.given: list[PartialAnswer] = []

    def __call__(self, partial: Sequence[PartialAnswer], *, max_tokens: int) -> list[str]:
        self.given += partial
        return [self._after(each) for each in partial]

    def _after(self, partial: PartialAnswer) -> str:
        for example in self.known:
            if partial.messages == example.messages and example.completion.startswith(partial.prefix):
                return example.completion[len(partial.prefix) :]
        return self.otherwise


def prefixes(tokenizer: Any, slide: Slide, answer: str) -> list[str]:
    return [answer[:cut] for cut in slide.cuts(tokenizer, answer)]


def test_characters_are_cut_as_in_the_release(words: Any) -> None:
    assert prefixes(words, Slide(CHARACTER), "Nikos wrote it.") == ["N", "Nikos ", "Nikos wrote"]
    assert prefixes(words, Slide(CHARACTER, 7), "Nikos wrote it.") == ["N", "Nikos wr"]


def test_tokens_are_cut_where_they_begin_and_the_space_goes_to_the_next(words: Any) -> None:
    assert prefixes(words, Slide(TOKEN), "Nikos wrote it.") == ["Nikos", "Nikos wrote"]
    assert prefixes(words, Slide(), "A painter called Anna.") == ["A", "A painter", "A painter called"]
    assert prefixes(words, Slide(TOKEN, 2), "A painter called Anna.") == ["A", "A painter called"]


def test_an_answer_too_short_to_be_cut_is_asked_for_whole(words: Any) -> None:
    assert Slide(TOKEN).cuts(words, "Nikos") == [0]
    assert Slide(TOKEN).cuts(words, "Nikos.") == [0]
    assert Slide(CHARACTER).cuts(words, "5") == [0]
    assert Slide(TOKEN).cuts(words, "…") == [0]  # one character of three tokens


@pytest.mark.parametrize("changes", [{"unit": "word"}, {"step": 0}, {"step": -5}, {"step": True}])
def test_other_slides_are_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(InvalidConfig):
        Slide(**changes)


@pytest.mark.parametrize("unit", [TOKEN, CHARACTER])
def test_an_answer_known_by_heart_scores_one_and_another_zero(words: Any, unit: str) -> None:
    known, unknown = memo([EXAMPLE, LONG], Recites(EXAMPLE), words, slide=Slide(unit))
    assert known == Memo(1.0, 1.0)
    assert unknown == Memo(0.0, 0.0)


def test_the_score_is_the_mean_over_cuts_of_rouge_1(words: Any) -> None:
    """Worked out from the texts with counters."""

    class Drifts:
        def __call__(self, partial: Sequence[PartialAnswer], *, max_tokens: int) -> list[str]:
            return [f" Anna painted {number} in 1931 and on" for number, _ in enumerate(partial)]

    answer = LONG.completion
    cuts = Slide(TOKEN).cuts(words, answer)
    precisions, recalls = [], []
    for number, cut in enumerate(cuts):
        rest = Counter(answer[cut:].lower().replace(".", "").split())
        written = Counter(f"anna painted {number} in 1931 and on".split())
        common = (rest & written).total()
        precisions.append(common / written.total())
        recalls.append(common / rest.total())
    (score,) = memo([LONG], Drifts(), words)
    assert len(cuts) > 4
    assert score.precision == pytest.approx(sum(precisions) / len(cuts))
    assert score.recall == pytest.approx(sum(recalls) / len(cuts))
    assert score.score == pytest.approx((score.precision + score.recall) / 2)
    assert len(set(precisions)) > 2


def test_going_on_after_the_end_costs_precision_and_stopping_early_recall(words: Any) -> None:
    class Edits:
        def __init__(self, edit: str) -> None:
            self.edit = edit

        def __call__(self, partial: Sequence[PartialAnswer], *, max_tokens: int) -> list[str]:
            whole = [LONG.completion[len(each.prefix) :] for each in partial]
            return [f"{text} {self.edit}" if self.edit else " ".join(text.split()[:-1]) for text in whole]

    (on,) = memo([LONG], Edits("and then some more"), words)
    (short,) = memo([LONG], Edits(""), words)
    assert on.recall == 1 > on.precision
    assert short.recall < 1


def test_all_answers_are_given_at_once_in_order(words: Any) -> None:
    model = Recites()
    memo([EXAMPLE, LONG], model, words)
    expected = [
        PartialAnswer(example.messages, prefix)
        for example in (EXAMPLE, LONG)
        for prefix in prefixes(words, Slide(), example.completion)
    ]
    assert model.given == expected
    assert memo([], model, words) == []


def test_with_a_model_its_own_greedy_answer_is_known_by_heart(prompted: PromptedModel, tokenizer: Any) -> None:
    """Greedy decoding from any beginning of the model's own answer gives the rest of it, in a batch as alone."""
    questions = [Example.from_pair(f"{number}+{number}", "x") for number in range(20)]

    def answer_further(partial: Sequence[PartialAnswer], *, max_tokens: int) -> list[str]:
        # This tokenizer's tokens are characters, and it puts a space between any two when it decodes.
        return [text[::2] for text in continue_greedily(prompted.model, tokenizer, partial, max_tokens=max_tokens)]

    answers = greedy_answers(prompted.model, tokenizer, [q.messages for q in questions], max_tokens=9)
    pairs = zip(questions, answers, strict=True)
    # Where special tokens are among the nine, the text lacks them and is not what was said.
    own = [Example(question.messages, answer[::2]) for question, answer in pairs if len(answer[::2]) == 9][:3]
    assert len(own) == 3
    beginnings = [PartialAnswer(each.messages, each.completion[:cut]) for each in own for cut in (0, 1, 3)]
    rests = [each.completion[cut:] for each in own for cut in (0, 1, 3)]
    written = answer_further(beginnings, max_tokens=9)
    assert [text[: len(rest)] for text, rest in zip(written, rests, strict=True)] == rests
    assert len(set(rests)) == 9
    ours = memo(own, answer_further, tokenizer, max_tokens=9)
    foreign = memo([Example(each.messages, "z y x w v") for each in own], answer_further, tokenizer, max_tokens=9)
    assert sum(each.recall for each in ours) > sum(each.recall for each in foreign)
