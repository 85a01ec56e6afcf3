"""The operator's token: whoever holds it may ask with another plan."""

from __future__ import annotations

import secrets

from gateway.settings import Settings
from gateway.store.secret_file import load_or_create_secret


def load_or_create_operator_token(settings: Settings) -> str:
    """From the environment, else from data_dir/operator.token, which is made on first use."""
    if settings.operator_token is not None:
        return settings.operator_token.get_secret_value()
    return load_or_create_secret(settings.data_dir / "operator.token", lambda: f"op-{secrets.token_urlsafe(32)}")
