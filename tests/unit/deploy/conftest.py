"""The three examples as the chart renders them."""

from __future__ import annotations

import pytest

from tests.unit.deploy.chart import Rendered, render


@pytest.fixture
def cpu() -> Rendered:
    return render("cpu")


@pytest.fixture
def gpu() -> Rendered:
    return render("gpu")


@pytest.fixture
def everything() -> Rendered:
    return render("everything")


@pytest.fixture(params=["cpu", "gpu", "everything"])
def rendered(request: pytest.FixtureRequest) -> Rendered:
    """Each of them in turn."""
    return render(request.param)
