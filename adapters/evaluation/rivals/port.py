"""Clean the prompt, judge the answer, think again: all by the model itself."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import replace

from adapters.evaluation.attacks.probe import Prompt, Query
from adapters.evaluation.attacks.reading import likeliest
from adapters.evaluation.rivals.phrases import phrases
from adapters.evaluation.rivals.refusal_prompt import described
from adapters.evaluation.rivals.rival import Continued, Forgotten, Guard, Respondent, Rival, alike
from adapters.examples import Message, one_turn

#: Times that the model is asked for another answer before a refusal comes.
_ROUNDS = 2
#: Of each kind that the model is shown before it cleans or judges.
_SHOWN = 3
_CLEANED_TOKENS, _ANSWER_TOKENS = 48, 48
#: General answers that the judge's bound is taken from, and the bundled questions between one and the next.
_HARMLESS, _APART = 12, 7
#: In nats; likelihoods are rounded by the batch that they are read in.
_ROUNDING = 0.1


class Port(Rival):
    """The model strips a prompt to its question, answers that, judges the two together, and answers anew if need be.

    After PoRT, "Robust LLM Unlearning via Post Judgment and Multi-Round Thinking", ICLR 2026: few-shot cleaning of the
    prompt, judgement of the cleaned prompt together with its response, and several rounds of self-correction where the
    judgement is against the response. Changed: cleaning and answering are two steps; the judge, for which the paper
    trains a classifier, is the model itself, by how much likelier "yes" is than "no" after examples made of the items
    and of general questions, and its bound is the highest that any of some other general answers comes to; after two
    rounds a refusal comes. A likelihood is that of the cleaned prompt, unless its likeliest continuation is judged
    against: then all are alike.
    """

    name = "port"

    def around(self, model: Respondent, forgotten: Forgotten) -> Guard:
        return _Judged(model, forgotten)


class _Judged(Guard):
    def __init__(self, model: Respondent, forgotten: Forgotten) -> None:
        super().__init__(model, forgotten)
        self._phrases = phrases(forgotten.book.language)
        self._what = described(forgotten)
        general = forgotten.book.retain_questions[::_APART][: _SHOWN + _HARMLESS]
        prompts = [Prompt(one_turn(question)) for question in general]
        said = model.respond([Query(prompt, max_tokens=_ANSWER_TOKENS) for prompt in prompts])
        answered = [(prompt, texts[0]) for prompt, texts in zip(prompts, said, strict=True)]
        self._cleaning = self._shown_cleaning(general[:_SHOWN])
        self._judging = self._shown_judging(answered[:_SHOWN])
        harmless = [against for against in self._against(answered[_SHOWN:]) if against < math.inf]
        self._bound = max(harmless, default=-math.inf) + _ROUNDING

    def admit(self, prompts: Sequence[Prompt]) -> list[Prompt | None]:
        """With the last turn cleaned. Plain text is as it is: it asks nothing."""
        turns = [prompt.messages[-1].content if prompt.messages else "" for prompt in prompts]
        texts = [
            f"{self._cleaning}{_line(self._phrases.message, turn)}{self._phrases.question}:" for turn in turns if turn
        ]
        asked = [Query(Prompt(text=text), max_tokens=_CLEANED_TOKENS) for text in texts]
        cleaned = iter(self.model.respond(asked))
        questions = [_first_line(next(cleaned)[0]) if turn else "" for turn in turns]
        return [
            replace(prompt, messages=(*prompt.messages[:-1], Message("user", question))) if question else prompt
            for prompt, question in zip(prompts, questions, strict=True)
        ]

    def releases(self, answered: Sequence[tuple[Prompt, str]]) -> list[bool]:
        """What the judge cannot read does not get through."""
        return [against <= self._bound for against in self._against(answered)]

    def _against(self, answered: Sequence[tuple[Prompt, str]]) -> list[float]:
        """How much likelier the model finds it that an answer gives something away than that it does not, in nats."""
        lines = [
            _line(self._phrases.question, _question(prompt)) + _line(self._phrases.answer, prompt.prefix + text)
            for prompt, text in answered
        ]
        # A word after a label has a space before it, and to a model that is part of the word.
        verdicts = (f" {self._phrases.yes}", f" {self._phrases.no}")
        scored = self.model.score(
            [(Prompt(text=f"{self._judging}{line}{self._phrases.verdict}:"), verdicts) for line in lines]
        )
        return [scores[0] - scores[1] if scores else math.inf for scores in scored]

    def score(self, prompts: Sequence[Continued]) -> list[tuple[float, ...]]:
        _, asked = self._admitted(prompts)
        scored = self.model.score(asked)
        # What a model cannot read at all has no scores.
        likely = [
            (prompt, continuations[likeliest(scores)])
            for (prompt, continuations), scores in zip(asked, scored, strict=True)
            if scores
        ]
        released = iter(self.releases(likely))
        return [
            alike(continuations) if scores and not next(released) else scores
            for (_, continuations), scores in zip(prompts, scored, strict=True)
        ]

    def _settled(self, asked: Sequence[Query], said: Sequence[tuple[str, ...]]) -> list[tuple[str, ...]]:
        """The answers that the judge lets through, some after another round; refusals in place of the others."""
        queries = [query for query, texts in zip(asked, said, strict=True) for _ in texts]
        texts = [text for each in said for text in each]
        left = self._rejected(queries, texts, range(len(texts)))
        for _ in range(_ROUNDS):
            again = self._rethink([(queries[place], texts[place]) for place in left])
            for place, text in zip(left, again, strict=True):
                texts[place] = text
            left = self._rejected(queries, texts, left)
        for place in left:
            texts[place] = self.forgotten.refusal
        settled = iter(texts)
        return [tuple(next(settled) for _ in each) for each in said]

    def _rejected(self, queries: Sequence[Query], texts: Sequence[str], places: Iterable[int]) -> list[int]:
        """Those of the places whose text is judged against."""
        looked_at = list(places)
        released = self.releases([(queries[place].prompt, texts[place]) for place in looked_at])
        return [place for place, passes in zip(looked_at, released, strict=True) if not passes]

    def _rethink(self, answered: Sequence[tuple[Query, str]]) -> list[str]:
        """Other answers, in a turn of their own. What goes on with plain text is refused at once."""
        demand = Message("user", self._phrases.rethink.format(what=self._what, refusal=self.forgotten.refusal))
        asked = [
            replace(query, prompt=Prompt((*query.prompt.messages, _said(query.prompt, text), demand)), samples=1)
            for query, text in answered
            if query.prompt.messages
        ]
        again = iter(self.model.respond(asked))
        return [next(again)[0] if query.prompt.messages else self.forgotten.refusal for query, _ in answered]

    def _shown_cleaning(self, general: Sequence[str]) -> str:
        """Messages with other words around a question, and the question."""
        book = self.forgotten.book
        asked = [*self.forgotten.prompts[:_SHOWN], *general]
        wrapped = [
            (frame.replace("{question}", question), question)
            for frame, question in zip(book.frames * len(asked), asked, strict=False)
        ]
        shown = [_line(self._phrases.message, m) + _line(self._phrases.question, q) for m, q in wrapped]
        return "\n".join([f"{self._phrases.cleaning}\n", *shown, ""])

    def _shown_judging(self, harmless: Sequence[tuple[Prompt, str]]) -> str:
        """Items and general questions in turn, with their answers and verdicts."""
        given = [(item.prompt, item.completion, self._phrases.yes) for item in self.forgotten.items[:_SHOWN]]
        others = [(_question(prompt), answer, self._phrases.no) for prompt, answer in harmless]
        refused = [(prompt, self.forgotten.refusal, self._phrases.no) for prompt in self.forgotten.prompts[:1]]
        shown = [
            _line(self._phrases.question, question)
            + _line(self._phrases.answer, answer)
            + _line(self._phrases.verdict, verdict)
            for pair in (*zip(given, others, strict=False), refused, given[:1])
            for question, answer, verdict in pair
        ]
        heading = self._phrases.judging.format(what=self._what)
        return "\n".join([f"{heading}\n", *shown, ""])


def _line(label: str, text: str) -> str:
    return f"{label}: {' '.join(text.split())}\n"


def _question(prompt: Prompt) -> str:
    return prompt.messages[-1].content if prompt.messages else prompt.text


def _first_line(text: str) -> str:
    return text.strip().partition("\n")[0].strip()


def _said(prompt: Prompt, text: str) -> Message:
    """The model's own turn; an empty one is no message."""
    return Message("assistant", (prompt.prefix + text).strip() or "…")
