"""What the engine can take of a caller's parameters: numbers that are finite in float32, and whole characters."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from vllm.sampling_params import SamplingParams
from vllm.v1.serial_utils import MsgpackEncoder

from gateway.errors import InvalidRequest

#: The engine computes in float32, where a smaller number is 0 and a larger one infinite. Zero times the −inf of a
#: virtual token is NaN, and NaN is what a sampler takes for the largest. vLLM bounds the other parameters itself.
_BOUNDS = {"repetition_penalty": (1e-6, 1e6), "top_p": (1e-30, 1.0)}


def check_sampling(params: SamplingParams) -> None:
    """Raises `InvalidRequest` for a number that the engine cannot compute with."""
    for name, (least, most) in _BOUNDS.items():
        value = getattr(params, name)
        if not least <= value <= most:
            raise InvalidRequest(f"{name} must be between {least:g} and {most:g}, got {value:g}", param=name)


def check_encodable(fields: Mapping[str, Any]) -> None:
    """Raises `InvalidRequest`, naming the field, for what cannot be sent to the engine's process.

    To be called first: what fails on its way stays behind in vLLM's books as a request that never ends.
    """
    encoder = MsgpackEncoder()
    for name, value in fields.items():
        try:
            encoder.encode(value)
        except (ValueError, TypeError, OverflowError) as error:
            if isinstance(value, SamplingParams):
                check_encodable({field: getattr(value, field) for field in value.__struct_fields__})
            reason = "holds half a character" if isinstance(error, UnicodeEncodeError) else str(error)
            raise InvalidRequest(f"{name} cannot be sent to the model: {reason}", param=name) from None
