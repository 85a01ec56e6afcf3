"""Each example rendered once."""

from __future__ import annotations

import pytest

from tests.unit.deploy.chart import Rendered, render


@pytest.fixture(scope="session")
def cpu() -> Rendered:
    return render("cpu")


@pytest.fixture(scope="session")
def gpu() -> Rendered:
    return render("gpu")


@pytest.fixture(scope="session")
def everything() -> Rendered:
    return render("everything")


@pytest.fixture(params=["cpu", "gpu", "everything"])
def rendered(request: pytest.FixtureRequest) -> Rendered:
    """Each of them in turn."""
    found: Rendered = request.getfixturevalue(request.param)
    return found
