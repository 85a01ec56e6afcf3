"""What a stack reads lies at one address, whatever the size of a step, and is a copy."""

from __future__ import annotations

import pytest
import torch

from gateway.engine.inside.input_buffer import InputBuffer


@pytest.fixture
def buffer() -> InputBuffer:
    return InputBuffer(tokens=16, width=4, dtype=torch.bfloat16)


def test_every_step_is_held_at_the_same_address(buffer: InputBuffer) -> None:
    steps = [torch.randn(tokens, 4, dtype=torch.bfloat16) for tokens in (16, 1, 7, 16, 3)]
    held = [buffer(step) for step in steps]
    assert len({rows.data_ptr() for rows in held}) == 1
    assert [len(rows) for rows in held] == [16, 1, 7, 16, 3]
    assert torch.equal(held[-1], steps[-1])


def test_what_was_given_stays_as_it_is_when_the_stack_writes_its_input(buffer: InputBuffer) -> None:
    given = torch.ones(5, 4, dtype=torch.bfloat16)
    buffer(given).fill_(float("nan"))
    assert torch.equal(given, torch.ones(5, 4, dtype=torch.bfloat16))


def test_more_tokens_than_it_was_made_for_are_an_error(buffer: InputBuffer) -> None:
    with pytest.raises(RuntimeError):
        buffer(torch.ones(17, 4, dtype=torch.bfloat16))


def test_it_is_no_part_of_a_checkpoint(buffer: InputBuffer) -> None:
    assert not buffer.state_dict()
