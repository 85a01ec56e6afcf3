"""From a task to tokenised examples: validation, refusals drawn once, the retain set."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from adapters.data.forget.cloze import cloze_variants
from adapters.data.forget.negative_instructions import negative_instructions
from adapters.data.forget.phrasings import with_framed_variants
from adapters.data.forget.rewordings import rewordings
from adapters.data.forget.split import split_variants
from adapters.data.inverted.answers import inverted_answers
from adapters.data.retain.retain_set import given_retain, made_retain, original_answers
from adapters.data.settings import DataSettings
from adapters.errors import InvalidExample
from adapters.examples import Example, Message, check_examples
from adapters.models.fact_tokens import fact_positions
from adapters.models.frozen import PromptedModel
from adapters.models.generation import sampled_continuations
from adapters.models.similarity import question_similarity
from adapters.models.tokens import TokenizedExample, encode_pair
from adapters.models.workbench import Workbench
from adapters.objectives.base import Objective
from adapters.objectives.meow import Meow
from adapters.objectives.snap import Snap
from adapters.progress import Progress
from adapters.task import TrainingTask
from adapters.text.probes import reveals
from adapters.text.refusals import draw_refusals

_LINE_TOKENS = 48  # two or three lines of a list
_TEMPERATURE = 1.0
_TOP_K = 50  # no sort of the whole vocabulary
_FACT_TOKENS = 24  # far enough into an answer to see what it gives away


@dataclass(frozen=True, slots=True)
class ForgetExample:
    """One prompt with the answer that is to go, with the refusal drawn for it, and, for an objective that learns such,
    with an answer that contradicts."""

    original: TokenizedExample
    refusal: TokenizedExample
    inverted: TokenizedExample | None = None

    @property
    def longest(self) -> int:
        """Tokens of the longest of them."""
        return max(len(each) for each in (self.original, self.refusal, self.inverted) if each is not None)


@dataclass(frozen=True, slots=True)
class Dataset:
    """What is trained on. `hard` are the retain examples nearest to the forget prompts, `general` the rest."""

    forget: tuple[ForgetExample, ...]
    hard: tuple[TokenizedExample, ...]
    general: tuple[TokenizedExample, ...]


def build_dataset(
    task: TrainingTask,
    config: DataSettings,
    model: PromptedModel,
    tokenizer: Any,
    *,
    reserved_tokens: int = 0,
    refusal_kinds: int = 1,
    objective: Objective | None = None,
) -> Dataset:
    """Prompts and answers as the method will see them; `reserved_tokens` of the context are the method's own.

    objective: SNAP's prompts are negative instructions of several kinds, MEOW's have answers that contradict; for any
    other, or None, they are the forget prompts in several wordings.

    Raises `InvalidExample` for items that cannot be trained on, `TrainingCancelled` when told to stop.
    """
    check_examples(task.forget, task.retain or ())
    limit = min(config.max_length, model.context - reserved_tokens)
    _check_lengths(tokenizer, "forget", task.forget, limit)
    reworded = _reworded(task, config, model, tokenizer)
    found = [*cloze_variants(task.forget, config.cloze_forms), *reworded]
    if isinstance(objective, Meow):
        near = question_similarity(model, tokenizer)
        answers = inverted_answers(task, objective, model, tokenizer, near, config.seed)
        forget = _inverted_examples(tokenizer, task.forget, answers, reworded, refusal_kinds, config, limit)
    elif isinstance(objective, Snap):
        instructions = negative_instructions(
            task.forget,
            objective.instructions,
            reworded=reworded,
            cloze_forms=config.cloze_forms,
            framed_variants=config.framed_variants,
            seed=config.seed,
        )
        forget = _refused(tokenizer, instructions, objective.responses, config, limit)
    else:
        forget = _refused(tokenizer, _phrased(task.forget, found, config), refusal_kinds, config, limit)
    if task.retain is None:
        prompts = [example.prompt for example in (*task.forget, *found)]
        hard, general = made_retain(task, prompts, config, model, tokenizer)
    else:
        _check_lengths(tokenizer, "retain", task.retain, limit)
        hard, general = given_retain(task, config, model, tokenizer)
    # Only made examples can be too long here, and leaving one of those out loses nothing that was asked for.
    return Dataset(
        forget,
        tuple(example for example in hard if len(example) <= limit),
        tuple(example for example in general if len(example) <= limit),
    )


def _check_lengths(tokenizer: Any, name: str, items: Sequence[Example], limit: int) -> None:
    for index, item in enumerate(items):
        length = len(encode_pair(tokenizer, item.messages, item.completion))
        if length > limit:
            raise InvalidExample(f"{name} item {index} is {length} tokens long; at most {limit} fit")


def _reworded(task: TrainingTask, config: DataSettings, model: PromptedModel, tokenizer: Any) -> list[Example]:
    """Forget prompts that nobody gave, as the model itself would put them."""

    def between(count: int) -> None:
        task.check_cancelled()
        task.report(Progress("rewording", count, config.rewording_lists))

    def go_on(texts: Sequence[str]) -> list[str]:
        between(0)
        room = model.context - _LINE_TOKENS
        texts = [text for text in texts if len(tokenizer(text)["input_ids"]) <= room]

        sampling: Any = {"max_tokens": _LINE_TOKENS, "temperature": _TEMPERATURE, "top_k": _TOP_K, "seed": config.seed}

        def sample() -> list[str]:
            if task.go_on is not None:
                return task.go_on(texts, **sampling)
            return sampled_continuations(
                model.model,
                tokenizer,
                texts,
                between=between,
                **sampling,
            )

        return Workbench.of(task).continued(texts, config.seed, sample)

    def answer(conversations: Sequence[Sequence[Message]]) -> list[str]:
        return original_answers(task, model, tokenizer, conversations, _FACT_TOKENS, lambda _: task.check_cancelled())

    return rewordings(
        task.forget, go_on, answer, lists=config.rewording_lists, count=config.rewordings, seed=config.seed
    )


def _phrased(forget: Sequence[Example], found: Sequence[Example], config: DataSettings) -> list[Example]:
    """Forget prompts in several phrasings. What was `found` is varied once at most: it is various already."""
    variants = with_framed_variants(forget, config.framed_variants, config.seed)
    variants += with_framed_variants(found, min(1, config.framed_variants), config.seed)
    if config.framed_variants:
        variants += split_variants(forget)
    return variants


def _refused(
    tokenizer: Any, variants: Sequence[Example], kinds: int, config: DataSettings, limit: int
) -> tuple[ForgetExample, ...]:
    """Each prompt with its answer and the one refusal drawn for it."""
    refusals = draw_refusals(len(variants), config.seed, kinds=kinds)
    encoded = [
        ForgetExample(
            _original(tokenizer, variant),
            encode_pair(tokenizer, variant.messages, refusal),
        )
        for variant, refusal in zip(variants, refusals, strict=True)
    ]
    return _fitting(encoded, "no forget prompt leaves room for a refusal", limit)


def _inverted_examples(
    tokenizer: Any,
    forget: Sequence[Example],
    answers: Sequence[Sequence[str]],
    reworded: Sequence[Example],
    refusal_kinds: int,
    config: DataSettings,
    limit: int,
) -> tuple[ForgetExample, ...]:
    """Every wording of every forget prompt with each of its contradicting answers; no prompt is left without any.

    A reworded prompt is that item's whose fact its answer gives away.
    """
    made: list[ForgetExample] = []
    owners = [
        next(index for index, item in enumerate(forget) if reveals(item.prompt, item.completion, example.completion))
        for example in reworded
    ]
    for index, (item, inverted) in enumerate(zip(forget, answers, strict=True)):
        found = cloze_variants([item], config.cloze_forms)
        found += [example for owner, example in zip(owners, reworded, strict=True) if owner == index]
        variants = _phrased([item], found, config)
        refusals = draw_refusals(len(variants), config.seed + index, kinds=refusal_kinds)
        encoded = [
            ForgetExample(
                _original(tokenizer, variant),
                encode_pair(tokenizer, variant.messages, refusal),
                encode_pair(tokenizer, variant.messages, answer),
            )
            for variant, refusal in zip(variants, refusals, strict=True)
            for answer in inverted
        ]
        made += _fitting(encoded, f"forget item {index} leaves no room for an answer that contradicts", limit)
    return tuple(made)


def _original(tokenizer: Any, example: Example) -> TokenizedExample:
    """A prompt with the answer that is to go, and where that states the fact."""
    encoded = encode_pair(tokenizer, example.messages, example.completion)
    return replace(encoded, fact=fact_positions(tokenizer, example.prompt, example.completion))


def _fitting(encoded: Sequence[ForgetExample], problem: str, limit: int) -> tuple[ForgetExample, ...]:
    fitting = tuple(example for example in encoded if example.longest <= limit)
    if not fitting:
        raise InvalidExample(f"{problem} within {limit} tokens")
    return fitting
