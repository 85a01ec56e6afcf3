from __future__ import annotations

import pytest

from gateway.evidence.errors import InvalidKey, KeyRevoked, SignatureInvalid, UnknownSigner
from gateway.evidence.signing.dsse import IN_TOTO, sign
from gateway.evidence.signing.keys import PublicKeys
from gateway.evidence.signing.rotation import KeySet, KeyState
from tests.unit.gateway.evidence.samples import ORIGIN, checkpoint, signed, signing_key

FIRST, SECOND, THIRD = (signing_key(number).public() for number in (1, 2, 3))
ROTATED = KeySet(ORIGIN, ()).succeeded(FIRST, 0).succeeded(SECOND, 5)
REVOKED = ROTATED.revoked(FIRST.ed25519_id, 9)


def states(keys: KeySet) -> list[tuple[PublicKeys, KeyState, int | None]]:
    return [(key.keys, key.state, key.since) for key in keys.known]


def test_a_key_is_current_then_retired_then_perhaps_revoked() -> None:
    assert KeySet(ORIGIN, ()).current is None
    assert states(ROTATED) == [(SECOND, KeyState.CURRENT, None), (FIRST, KeyState.RETIRED, 5)]
    assert ROTATED.current == SECOND
    # It was of no use after its retirement anyhow.
    assert states(REVOKED) == [(SECOND, KeyState.CURRENT, None), (FIRST, KeyState.REVOKED, 5)]
    assert states(ROTATED.revoked(SECOND.mldsa44_id, 9))[0] == (SECOND, KeyState.REVOKED, 9)
    assert ROTATED.revoked(SECOND.mldsa44_id, 9).current is None


def test_a_key_that_was_given_up_is_not_taken_up_again() -> None:
    with pytest.raises(InvalidKey):
        ROTATED.succeeded(FIRST, 6)
    with pytest.raises(UnknownSigner):
        ROTATED.revoked(THIRD.ed25519_id, 6)


@pytest.mark.parametrize("keys", [KeySet(ORIGIN, ()).succeeded(FIRST, 0), ROTATED, REVOKED])
def test_the_file_says_it_all(keys: KeySet) -> None:
    assert KeySet.from_pem(keys.to_pem()) == keys
    assert KeySet.from_pem("a word of the operator's\n" + keys.to_pem()) == keys


def test_a_plain_pair_is_a_current_key_of_any_log() -> None:
    assert states(KeySet.from_pem(FIRST.to_pem())) == [(FIRST, KeyState.CURRENT, None)]
    assert KeySet.from_pem(FIRST.to_pem()).checked_checkpoint(signed(3))[0] == checkpoint(3)


@pytest.mark.parametrize(
    "text",
    [
        "",
        FIRST.to_pem() + SECOND.to_pem(),
        FIRST.to_pem() + ROTATED.to_pem(),
        ROTATED.to_pem().replace("retired since leaf 5", "current"),
        ROTATED.to_pem().replace(f"{ORIGIN}: retired", "other.example: retired"),
        ROTATED.to_pem().replace(": retired", ": known"),
    ],
)
def test_a_file_that_does_not_say_whose_a_key_is_is_refused(text: str) -> None:
    with pytest.raises(InvalidKey):
        KeySet.from_pem(text)


@pytest.mark.parametrize(
    ("keys", "size", "by", "error"),
    [
        (ROTATED, 9, 2, None),
        (ROTATED, 5, 1, None),
        (ROTATED, 6, 1, KeyRevoked),  # the retired key's time was over
        (REVOKED, 9, 2, None),
        (REVOKED, 3, 1, KeyRevoked),  # anybody may have made it, whenever
        (ROTATED, 5, 3, UnknownSigner),
        (KeySet(ORIGIN, ()), 5, 1, UnknownSigner),
    ],
)
def test_a_checkpoint_counts_while_its_key_does(
    keys: KeySet, size: int, by: int, error: type[Exception] | None
) -> None:
    if error is None:
        assert keys.checked_checkpoint(signed(size, by))[0] == checkpoint(size)
    else:
        with pytest.raises(error):
            keys.checked_checkpoint(signed(size, by))


def test_the_checkpoint_of_the_change_is_good_for_both_sides() -> None:
    note = signed(6, 2, 1)
    for keys in (ROTATED, KeySet.from_pem(FIRST.to_pem()), REVOKED):
        assert keys.checked_checkpoint(note)[0].size == 6


def test_a_checkpoint_of_another_log_is_a_stranger_s() -> None:
    with pytest.raises(UnknownSigner, match=r"not of other\.example"):
        KeySet("other.example", ROTATED.known).checked_checkpoint(signed(9, 2))
    with pytest.raises(SignatureInvalid):
        ROTATED.checked_checkpoint(signed(9, 2).replace("\n9\n", "\n8\n"))


@pytest.mark.parametrize(
    ("keys", "by", "logged_at", "error"),
    [
        (ROTATED, 1, 4, None),
        (ROTATED, 1, 5, KeyRevoked),
        (ROTATED, 2, 100, None),
        (REVOKED, 1, 4, None),  # what was logged before the revocation stays
        (REVOKED, 1, 8, KeyRevoked),
        (ROTATED, 3, 4, UnknownSigner),
    ],
)
def test_what_a_key_signed_counts_where_it_was_logged_in_its_time(
    keys: KeySet, by: int, logged_at: int, error: type[Exception] | None
) -> None:
    envelope = sign(b"{}", IN_TOTO, signing_key(by))
    if error is None:
        assert keys.checked_envelope(envelope, IN_TOTO, logged_at=logged_at) == b"{}"
    else:
        with pytest.raises(error):
            keys.checked_envelope(envelope, IN_TOTO, logged_at=logged_at)
