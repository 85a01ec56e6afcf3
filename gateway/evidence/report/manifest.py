"""Digests of all that can change an answer, by name. Where one of them is another, a report says nothing any more.

model, tokenizer, chat_template, pair: of what is served. engine: name and version. gateway, source: our version, and
the text of every file that we run. flags: how the engine was started, and the settings that reach an answer. adapter,
scope: of one request.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from importlib import resources
from importlib.metadata import version
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Any, Final

from adapters.artifact.spec import PairSpec
from gateway.evidence.canonical import DIGEST_PREFIX, digest
from gateway.evidence.report.report import Served
from gateway.settings import DISTRIBUTION

#: Of a checkpoint folder, what makes tokens of text.
_TOKENIZER_FILES: Final = (
    "added_tokens.json",
    "merges.txt",
    "special_tokens_map.json",
    "spiece.model",
    "tekken.json",
    "tokenizer.json",
    "tokenizer.model",
    "tokenizer_config.json",
    "vocab.json",
    "vocab.txt",
)
#: The name of what tells which prompts a request applies to.
SCOPE: Final = "scope"
_PACKAGES: Final = ("adapters", "gateway")
_SOURCES: Final = (".py", ".lua", ".json", ".txt", ".j2", ".css")


@dataclass(frozen=True, slots=True)
class ServedManifest:
    """What one service serves with: the manifest of its answers without any adapter, and versions in words."""

    digests: Mapping[str, str]
    served: Served

    def to_dict(self) -> dict[str, Any]:
        return {"manifest": dict(self.digests), "served": self.served.model_dump()}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> ServedManifest:
        """The reverse. Raises KeyError, `pydantic.ValidationError`."""
        return cls(dict(values["manifest"]), Served.model_validate(values["served"]))


def served_manifest(
    *,
    checkpoint: Path,
    model: str,
    model_digest: str,
    chat_template: str | None,
    engine: str,
    pair: PairSpec | None,
    flags: Mapping[str, Any],
) -> ServedManifest:
    """Reads the tokenizer's files and our own sources: run it off the event loop.

    checkpoint: the served model's folder. model, model_digest: its name and hex digest. chat_template: its text.
    engine: name and version. flags: plain JSON types.
    """
    gateway = version(DISTRIBUTION)
    digests = {
        "model": DIGEST_PREFIX + model_digest,
        "tokenizer": tokenizer_digest(checkpoint),
        "chat_template": digest(chat_template),
        "engine": digest(engine),
        "gateway": digest(gateway),
        "source": source_digest(),
        "flags": digest(dict(flags)),
        "pair": digest(None if pair is None else _pair(pair)),
    }
    return ServedManifest(digests, Served(model=model, engine=engine, gateway=gateway))


def of_request(served: Mapping[str, str], adapter: str, scope: str | None) -> dict[str, str]:
    """The manifest of one request's answers. adapter: hex digest of its artifact. scope: of what tells which prompts it
    applies to (`scope_digest`); None where it applies to all."""
    own = {"adapter": DIGEST_PREFIX + adapter}
    return {**served, **own} if scope is None else {**served, **own, SCOPE: scope}


def scope_digest(entry: bytes) -> str:
    """Of a request's scope index, as it is before it is sealed."""
    return DIGEST_PREFIX + hashlib.sha256(entry).hexdigest()


def tokenizer_digest(checkpoint: Path) -> str:
    """Of the files in a checkpoint folder that make tokens of text."""
    present = (name for name in _TOKENIZER_FILES if (checkpoint / name).is_file())
    return digest({name: hashlib.sha256((checkpoint / name).read_bytes()).hexdigest() for name in present})


@cache
def source_digest() -> str:
    """Of every file of this package that runs or is asked with, by its name."""
    files = {
        name: hashlib.sha256(file.read_bytes()).hexdigest()
        for package in _PACKAGES
        for name, file in _files(resources.files(package), package)
    }
    return digest(files)


def _files(folder: Traversable, name: str) -> Iterator[tuple[str, Traversable]]:
    for each in folder.iterdir():
        path = f"{name}/{each.name}"
        if each.is_dir():
            yield from _files(each, path)
        elif each.name.endswith(_SOURCES):
            yield path, each


def _pair(pair: PairSpec) -> dict[str, Any]:
    """Without where a separate model lies, which is another place on every host."""
    return {"layers": pair.layers, "own_reference": pair.own_reference, "model": pair.model_digest}
