"""Server-sent events: lines of a response in, events out (the WHATWG format, without `retry`)."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from gateway.cli.failures import BadAnswer


@dataclass(frozen=True, slots=True)
class ServerEvent:
    """One event. `id` is the last one seen, as the format has it."""

    id: str
    type: str
    data: str

    def document(self) -> dict[str, Any]:
        """The data as a JSON object. Raises `BadAnswer`."""
        try:
            document = json.loads(self.data)
        except json.JSONDecodeError:
            document = None
        if not isinstance(document, dict):
            raise BadAnswer("the event stream holds something that is no JSON object")
        return document


def lines(chunks: Iterable[bytes]) -> Iterator[str]:
    """The lines of a body. Only line feeds end them: JSON may hold other line separators as they are."""
    rest = b""
    for chunk in chunks:
        *whole, rest = (rest + chunk).split(b"\n")
        for line in whole:
            yield line.removesuffix(b"\r").decode("utf-8", "replace")


def parse(lines: Iterable[str]) -> Iterator[ServerEvent]:
    """Events out of `lines` (without line ends). A stream that breaks off mid-event loses that event."""
    event_id, event_type, data = "", "message", list[str]()
    for line in lines:
        if not line:
            if data:
                yield ServerEvent(event_id, event_type, "\n".join(data))
            event_type, data = "message", []
            continue
        name, _, value = line.partition(":")
        value = value.removeprefix(" ")
        match name:
            case "id":
                event_id = value
            case "event":
                event_type = value
            case "data":
                data.append(value)
