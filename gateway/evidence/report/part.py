"""The base of what a report is made of, and its plain types."""

from __future__ import annotations

from typing import Annotated, Final

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

#: Of rates and bounds, in digits behind the point: beyond, numerical libraries may differ.
_DIGITS: Final = 6

Digest = Annotated[str, StringConstraints(pattern=r"^sha256:[0-9a-f]{64}$")]
Instant = Annotated[str, StringConstraints(pattern=r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$")]
Name = Annotated[str, StringConstraints(pattern=r"^[a-z0-9_]{1,64}$")]
Count = Annotated[int, Field(ge=0)]
Rate = Annotated[float, Field(ge=0, le=1)]


class Part(BaseModel):
    """Nothing unknown is in it, and nothing of it changes."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


def rounded(value: float) -> float:
    """A rate or a bound as reports hold it."""
    return round(value, _DIGITS)
