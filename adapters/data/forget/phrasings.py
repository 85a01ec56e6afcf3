"""Ways to put the same question, so that an adapter learns the question and not its wording.

The same frames go around forget and retain questions: otherwise a frame itself would become a cue.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import replace

from adapters.examples import Example, Message


def reframe(messages: Sequence[Message], frame: str) -> tuple[Message, ...]:
    """The conversation with its last user turn put into a frame."""
    last = messages[-1]
    return (*messages[:-1], replace(last, content=frame.replace("{question}", last.content)))


def with_framed_variants(examples: Sequence[Example], frames: Sequence[str], extra: int, seed: int) -> list[Example]:
    """Each example, and after it `extra` variants of it in differing frames (at most one a frame)."""
    rng = random.Random(seed)
    variants: list[Example] = []
    for example in examples:
        variants.append(example)
        variants += [
            Example(reframe(example.messages, frame), example.completion)
            for frame in rng.sample(frames, min(extra, len(frames)))
        ]
    return variants


def frame_some(questions: Sequence[str], frames: Sequence[str], fraction: float, seed: int) -> list[str]:
    """The questions, about `fraction` of them in a frame, where there are frames."""
    rng = random.Random(seed)
    return [
        rng.choice(frames).replace("{question}", question) if frames and rng.random() < fraction else question
        for question in questions
    ]
