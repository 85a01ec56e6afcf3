"""Whether the statements are signed by a key that counts for them."""

from __future__ import annotations

from gateway.evidence.canonical import digest_of
from gateway.evidence.errors import SignatureInvalid
from gateway.evidence.signing.keys import PublicKeys
from gateway.evidence.signing.rotation import KeyState, KnownKey
from gateway.evidence.verification.algorithms import ED25519, ML_DSA_44
from gateway.evidence.verification.envelopes import Envelope
from gateway.evidence.verification.exhibit import Exhibit
from gateway.evidence.verification.finding import Fault, Findings


def signatures(exhibit: Exhibit) -> Findings:
    """Each statement is signed with every algorithm that is asked for, by one key, which counted when it was logged."""
    for name, envelope in exhibit.envelopes.items():
        key = next((key for key in exhibit.keys.known if key.ids & envelope.signatures.keys()), None)
        if key is None:
            yield Fault.KEY_UNKNOWN, f"the {name} is signed by no key of the key file"
            continue
        ids = {ED25519: key.keys.ed25519_id, ML_DSA_44: key.keys.mldsa44_id}
        for algorithm in sorted(exhibit.rules.algorithms):
            signature = envelope.signatures.get(ids[algorithm])
            if signature is None:
                yield Fault.SIGNATURE_MISSING, f"the {name} has no {algorithm} signature of the key that signed it"
            elif not _holds(algorithm, key.keys, signature, envelope.signed_text):
                yield Fault.SIGNATURE_INVALID, f"the {algorithm} signature of the {name} is not over what it says"
        logged_at = _logged_at(exhibit, name, envelope)
        if logged_at is None:
            yield Fault.CERTIFICATE_UNLOGGED, f"nothing shows that the {name} is in the log"
        if key.since is not None and (logged_at is None or logged_at >= key.since):
            yield ended(key), f"the {name} is signed with a key that is {key.state} since leaf {key.since} of the log"


def ended(key: KnownKey) -> Fault:
    """The finding about a key that counts no longer."""
    return Fault.KEY_REVOKED if key.state is KeyState.REVOKED else Fault.KEY_RETIRED


def _logged_at(exhibit: Exhibit, name: str, envelope: Envelope) -> int | None:
    """The leaf that has these very bytes; that it is in the log is for other checks."""
    signed = digest_of(envelope.payload)
    return next(
        (
            index
            for index, logged in sorted(exhibit.leaves.items())
            if logged.leaf.kind == "certificate" and logged.body.get(name) == signed
        ),
        None,
    )


def _holds(algorithm: str, keys: PublicKeys, signature: bytes, message: bytes) -> bool:
    check = {ED25519: keys.check_ed25519, ML_DSA_44: keys.check_mldsa44}[algorithm]
    try:
        check(signature, message)
    except SignatureInvalid:
        return False
    return True
