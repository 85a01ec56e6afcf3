"""The certificate file: everything that a stranger needs to check a report, apart from the public keys.

Public keys are never in it: whoever could change the file could change them too.
"""

from __future__ import annotations

from typing import Annotated, Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from gateway.evidence.canonical import canonical
from gateway.evidence.errors import Malformed

MEDIA_TYPE: Final = "application/vnd.unlearning-gateway.bundle+json"

#: Larger than any file that a service writes; a file beyond it is not read.
MOST_BYTES = 16 * 1024 * 1024


class Bundle(BaseModel):
    """One file.

    envelopes: DSSE, the certificate's and the summary's. report: the report itself, whose digest the certificate names.
    openings: what is behind this request's leaves in the log. proofs: a `.tlog-proof` text for each of them.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True)

    media_type: Literal["application/vnd.unlearning-gateway.bundle+json"] = Field(default=MEDIA_TYPE, alias="mediaType")
    envelopes: Annotated[tuple[dict[str, Any], ...], Field(max_length=8)]
    report: dict[str, Any]
    openings: Annotated[tuple[dict[str, Any], ...], Field(max_length=64)]
    proofs: Annotated[tuple[str, ...], Field(max_length=64)]

    def to_json(self) -> bytes:
        """The file's bytes: canonical JSON."""
        return canonical(self.model_dump(mode="json", by_alias=True))

    @classmethod
    def from_json(cls, data: bytes) -> Bundle:
        """The reverse, of a file that anybody may have written. Raises `Malformed`, which quotes nothing of it."""
        if len(data) > MOST_BYTES:
            raise Malformed(f"it is larger than {MOST_BYTES} bytes")
        try:
            return cls.model_validate_json(data)
        except ValidationError as error:
            where = sorted({".".join(str(part) for part in each["loc"]) or "the file" for each in error.errors()})
            raise Malformed(f"it is no certificate file: {', '.join(where[:5])}") from None
