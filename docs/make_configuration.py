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

Configs = Mapping[str, type[Any]]

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
[Keys](keys.md) for other people have a role, a tenant and limits. Answers without the adapters, or
with a candidate's, always take the operator's token. It is made at the first start, in
`data_dir/operator.token` with mode 0600.
"""
_METHODS = """
## The methods

A request gives these as `config`, and the command line as `--config`:

```sh
unlearn forget examples.jsonl --method delta --config '{"max_steps": 120, "objective": "undial"}'
```

`auto` lays them over the settings of each candidate. A candidate that lacks one of them drops out.
These are the defaults, first of the settings that most methods have, then of the others:
"""
_OBJECTIVES = """
## The objectives

`spul`, `delta` and `lora` take an objective and its own settings:

```json
{"objective": "npo", "objective_settings": {"beta": 0.1}}
```

[Objectives](objectives.md) says what each does. The docstrings in `adapters/objectives/` have the
formulas and where the defaults are from.
"""


def page() -> str:
    """The whole page."""
    methods_: dict[str, type[Any]] = {name: method.config_type for name, method in methods().items()}
    objectives_: dict[str, type[Any]] = dict(objectives())
    shared = _shared(methods_)
    parts = [
        _HEAD,
        *_service(),
        _METHODS,
        *_table(methods_, shared),
        "",
        *(_defaults(name, config, but=shared) for name, config in methods_.items() if _own(config, shared)),
        "",
        *_meanings(methods_),
        _OBJECTIVES,
        *(_defaults(name, objective) for name, objective in objectives_.items()),
        "",
        *_meanings(objectives_),
    ]
    return "\n".join(parts).rstrip() + "\n"


def _service() -> Iterator[str]:
    schema = Settings.model_json_schema()["properties"]
    for name, field in Settings.model_fields.items():
        secret = SecretStr in getattr(field.annotation, "__args__", ())
        names = [_VARIABLES.get(name, f"UNLEARN_{name.upper()}"), *([] if secret else [f"--{name.replace('_', '-')}"])]
        default = _DEFAULTS.get(name, field.default)
        default = default if isinstance(default, str | None) else json.dumps(default)
        allowed = _allowed_by_schema(schema[_VARIABLES.get(name, name)])
        said = ", ".join(part for part in ("" if default is None else f"default {_code(default)}", allowed) if part)
        yield _item(f"{', '.join(map(_code, names))}{f' ({said})' if said else ''}: {field.description}")


def _shared(configs: Configs) -> list[str]:
    """Names of the settings that most methods have, in the order in which they have them."""
    every = [field.name for config in configs.values() for field in fields(config)]
    return [name for name in dict.fromkeys(every) if every.count(name) > len(configs) / 2]


def _table(configs: Configs, settings: Iterable[str]) -> Iterator[str]:
    """Defaults by setting and method."""
    known = {name: {field.name: field for field in fields(config)} for name, config in configs.items()}
    yield f"| setting | {' | '.join(map(_code, configs))} |"
    yield "|---|" + "---|" * len(configs)
    for setting in settings:
        values = (_value(known[name][setting]) if setting in known[name] else "–" for name in configs)
        yield f"| `{setting}` | {' | '.join(values)} |"


def _defaults(name: str, config: type[Any], but: Iterable[str] = ()) -> str:
    """A list item with the defaults of the others."""
    own = [f"`{field.name}` {_value(field)}" for field in _own(config, but)]
    return _item(f"`{name}`: {', '.join(own)}")


def _own(config: type[Any], but: Iterable[str]) -> list[Field[Any]]:
    return [field for field in fields(config) if field.name not in but]


def _meanings(configs: Configs) -> Iterator[str]:
    """A list item for each setting that says what it means, or for each meaning of a name that has several."""
    owners: dict[tuple[str, str, str], list[str]] = {}
    for name, config in configs.items():
        for field in fields(config):
            if text := field.metadata.get("help"):
                owners.setdefault((field.name, _allowed(field), text), []).append(name)
    names = [name for name, _, _ in owners]
    for (name, allowed, text), having in owners.items():
        whose = f" of {', '.join(map(_code, having))}" if names.count(name) > 1 else ""
        yield _item(f"`{name}`{whose}{f' ({allowed})' if allowed else ''}: {text}")


def _item(text: str) -> str:
    """A list item, broken into lines, and not at the hyphens of options."""
    return textwrap.fill(f"- {text}", _WIDTH, subsequent_indent="  ", break_on_hyphens=False, break_long_words=False)


def _code(value: object) -> str:
    return f"`{value}`"


def _value(field: Field[Any]) -> str:
    """The default as it would stand in JSON."""
    value = field.default_factory() if field.default_factory is not MISSING else field.default
    if isinstance(value, tuple):
        return json.dumps(value)
    return f"{value:g}" if isinstance(value, float) else _code(value) if isinstance(value, str | dict) else str(value)


def _allowed(field: Field[Any]) -> str:
    if choices := field.metadata.get("choices"):
        return f"one of {', '.join(map(_code, choices))}"
    low, high = field.metadata.get("bounds", (None, None))
    return _range(low, high)


def _range(low: float | None, high: float | None) -> str:
    if low is None or high is None:
        return ""
    return f"{low:g} to {f'{high:,}' if isinstance(high, int) else f'{high:g}'}"


def _allowed_by_schema(schema: Mapping[str, Any]) -> str:
    """Bounds or choices of a property of a JSON schema; empty where it has none."""
    for part in (schema, *schema.get("anyOf", ())):
        if "enum" in part:
            return f"one of {', '.join(map(_code, part['enum']))}"
        above, low, high = (part.get(key) for key in ("exclusiveMinimum", "minimum", "maximum"))
        if between := _range(low, high):
            return between
        said = {"above": above, "at least": low, "at most": high}
        if any(bound is not None for bound in said.values()):
            return ", ".join(f"{words} {bound:,}" for words, bound in said.items() if bound is not None)
    return ""


if __name__ == "__main__":
    sys.stdout.write(page())
