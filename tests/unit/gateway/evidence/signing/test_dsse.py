from __future__ import annotations

import base64
import copy
import json
from typing import Any

import pytest
from proofbundle import dsse as oracle

from gateway.evidence.errors import Malformed, SignatureInvalid, UnknownSigner
from gateway.evidence.signing.dsse import IN_TOTO, sign, signers, verified
from tests.unit.gateway.evidence.samples import signing_key

KEY = signing_key()
PAYLOAD = b'{"_type":"https://in-toto.io/Statement/v1"}'
ENVELOPE = sign(PAYLOAD, IN_TOTO, KEY)


def test_what_was_signed_is_verified() -> None:
    envelope = json.loads(json.dumps(ENVELOPE))
    before = copy.deepcopy(envelope)
    assert verified(envelope, IN_TOTO, KEY.public()) == PAYLOAD
    assert envelope == before, "what is checked is left as it is"
    assert signers(envelope) == {KEY.public().ed25519_id, KEY.public().mldsa44_id}


def test_the_signatures_are_over_the_encoding_of_the_protocol() -> None:
    """With the protocol's own example."""
    envelope = sign(b"hello world", "http://example.com/HelloWorld", KEY)
    encoded = b"DSSEv1 29 http://example.com/HelloWorld 11 hello world"
    signatures = [base64.b64decode(each["sig"]) for each in envelope["signatures"]]
    KEY.public().check_ed25519(signatures[0], encoded)
    KEY.public().check_mldsa44(signatures[1], encoded)
    assert envelope["payload"] == "aGVsbG8gd29ybGQ="


def test_another_implementation_verifies_it() -> None:
    assert oracle.verify_envelope(ENVELOPE, KEY.public().ed25519, payload_type=IN_TOTO)
    assert not oracle.verify_envelope({**ENVELOPE, "payload": "e30="}, KEY.public().ed25519, payload_type=IN_TOTO)


def test_url_safe_base64_is_read_too() -> None:
    payload = b"\xfb\xff\xfe"
    envelope = sign(payload, IN_TOTO, KEY)
    envelope["payload"] = base64.urlsafe_b64encode(payload).decode()
    assert verified(envelope, IN_TOTO, KEY.public()) == payload


def with_signature(number: int, **fields: Any) -> dict[str, Any]:
    envelope = copy.deepcopy(ENVELOPE)
    envelope["signatures"][number].update(fields)
    return envelope


@pytest.mark.parametrize(
    ("envelope", "error"),
    [
        ({**ENVELOPE, "payload": base64.b64encode(PAYLOAD + b" ").decode()}, SignatureInvalid),
        (with_signature(0, sig=ENVELOPE["signatures"][1]["sig"]), SignatureInvalid),
        (with_signature(1, sig="AAAA"), SignatureInvalid),
        ({**ENVELOPE, "signatures": ENVELOPE["signatures"][:1]}, UnknownSigner),
        ({**ENVELOPE, "signatures": ENVELOPE["signatures"][1:]}, UnknownSigner),
        (sign(PAYLOAD, IN_TOTO, signing_key(2)), UnknownSigner),
        (sign(PAYLOAD, "application/json", KEY), Malformed),
        ({**ENVELOPE, "payloadType": 7}, Malformed),
        ({**ENVELOPE, "payloadType": "\ud800"}, Malformed),
        ({**ENVELOPE, "payload": "?"}, Malformed),
        ({**ENVELOPE, "more": 1}, Malformed),
        ({**ENVELOPE, "signatures": [*ENVELOPE["signatures"], ENVELOPE["signatures"][0]]}, Malformed),
        ({**ENVELOPE, "signatures": [{"sig": "AAAA"}]}, Malformed),
        ({**ENVELOPE, "signatures": ["AAAA"]}, Malformed),
        (with_signature(0, sig="?"), Malformed),
        (with_signature(0, sig=None), Malformed),
        ([], Malformed),
        (None, Malformed),
    ],
)
def test_what_was_changed_is_told(envelope: Any, error: type[Exception]) -> None:
    with pytest.raises(error):
        verified(envelope, IN_TOTO, KEY.public())


def test_the_type_is_signed_too() -> None:
    envelope = {**sign(PAYLOAD, "application/json", KEY), "payloadType": IN_TOTO}
    with pytest.raises(SignatureInvalid):
        verified(envelope, IN_TOTO, KEY.public())
