"""What stays, as examples: those the caller gave, or questions that the model itself is asked."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from adapters.data.retain.choice import choose_questions, general_questions, without_forgotten
from adapters.data.retain.names import recurring_names, renamed
from adapters.data.settings import DataSettings
from adapters.examples import Message, one_turn
from adapters.models.frozen import PromptedModel
from adapters.models.generation import greedy_answers
from adapters.models.similarity import first_quarter, question_similarity, similarity
from adapters.models.tokens import TokenizedExample, encode_answer, encode_pair, encode_prompt
from adapters.models.workbench import Workbench
from adapters.progress import Progress
from adapters.task import TrainingTask

#: Asked at once of a service: as many as it takes in a batch; in between a run can be cancelled.
_CHUNK = 128


def given_retain(
    task: TrainingTask, config: DataSettings, model: PromptedModel, tokenizer: Any
) -> tuple[list[TokenizedExample], list[TokenizedExample]]:
    """(hard, general) of the examples that the caller gave: those nearest to the forget prompts, and the rest.

    Where the given examples name others, there are also twins, the forget prompts about those, which are hard, and
    siblings, their own prompts about one another, which are not. Among the rest are bundled questions about anything
    else, for who gives neighbours wants all else kept too. All these with the original model's answers, as long as
    those that were given. Raises `TrainingCancelled` when told to stop.
    """
    items = task.retain or ()
    scores = similarity(
        first_quarter(model),
        [encode_prompt(tokenizer, item.messages) for item in items],
        [encode_prompt(tokenizer, item.messages) for item in task.forget],
    )
    ranked = sorted(range(len(items)), key=lambda index: -scores[index])
    encoded = [encode_pair(tokenizer, items[index].messages, items[index].completion) for index in ranked]
    nearest = min(config.retain_nearest, (len(encoded) + 1) // 2)
    prompts, kept = [item.prompt for item in task.forget], [item.prompt for item in items]
    forgotten = recurring_names(prompts)
    own, given = {name.casefold() for name in forgotten}, set(kept)
    named = [name for name in recurring_names(kept) if name.casefold() not in own]
    twins = renamed(prompts, forgotten, named, count=config.retain_twins, seed=config.seed)
    siblings = renamed(kept, named, named, count=config.retain_siblings, seed=config.seed)
    lengths = sorted(len(example.answer_ids) for example in encoded)
    longest = max(config.retain_tokens, lengths[len(lengths) // 2] if lengths else 0)
    anything = general_questions(
        [*prompts, *kept],
        config.retain_questions - config.retain_nearest if items else 0,
        framed_fraction=config.framed_fraction,
        seed=config.seed,
    )
    asked = [question for question in dict.fromkeys([*twins, *siblings, *anything]) if question not in given]
    answered = _answered_by_model(task, asked, longest, model, tokenizer)
    hard = [answered.pop(twin) for twin in twins if twin in answered]
    return [*encoded[:nearest], *hard], [*encoded[nearest:], *answered.values()]


def made_retain(
    task: TrainingTask, prompts: Sequence[str], config: DataSettings, model: PromptedModel, tokenizer: Any
) -> tuple[list[TokenizedExample], list[TokenizedExample]]:
    """(hard, general) of questions chosen by the prompts that are to be forgotten, with the original model's answers.

    Raises `TrainingCancelled` when told to stop.
    """
    questions = choose_questions(
        prompts,
        question_similarity(model, tokenizer),
        count=config.retain_questions,
        nearest=config.retain_nearest,
        twin_count=config.retain_twins,
        sibling_count=config.retain_siblings,
        framed_fraction=config.framed_fraction,
        seed=config.seed,
    )
    asked = list(dict.fromkeys([*questions.hard, *questions.general]))
    kept = _answered_by_model(task, asked, config.retain_tokens, model, tokenizer)

    def encode(chosen: Sequence[str]) -> list[TokenizedExample]:
        return [kept[question] for question in dict.fromkeys(chosen) if question in kept]

    return encode(questions.hard), encode(questions.general)


def _answered_by_model(
    task: TrainingTask, asked: Sequence[str], max_tokens: int, model: PromptedModel, tokenizer: Any
) -> dict[str, TokenizedExample]:
    """Each question with the original model's answer, cut at `max_tokens`, but for those whose answer states what is to
    be forgotten."""
    if not asked:
        return {}

    def between(done: int) -> None:
        task.check_cancelled()
        task.report(Progress("retain", done, len(asked)))

    between(0)
    answers = original_answers(task, model, tokenizer, [one_turn(q) for q in asked], max_tokens, between)
    return {
        question: _answered(tokenizer, question, answer, max_tokens)
        for question, answer in without_forgotten(asked, answers, task.forget)
    }


def original_answers(
    task: TrainingTask,
    model: PromptedModel,
    tokenizer: Any,
    conversations: Sequence[Sequence[Message]],
    max_tokens: int,
    between: Callable[[int], None],
) -> list[str]:
    """The original model's answers, from the service where there is one, and each asked for once a job.

    between: as in `greedy_answers`.
    """

    def ask(positions: list[int]) -> list[str]:
        asked = [conversations[position] for position in positions]
        if task.ask is None:
            return greedy_answers(model.model, tokenizer, asked, max_tokens=max_tokens, between=between)
        answers: list[str] = []
        for start in range(0, len(asked), _CHUNK):
            answers += task.ask(asked[start : start + _CHUNK], max_tokens=max_tokens)
            between(len(answers))
        return answers

    return Workbench.of(task).answered(conversations, max_tokens, ask)


def _answered(tokenizer: Any, question: str, answer: str, max_tokens: int) -> TokenizedExample:
    """An answer as long as the limit was cut there, so no end of turn is trained after it."""
    cut = len(encode_answer(tokenizer, answer, ended=False)) >= max_tokens
    return encode_pair(tokenizer, one_turn(question), answer, ended=not cut)
