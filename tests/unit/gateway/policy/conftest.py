"""The real detectors, loaded once: seconds."""

from __future__ import annotations

import pytest

from gateway.policy.scope.detectors import Detectors


@pytest.fixture(scope="package")
def detectors() -> Detectors:
    return Detectors.default(b"k" * 32)
