"""The answers a model is to learn in place of those to be forgotten, for the objectives that need some."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from adapters.data.inverted.inversion import AskedInversions, Invert, choose, contradictions
from adapters.data.inverted.substitution import SubstitutedInversions
from adapters.errors import InvalidExample
from adapters.evaluation.memo import TOKEN, Memo, Slide, memo
from adapters.examples import Example, Message
from adapters.models.frozen import PromptedModel
from adapters.models.generation import LocalModel
from adapters.objectives.meow import Meow
from adapters.progress import Progress
from adapters.task import Ask, TrainingTask
from adapters.text.twins import Similarity

#: For choosing among a few answers; coarser than a report's, at a quarter of the cost.
_SLIDE = Slide(TOKEN, 4)
_CONTINUATION_TOKENS = 32
_CHUNK = 32


def inverted_answers(
    task: TrainingTask,
    objective: Meow,
    model: PromptedModel,
    tokenizer: Any,
    similarity: Similarity,
    seed: int,
) -> list[list[str]]:
    """For each forget item 1 to top_k answers that contradict its own.

    Those the task brings are taken first, and only those for an item that has some. Another model that the task names
    is asked for the rest. Where it names none the model itself is, and where too few of its answers contradict, what it
    says of other subjects is put in place of the fact.

    Raises `InvalidExample` naming an item's position when nothing that contradicts it was found, whatever
    `task.inverter` raises, `TrainingCancelled` when told to stop.
    """

    def between(_done: int) -> None:
        task.check_cancelled()

    local = LocalModel(model.model, tokenizer, between)
    ask = _interruptible(task.ask or local.ask, task)
    sources: list[Invert] = [AskedInversions(_interruptible(task.inverter, task) if task.inverter else ask)]
    if task.inverter is None:
        sources.append(SubstitutedInversions(ask, similarity, [example.prompt for example in task.forget]))

    def memos(examples: Sequence[Example]) -> list[Memo]:
        return memo(examples, local.continue_answers, tokenizer, slide=_SLIDE, max_tokens=_CONTINUATION_TOKENS)

    found = _found(task, sources, objective.top_k)
    chosen = []
    for index, (example, answers) in enumerate(zip(task.forget, found, strict=True)):
        if not answers:
            given = "those given do not" if index in task.inverted else "none was found that does"
            raise InvalidExample(f"forget item {index} needs an answer that contradicts its own, and {given}")
        task.check_cancelled()
        task.report(Progress("selecting", index, len(found)))
        chosen.append(
            choose(example, answers, top_k=objective.top_k, metric=objective.metric, seed=seed + index, memos=memos)
        )
    return chosen


def _interruptible(ask: Ask, task: TrainingTask) -> Ask:
    """Asks a few at a time, so that a run can be cancelled in between."""

    def in_parts(conversations: Sequence[Sequence[Message]], *, max_tokens: int) -> list[str]:
        answers: list[str] = []
        for start in range(0, len(conversations), _CHUNK):
            task.check_cancelled()
            answers += ask(conversations[start : start + _CHUNK], max_tokens=max_tokens)
        return answers

    return in_parts


def _found(task: TrainingTask, sources: Sequence[Invert], enough: int) -> list[list[str]]:
    """What contradicts each forget item, from the task or else from the sources in turn, until an item has enough."""
    found = [
        contradictions(example, task.inverted.get(index, ()), task.forget) for index, example in enumerate(task.forget)
    ]
    for number, source in enumerate(sources):
        task.check_cancelled()
        task.report(Progress("inverting", number, len(sources)))
        short = [index for index, answers in enumerate(found) if len(answers) < enough and index not in task.inverted]
        if not short:
            break
        for index, candidates in zip(short, source([task.forget[index] for index in short]), strict=True):
            found[index] = contradictions(task.forget[index], [*found[index], *candidates], task.forget)
    return found
