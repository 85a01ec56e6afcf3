"""Ways to put the same question, so that an adapter learns the question and not its wording.

The same frames go around forget and retain questions: otherwise a frame itself would become a cue.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import replace

from adapters.examples import Example, Message

FRAMES = (
    "Please tell me: {question}",
    "I have a question. {question}",
    "{question} Please answer briefly.",
    "Can you help me with this? {question}",
    "Quick question: {question}",
)


def reframe(messages: Sequence[Message], frame: str) -> tuple[Message, ...]:
    """The conversation with its last user turn put into a frame."""
    last = messages[-1]
    return (*messages[:-1], replace(last, content=frame.replace("{question}", last.content)))


def with_framed_variants(examples: Sequence[Example], extra: int, seed: int) -> list[Example]:
    """Each example, and after it `extra` variants of it in differing frames (at most one a frame)."""
    rng = random.Random(seed)
    variants: list[Example] = []
    for example in examples:
        variants.append(example)
        variants += [
            Example(reframe(example.messages, frame), example.completion)
            for frame in rng.sample(FRAMES, min(extra, len(FRAMES)))
        ]
    return variants


def frame_some(questions: Sequence[str], fraction: float, seed: int) -> list[str]:
    """The questions, about `fraction` of them in a frame."""
    rng = random.Random(seed)
    return [
        rng.choice(FRAMES).replace("{question}", question) if rng.random() < fraction else question
        for question in questions
    ]
