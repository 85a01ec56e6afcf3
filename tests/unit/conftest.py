"""What all unit tests run under."""

from __future__ import annotations

from collections.abc import Iterator

import pytest


@pytest.fixture(scope="package", autouse=True)
def one_thread() -> Iterator[None]:
    """Torch computes in one thread, here and in the processes that tests start.

    Sums are in one order then, whatever the machine: how a product is split over threads depends on the batch it is
    in, and some tests compare to the bit. And the cores are shared with an engine: threads that wait for each other at
    every small product took up to sixty times as long.
    """
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("OMP_NUM_THREADS", "1")
        yield
    torch.set_num_threads(threads)


@pytest.fixture
def few_others(monkeypatch: pytest.MonkeyPatch) -> None:
    """Before it is attacked, a model is asked about few others and few other things: each is an answer to make."""
    monkeypatch.setattr("adapters.evaluation.attacks.asking.MOST_OTHERS", 4)
    monkeypatch.setattr("adapters.evaluation.attacks.asking.MOST_KNOWN", 2)
