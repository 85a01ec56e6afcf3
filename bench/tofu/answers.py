"""What the model says before it unlearns, kept: every row of a table is trained on answers to the same questions."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from adapters.examples import Message
from adapters.models.frozen import PromptedModel
from adapters.models.generation import greedy_answers
from bench.tofu.kept import read_kept, write_kept


class KeptAnswers:
    """An `Ask` that asks a model what its file does not have. Two processes may share a file; the later one's stays."""

    def __init__(self, path: Path, model: Callable[[], PromptedModel], tokenizer: Any) -> None:
        """path: JSON of this one model's answers. model: called when something is asked that is not there."""
        self._path = path
        self._model = model
        self._tokenizer = tokenizer

    def __call__(self, conversations: Sequence[Sequence[Message]], *, max_tokens: int) -> list[str]:
        kept = read_kept(self._path)
        keys = [_key(conversation, max_tokens) for conversation in conversations]
        missing = {key: asked for key, asked in zip(keys, conversations, strict=True) if key not in kept}
        if missing:
            model = self._model().model
            answers = greedy_answers(model, self._tokenizer, list(missing.values()), max_tokens=max_tokens)
            kept |= dict(zip(missing, answers, strict=True))
            write_kept(self._path, kept)
        return [kept[key] for key in keys]


def _key(conversation: Sequence[Message], max_tokens: int) -> str:
    asked = json.dumps([max_tokens, [message.to_dict() for message in conversation]], sort_keys=True)
    return hashlib.sha256(asked.encode()).hexdigest()
