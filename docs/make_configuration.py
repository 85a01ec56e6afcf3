"""Makes docs/configuration.md from the settings: `python -m docs.make_configuration > docs/configuration.md`."""

from __future__ import annotations

import json
import sys
import textwrap
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import MISSING, Field, fields
from typing import Any

from pydantic import SecretStr

from adapters.objectives.registry import objectives
from adapters.registry import methods
from gateway.settings import Settings

_WIDTH = 100
#: The only variable without the prefix.
_VARIABLES = {"redis_url": "REDIS_URL"}
#: Where the code has a function that reads the user's environment.
_DEFAULTS = {"data_dir": "~/.local/share/unlearning-gateway", "cache_dir": "~/.cache/unlearning-gateway"}

_HEAD = """\
# Configuration

This page is made from the settings themselves, by `python -m docs.make_configuration`.
[The glossary](glossary.md) explains the words.

## The service

Set an environment variable, or give the option to `unlearn serve` and `unlearn worker`. Secrets
have no option, because other users of the machine can read command lines. Service and worker must
agree on the pair and on the methods. Options that the gateway does not know go to vLLM.

On loopback no key is asked for, and the service answers to loopback names only. On any other
address it takes `UNLEARN_API_KEYS` for the model routes and the operator's token for `/forget`.
Answers without the adapters, or with a candidate's, always take the operator's token. It is made
at the first start, in `data_dir/operator.token` with mode 0600.
"""
_METHODS = """
## The methods

A request gives these as `config`, and the command line as `--config`:

```sh
unlearn forget examples.jsonl --method delta --config '{"max_steps": 120, "objective": "undial"}'
```

`auto` lays them over the settings of each candidate. A candidate that lacks one of them drops out.
These are the defaults of the settings that most methods have:
"""
_OBJECTIVES = """
## The objectives

`delta` and `lora` take an objective and its own settings:

```json
{"objective": "npo", "objective_settings": {"beta": 0.1}}
```

[Objectives](objectives.md) says what each does. The docstrings in `adapters/objectives/` have the
formulas and where the defaults are from.
"""


def page() -> str:
    """The whole page."""
    configs: dict[str, type[Any]] = {name: method.config_type for name, method in methods().items()}
    return "\n".join(
        [
            _HEAD,
            *_service(),
            _METHODS,
            *_shared(configs),
            *(line for name in configs for line in _own(name, configs)),
            _OBJECTIVES,
            *(line for name, objective in objectives().items() for line in _objective(name, objective)),
            "",
        ]
    )


def _service() -> Iterator[str]:
    schema = Settings.model_json_schema()["properties"]
    for name, field in Settings.model_fields.items():
        secret = SecretStr in getattr(field.annotation, "__args__", ())
        names = [_VARIABLES.get(name, f"UNLEARN_{name.upper()}"), *([] if secret else [f"--{name.replace('_', '-')}"])]
        default = _DEFAULTS.get(name, field.default)
        default = default if isinstance(default, str | None) else json.dumps(default)
        allowed = _allowed_by_schema(schema[_VARIABLES.get(name, name)])
        yield _entry(names, "" if default is None else f"default {_code(default)}", allowed, field.description)


def _shared(configs: Mapping[str, type[Any]]) -> Iterator[str]:
    named = {name: {field.name: field for field in fields(config)} for name, config in configs.items()}
    yield f"| setting | {' | '.join(f'`{name}`' for name in configs)} |"
    yield "|---|" + "---|" * len(configs)
    shared = _shared_names(configs)
    for setting in shared:
        values = (_value(named[name][setting]) if setting in named[name] else "–" for name in configs)
        yield f"| `{setting}` | {' | '.join(values)} |"
    yield ""
    for setting in shared:
        field = next(known[setting] for known in named.values() if setting in known)
        if _help(field) or _bounds(field):
            yield _entry([setting], _bounds(field), "", _help(field))


def _shared_names(configs: Mapping[str, type[Any]]) -> list[str]:
    """Settings of most methods, in the order in which the methods have them."""
    every = [field.name for config in configs.values() for field in fields(config)]
    return [name for name in dict.fromkeys(every) if every.count(name) > len(configs) / 2]


def _own(name: str, configs: Mapping[str, type[Any]]) -> Iterator[str]:
    shared = set(_shared_names(configs))
    own = [field for field in fields(configs[name]) if field.name not in shared]
    if own:
        yield f"\n### `{name}` also has\n"
        yield from _entries(own)


def _objective(name: str, objective: type[Any]) -> Iterator[str]:
    settings = fields(objective)
    if any(_help(field) for field in settings):
        yield f"- `{name}`:"
        yield from (textwrap.indent(entry, "    ") for entry in _entries(settings))
    else:
        yield _entry([name], "", "", ", ".join(f"`{field.name}` {_value(field)}" for field in settings))


def _entries(settings: Iterable[Field[Any]]) -> Iterator[str]:
    for field in settings:
        yield _entry([field.name], f"default {_value(field)}", _bounds(field), _help(field))


def _entry(names: list[str], default: str, allowed: str, text: str | None) -> str:
    """A list item, broken into lines."""
    said = ", ".join(part for part in (default, allowed) if part)
    item = f"- {', '.join(_code(name) for name in names)}{f' ({said})' if said else ''}{f': {text}' if text else ''}"
    # Options and commands are not broken at their hyphens.
    return textwrap.fill(item, _WIDTH, subsequent_indent="  ", break_on_hyphens=False, break_long_words=False)


def _code(value: object) -> str:
    return f"`{value}`"


def _value(field: Field[Any]) -> str:
    """The default as it would stand in JSON."""
    value = field.default_factory() if field.default_factory is not MISSING else field.default
    if isinstance(value, tuple):
        return ", ".join(str(part) for part in value)
    return f"{value:g}" if isinstance(value, float) else _code(value) if isinstance(value, str | dict) else str(value)


def _help(field: Field[Any]) -> str | None:
    text: str | None = field.metadata.get("help")
    return text


def _bounds(field: Field[Any]) -> str:
    if choices := field.metadata.get("choices"):
        return f"one of {', '.join(map(_code, choices))}"
    if bounds := field.metadata.get("bounds"):
        return f"{bounds[0]:g} to {bounds[1]:,}"
    return ""


def _allowed_by_schema(schema: Mapping[str, Any]) -> str:
    """Bounds or choices of a property of a JSON schema; empty where it has none."""
    for part in (schema, *schema.get("anyOf", ())):
        if "enum" in part:
            return f"one of {', '.join(map(_code, part['enum']))}"
        above, low, high = (part.get(key) for key in ("exclusiveMinimum", "minimum", "maximum"))
        if low is not None and high is not None:
            return f"{low:g} to {high:,}"
        said = {"above": above, "at least": low, "at most": high}
        if any(bound is not None for bound in said.values()):
            return ", ".join(f"{words} {bound:,}" for words, bound in said.items() if bound is not None)
    return ""


if __name__ == "__main__":
    sys.stdout.write(page())
