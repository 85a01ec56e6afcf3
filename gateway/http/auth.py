"""Who is calling: nobody in particular, a holder of an API key, or the operator."""

from __future__ import annotations

import hashlib
import hmac
import ipaddress
from collections.abc import Iterable, Mapping
from enum import IntEnum

from gateway.errors import Forbidden, Unauthorized


class Caller(IntEnum):
    """Ordered by what they may do."""

    ANONYMOUS = 0
    CLIENT = 1
    OPERATOR = 2


def is_loopback(host: str) -> bool:
    """Whether `host` is a name or address that only this machine reaches."""
    if host.strip("[]").lower() == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def _digest(token: str) -> bytes:
    return hashlib.sha256(token.encode()).digest()


class Gatekeeper:
    """Compares bearer tokens by digest, in constant time; keeps no token in clear.

    Without API keys (allowed on loopback only) everybody may use the model and `/forget`; plans other than the active
    one take the operator's token always.
    """

    def __init__(self, operator_token: str, api_keys: Iterable[str] = ()) -> None:
        self._operator = _digest(operator_token)
        self._keys = tuple(_digest(key) for key in api_keys)

    @property
    def open(self) -> bool:
        """Whether no key is asked for."""
        return not self._keys

    def identify(self, headers: Mapping[bytes, bytes]) -> Caller:
        """Raises `Unauthorized` for a token that is nobody's: a wrong key is never taken for none."""
        token = _bearer(headers)
        if token is None:
            return Caller.ANONYMOUS
        digest = _digest(token)
        if hmac.compare_digest(digest, self._operator):
            return Caller.OPERATOR
        known = [hmac.compare_digest(digest, key) for key in self._keys]
        if any(known):
            return Caller.CLIENT
        if self.open:
            return Caller.ANONYMOUS  # the openai client always sends some key
        raise Unauthorized("the API key is not valid")

    def require_client(self, caller: Caller) -> None:
        """Raises `Unauthorized` unless the caller may use the model."""
        if not self.open and caller < Caller.CLIENT:
            raise Unauthorized("send an API key as `Authorization: Bearer …`")

    def require_operator(self, caller: Caller, what: str) -> None:
        """Raises `Forbidden` unless the caller is the operator."""
        if caller is not Caller.OPERATOR:
            raise Forbidden(f"{what} takes the operator's token as `Authorization: Bearer …`")

    def require_manager(self, caller: Caller) -> None:
        """Raises unless the caller may manage unlearning requests: the operator, or anybody where no key is set."""
        if not self.open:
            self.require_operator(caller, "/forget")


def _bearer(headers: Mapping[bytes, bytes]) -> str | None:
    """The bearer token, or Anthropic's `x-api-key`."""
    value = headers.get(b"authorization", b"").decode("latin-1")
    scheme, _, token = value.partition(" ")
    if scheme.lower() == "bearer" and token.strip():
        return token.strip()
    key = headers.get(b"x-api-key", b"").decode("latin-1").strip()
    return key or None
