"""JSON as the service takes it: what Python's parser lets through beyond that is refused here, with one line."""

from __future__ import annotations

import json
from typing import Any, NoReturn

from gateway.cli.failures import UsageFailed


def parse_json(text: str, where: str) -> Any:
    """The document in `text`. Raises `UsageFailed`, which names `where` and what is wrong and never quotes the text."""

    def refuse(_name: str) -> NoReturn:
        raise UsageFailed(f"{where}: not JSON (NaN and Infinity are no numbers there)")

    try:
        document = json.loads(text, parse_constant=refuse)
        json.dumps(document, ensure_ascii=False, allow_nan=False).encode()
    except json.JSONDecodeError as error:
        raise UsageFailed(f"{where}: not JSON (line {error.lineno}, column {error.colno}: {error.msg})") from None
    except UnicodeEncodeError:
        raise UsageFailed(f"{where}: not JSON (a text holds half a character, an unpaired surrogate)") from None
    except RecursionError:
        raise UsageFailed(f"{where}: nested too deeply") from None
    except ValueError:
        raise UsageFailed(f"{where}: holds a number that is too large") from None
    return document
