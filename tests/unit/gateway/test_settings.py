"""Settings that are checked where they are given."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

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
