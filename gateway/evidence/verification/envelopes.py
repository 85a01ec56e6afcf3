"""Who signed the statements, and what they say."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from gateway.evidence.certificate.statement import CERTIFICATE_TYPE, PAYLOAD_TYPE, SUMMARY_TYPE

CERTIFICATE, SUMMARY = "certificate", "summary"
#: Those that a file has to hold.
STATEMENTS = (CERTIFICATE, SUMMARY)
_NAMES: Mapping[str, str] = MappingProxyType({CERTIFICATE_TYPE: CERTIFICATE, SUMMARY_TYPE: SUMMARY})


@dataclass(frozen=True, slots=True)
class Envelope:
    """A DSSE envelope around an in-toto statement, whoever signed it. signatures: by key id."""

    payload: bytes
    signatures: Mapping[str, bytes]
    statement: Mapping[str, Any]

    @property
    def name(self) -> str:
        """What its statement is called; "" for none that belongs here."""
        return _NAMES.get(str(self.statement.get("predicateType")), "")

    @property
    def signed_text(self) -> bytes:
        """DSSE's pre-authentication encoding."""
        kind = PAYLOAD_TYPE.encode()
        return b"DSSEv1 %d %s %d %s" % (len(kind), kind, len(self.payload), self.payload)

    @classmethod
    def read(cls, envelope: Mapping[str, Any]) -> Envelope | None:
        """None for what is no envelope around a statement."""
        try:
            payload = base64.b64decode(envelope["payload"], validate=True)
            signatures = {
                str(each["keyid"]): base64.b64decode(each["sig"], validate=True) for each in envelope["signatures"]
            }
            statement = json.loads(payload)
        except (KeyError, TypeError, ValueError, RecursionError):
            return None
        if envelope.get("payloadType") != PAYLOAD_TYPE or not isinstance(statement, dict):
            return None
        return cls(payload, signatures, statement)
