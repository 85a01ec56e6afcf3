"""Bodies of `/v1/responses` in the form that vLLM takes: clients send earlier messages in more ways than it knows."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

_ASSISTANT = "assistant"


def normalised(body: Mapping[str, Any]) -> dict[str, Any]:
    """The same with every message of `input` as a role and its content.

    What an assistant said becomes one text: vLLM reads the first part of it alone, and refuses parts without
    `annotations`. Whatever is no message, or is malformed, is left to vLLM.
    """
    items = body.get("input")
    return dict(body) if not isinstance(items, list) else {**body, "input": [_item(item) for item in items]}


def _item(item: Any) -> Any:
    if not isinstance(item, dict) or item.get("type", "message") != "message":
        return item
    role, content = item.get("role"), item.get("content")
    if isinstance(content, list):
        texts = [_text(part) for part in content]
        if role == _ASSISTANT and None not in texts:
            content = "".join(text for text in texts if text is not None)
        elif role != _ASSISTANT:
            content = [
                part if text is None else {"type": "input_text", "text": text}
                for part, text in zip(content, texts, strict=True)
            ]
        else:
            return item
    return {"role": role, "content": content} if isinstance(role, str) and content is not None else item


def _text(part: Any) -> str | None:
    """What a part of a message says; None for one that is no text."""
    if not isinstance(part, dict):
        return None
    field = {"input_text": "text", "output_text": "text", "text": "text", "refusal": "refusal"}.get(
        str(part.get("type"))
    )
    text = part.get(field) if field else None
    return text if isinstance(text, str) else None
