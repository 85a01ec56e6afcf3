"""A second device that is none: tensors on it say `meta`, have real values on the CPU, and go with none of the CPU's.

What a CUDA device would refuse is refused here, on a machine without one: an operation that mixes the two, except for
scalars of the CPU and for indices into a tensor of the device.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_flatten, tree_map

DEVICE = torch.device("meta")
_COPIES = {torch.ops.aten._to_copy.default, torch.ops.aten.copy_.default}
_INDEXED = {
    torch.ops.aten.index.Tensor,
    torch.ops.aten.index_put.default,
    torch.ops.aten.index_put_.default,
    torch.ops.aten._index_put_impl_.default,
}


class MixedDevices(Exception):
    """An operation was given tensors of both devices."""


class Pretend(torch.Tensor):
    """A tensor on the device. `held` has its values."""

    held: torch.Tensor

    @staticmethod
    def __new__(cls, held: torch.Tensor, requires_grad: bool = False) -> Pretend:
        made: Pretend = torch.Tensor._make_wrapper_subclass(
            cls,
            held.size(),
            strides=held.stride(),
            storage_offset=held.storage_offset(),
            dtype=held.dtype,
            device=DEVICE,
            requires_grad=requires_grad,
        )
        made.held = held
        return made

    def __repr__(self, **_: Any) -> str:  # type: ignore[override]
        return f"Pretend({self.held!r})"

    @classmethod
    def __torch_dispatch__(  # type: ignore[override]
        cls, function: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        return _run(function, args, dict(kwargs or {}))


class _FromData(TorchFunctionMode):
    """`torch.tensor(data, device=…)` and `tolist`, which dispatch nothing that could be seen below."""

    def __torch_function__(
        self, function: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        kwargs = dict(kwargs or {})
        if function is torch.Tensor.tolist and isinstance(args[0], Pretend):
            return args[0].held.tolist()
        wanted = kwargs.get("device")
        if function is torch.tensor and wanted is not None and torch.device(wanted) == DEVICE:
            return function(*args, **{**kwargs, "device": "cpu"}).to(DEVICE)
        return function(*args, **kwargs)


class PretendDevice(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Inside, whatever is made on or moved to the device is a `Pretend`."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._from_data = _FromData()

    def __enter__(self) -> PretendDevice:
        self._from_data.__enter__()  # type: ignore[no-untyped-call]
        super().__enter__()  # type: ignore[no-untyped-call]
        return self

    def __exit__(self, *raised: Any) -> None:
        super().__exit__(*raised)  # type: ignore[no-untyped-call]
        self._from_data.__exit__(*raised)  # type: ignore[no-untyped-call]

    def __torch_dispatch__(
        self, function: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        return _run(function, args, dict(kwargs or {}))


def _run(function: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    given = [each for each in tree_flatten((args, kwargs))[0] if isinstance(each, torch.Tensor)]
    if any(not isinstance(each, Pretend) and each.device == DEVICE for each in given):
        raise AssertionError(f"{function} is given a tensor of the device that the pretence has missed")
    on_it = any(isinstance(each, Pretend) for each in given)
    if on_it and function not in _COPIES:
        _refuse_mixture(function, args, given)
    wanted = kwargs.get("device")
    if wanted is not None and torch.device(wanted) == DEVICE:
        kwargs["device"], on_it = torch.device("cpu"), True
    elif wanted is not None:
        on_it = False
    plain_args, plain_kwargs = tree_map(_held, (args, kwargs))
    results = function(*plain_args, **plain_kwargs)
    # What is worked on in place stays the tensor that it is.
    own = {id(each.held): each for each in given if isinstance(each, Pretend)}

    def out(result: Any) -> Any:
        if not isinstance(result, torch.Tensor) or isinstance(result, Pretend):
            return result
        if id(result) in own:
            return own[id(result)]
        return Pretend(result) if on_it else result

    if function is torch.ops.aten.copy_.default:
        return args[0]
    return tree_map(out, results)


def _held(value: Any) -> Any:
    return value.held if isinstance(value, Pretend) else value


def _refuse_mixture(function: Any, args: tuple[Any, ...], given: list[torch.Tensor]) -> None:
    if function in _INDEXED and isinstance(args[0], Pretend):
        given = [each for each in given if each is args[0]]
    strangers = [each for each in given if not isinstance(each, Pretend) and each.ndim]
    if strangers:
        raise MixedDevices(f"{function} is given tensors of the device and of the CPU {list(strangers[0].shape)}")
