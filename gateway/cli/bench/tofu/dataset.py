"""The data set locuslab/TOFU as it is downloaded: a folder of JSON lines."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from itertools import islice
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError

from adapters.evaluation.tofu.parts import PARTS, RETAIN
from adapters.evaluation.tofu.scoring import FORGET
from gateway.cli.failures import UsageFailed

_DOWNLOAD = "hf download locuslab/TOFU --repo-type dataset --local-dir"

Text = Annotated[str, StringConstraints(pattern=r"\S")]


class Split(StrEnum):
    """Which rows were to be forgotten: those of 2, 10 or 20 authors."""

    FORGET01 = "forget01"
    FORGET05 = "forget05"
    FORGET10 = "forget10"


class Row(BaseModel):
    """A question as `adapters.evaluation.tofu.scoring` takes it. What else a row holds has no bearing."""

    model_config = ConfigDict(frozen=True, hide_input_in_errors=True)

    question: Text
    answer: Text
    paraphrased: Annotated[Text | None, Field(alias="paraphrased_answer")] = None
    perturbed: Annotated[tuple[Text, ...], Field(alias="perturbed_answer", min_length=1)]


class Source(BaseModel):
    """A file, and how many of its rows are asked, from the first on. sha256: of the whole file, in hex."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    file: str
    sha256: str
    rows: int


@dataclass(frozen=True, slots=True)
class Part:
    """Questions, and where they come from."""

    source: Source
    rows: Sequence[Row]


def load_parts(folder: Path, split: Split, limit: int | None) -> dict[str, Part]:
    """Each part of the evaluation. limit: rows of each, at most.

    Raises `UsageFailed` naming the file that is missing or the row that is wrong.
    """
    files = {part: part for part in PARTS} | {FORGET: split.value}
    return {part: _load(folder / f"{file}_perturbed.json", part, limit) for part, file in files.items()}


def _load(path: Path, part: str, limit: int | None) -> Part:
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        raise UsageFailed(f"--data: there is no {path}; `{_DOWNLOAD} {path.parent}` fetches it") from None
    except OSError as error:
        raise UsageFailed(f"--data: {path}: {error.strerror}") from None
    lines = ((number, line) for number, line in enumerate(data.split(b"\n"), start=1) if line.strip())
    rows = [_row(f"--data: {path}:{number}", line, part) for number, line in islice(lines, limit)]
    if not rows:
        raise UsageFailed(f"--data: {path} holds no row")
    return Part(Source(file=path.name, sha256=hashlib.sha256(data).hexdigest(), rows=len(rows)), rows)


def _row(where: str, line: bytes, part: str) -> Row:
    try:
        row = Row.model_validate_json(line)
    except ValidationError as error:
        first = error.errors()[0]
        raise UsageFailed(f"{where}: {'.'.join(map(str, first['loc'])) or 'row'}: {first['msg']}") from None
    # Without it the wrong answers are options, and the figures others.
    if (row.paraphrased is not None) != (part in (FORGET, RETAIN)):
        raise UsageFailed(f"{where}: paraphrased_answer is in the rows of {FORGET} and {RETAIN}, and in no others")
    return row
