"""Settings that are checked where they are given."""

from __future__ import annotations

import base64

import pytest
from pydantic import SecretStr, ValidationError

from adapters.models.hardware import NAMES
from gateway.settings import Settings


@pytest.mark.parametrize("device", ["auto", "cpu", "cuda", "cuda:0", "cuda:11"])
def test_a_device_of_the_workers(device: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("UNLEARN_WORKER_DEVICE", device)
    assert Settings().worker_device == device
    assert NAMES.fullmatch(device), "what the settings take is what the hardware knows"


@pytest.mark.parametrize("device", ["gpu", "cuda:", "cuda:x", "CUDA", "cpu:0", "mps", "auto "])
def test_a_device_that_is_none(device: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("UNLEARN_WORKER_DEVICE", device)
    with pytest.raises(ValidationError, match="give auto, cpu, cuda, or cuda:1 for the second card"):
        Settings()
    assert NAMES.fullmatch(device) is None


def _secret(n: int) -> str:
    return f"whsec_{base64.b64encode(b's' * n).decode()}"


@pytest.mark.parametrize("secret", [_secret(24), _secret(32), _secret(64)])
def test_a_webhook_with_a_secret(secret: str) -> None:
    assert Settings(webhook_url="https://operator.example/hook", webhook_secret=SecretStr(secret)).webhook_secret


@pytest.mark.parametrize("secret", [None, "", "s" * 32, "whsec_", "whsec_not base64", _secret(23), _secret(65)])
def test_a_webhook_that_could_not_be_signed(secret: str | None) -> None:
    given = None if secret is None else SecretStr(secret)
    with pytest.raises(ValidationError, match="whsec_ and base64 of 24 to 64 bytes"):
        Settings(webhook_url="https://operator.example/hook", webhook_secret=given)


@pytest.mark.parametrize("url", ["operator.example", "file:///etc/passwd", "ftp://operator.example", "javascript:1"])
def test_a_webhook_that_is_no_endpoint(url: str) -> None:
    with pytest.raises(ValidationError, match="webhook_url"):
        Settings(webhook_url=url, webhook_secret=SecretStr(_secret(32)))
