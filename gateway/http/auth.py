"""Who is calling, told by the bearer token, and what that caller may do."""

from __future__ import annotations

import hmac
import ipaddress
from collections.abc import Container, Iterable, Mapping
from typing import Protocol

from gateway.access.api_key import ApiKey, Role, token_digest
from gateway.access.caller import ANONYMOUS, Caller
from gateway.errors import Forbidden, Unauthorized, WrongRole

#: What logs call the holder of the operator's token.
OPERATOR = Caller("operator-token", Role.OPERATOR)

_USERS = (Role.CLIENT, Role.OPERATOR)
_READERS = (Role.OPERATOR, Role.AUDITOR)
_SEND_ONE = "send an API key as `Authorization: Bearer …`"


class IssuedKeys(Protocol):
    """The keys that operators made: `gateway.access.keyring.Keyring`."""

    @property
    def issued(self) -> bool:
        """Whether there ever was one."""

    def find(self, digest: str) -> ApiKey | None:
        """The key whose token has this SHA-256, while it counts. Raises `KeysUnavailable`."""


def is_loopback(host: str) -> bool:
    """Whether `host` is a name or address that only this machine reaches."""
    if host.strip("[]").lower() == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


class Gatekeeper:
    """Compares bearer tokens by digest; keeps no token in clear.

    The operator's token and the keys of the settings count always; those are clients without a tenant. Without the
    latter (allowed on loopback only), and before the first key is issued, everybody may use the model and `/forget`;
    plans other than the active one and `/keys` take the operator's token always.
    """

    def __init__(self, operator_token: str, api_keys: Iterable[str] = (), issued: IssuedKeys | None = None) -> None:
        self._fixed = [(token_digest(operator_token), OPERATOR)]
        for number, key in enumerate(api_keys, start=1):
            self._fixed.append((token_digest(key), Caller(f"setting-{number}", Role.CLIENT)))
        self._issued = issued

    @property
    def open(self) -> bool:
        """Whether no key is asked for."""
        return len(self._fixed) == 1 and not (self._issued is not None and self._issued.issued)

    def identify(self, headers: Mapping[bytes, bytes]) -> Caller:
        """Raises `Unauthorized` for a token that is nobody's: a wrong key is never taken for none.

        Raises `KeysUnavailable` for one that may be somebody's, while the issued keys are not known.
        """
        token = _bearer(headers)
        if token is None:
            return ANONYMOUS
        digest = token_digest(token)
        known = [caller for fixed, caller in self._fixed if hmac.compare_digest(digest, fixed)]
        if known:
            return known[0]
        key = None if self._issued is None else self._issued.find(digest)
        if key is not None:
            return Caller(key.id, key.role, key.tenant, key.limits)
        if self.open:
            return ANONYMOUS  # the openai client always sends some key
        raise Unauthorized("the API key is not valid")

    def require_client(self, caller: Caller) -> None:
        """Raises `Unauthorized` or `Forbidden` unless the caller may use the model."""
        self._require(caller, _USERS, "the model takes a client's or an operator's key")

    def require_operator(self, caller: Caller, what: str) -> None:
        """Raises `Forbidden` unless the caller is the operator of everything."""
        if not caller.is_operator:
            raise Forbidden(f"{what} takes the operator's token as `Authorization: Bearer …`")

    def require_manager(self, caller: Caller) -> None:
        """Raises unless the caller may manage unlearning requests: an operator, or anybody where no key is asked for.

        Which ones is another question: those of its tenant.
        """
        self._require(caller, (Role.OPERATOR,), "this takes an operator's key as `Authorization: Bearer …`")

    def require_reader(self, caller: Caller) -> None:
        """Raises unless the caller may read the records of unlearning requests."""
        self._require(caller, _READERS, "this takes an operator's or an auditor's key as `Authorization: Bearer …`")

    def require_key_manager(self, caller: Caller, *, read_only: bool) -> None:
        """Raises unless the caller may manage, or read, API keys: never somebody without a key."""
        if caller.role is None:
            raise Unauthorized(_SEND_ONE)
        if read_only:
            self.require_reader(caller)
        else:
            self.require_manager(caller)

    def _require(self, caller: Caller, roles: Container[Role | None], otherwise: str) -> None:
        if caller.role in roles or (self.open and caller.role is None):
            return
        if caller.role is None:
            raise Unauthorized(_SEND_ONE)
        raise WrongRole(otherwise) if caller.role is Role.AUDITOR else Forbidden(otherwise)


def _bearer(headers: Mapping[bytes, bytes]) -> str | None:
    """The bearer token, or Anthropic's `x-api-key`."""
    value = headers.get(b"authorization", b"").decode("latin-1")
    scheme, _, token = value.partition(" ")
    if scheme.lower() == "bearer" and token.strip():
        return token.strip()
    key = headers.get(b"x-api-key", b"").decode("latin-1").strip()
    return key or None
