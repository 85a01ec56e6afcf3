"""Where a job computes: the device, and the number format on it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import torch

from adapters.errors import HardwareUnavailable

AUTO, CPU, CUDA = "auto", "cpu", "cuda"
#: What a device may be called: `auto`, `cpu`, `cuda`, `cuda:1`.
NAMES = re.compile(r"auto|cpu|cuda(:\d+)?")


@dataclass(frozen=True, slots=True)
class Hardware:
    """The device that everything of a job is made on.

    What is drawn at random is drawn on the CPU and moved, so that a seed means the same numbers on every device; text
    that a model samples is the one exception.
    """

    device: torch.device

    @classmethod
    def cpu(cls) -> Self:
        return cls(torch.device(CPU))

    @classmethod
    def named(cls, name: str, *, needed: int = 0) -> Self:
        """The device of this name, one of `NAMES`.

        needed: bytes that `auto` wants to find free on the card; with fewer it is the CPU. Raises
        `HardwareUnavailable` for a device that is not there, and ValueError for a name that is none.
        """
        if NAMES.fullmatch(name) is None:
            raise ValueError(f"no device is called {name!r}; there is: auto, cpu, cuda, cuda:<number>")
        if name == CPU:
            return cls.cpu()
        if name == AUTO:
            found = torch.cuda.is_available() and free_bytes(torch.device(CUDA)) >= needed
            return cls(torch.device(CUDA, torch.cuda.current_device())) if found else cls.cpu()
        count = torch.cuda.device_count() if torch.cuda.is_available() else 0
        index = int(name.partition(":")[2] or 0)
        if index >= count:
            raise HardwareUnavailable(f"{name} is asked for, and torch sees {count} CUDA devices here")
        return cls(torch.device(CUDA, index))

    @property
    def is_accelerator(self) -> bool:
        """Whether the device has a memory of its own."""
        return self.device.type != CPU

    @property
    def free(self) -> int | None:
        """Bytes that are free on the device, or in this machine's memory; None where nobody says."""
        if self.device.type == CUDA:
            return free_bytes(self.device)
        return available_memory() if self.device.type == CPU else None

    def compute_dtype(self, stored: torch.dtype) -> torch.dtype:
        """The format to compute in for a checkpoint stored in `stored`."""
        return stored if self.is_accelerator else compute_dtype(stored)

    @contextmanager
    def seeded(self, seed: int) -> Iterator[None]:
        """Torch's own generators start at `seed` inside, and go on outside as if nothing had been drawn."""
        devices = [self.device] if self.device.type == CUDA else []
        with torch.random.fork_rng(devices=devices):
            torch.manual_seed(seed)
            yield

    def generator(self, seed: int) -> torch.Generator:
        """A generator for what is drawn on the CPU and moved."""
        return torch.Generator(device=CPU).manual_seed(seed)


def available_memory() -> int | None:
    """Bytes of memory that this process can still have: what the machine has, and what its container leaves it."""
    found = [value for value in (_meminfo("MemAvailable"), _cgroup_headroom()) if value is not None]
    return min(found, default=None)


def _meminfo(name: str) -> int | None:
    try:
        lines = Path("/proc/meminfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return None
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith(f"{name}:")), None)


def _cgroup_headroom() -> int | None:
    """Of version 2, where a container sees its own at the root; None where there is no bound."""
    try:
        most = Path("/sys/fs/cgroup/memory.max").read_text(encoding="utf-8").strip()
        used = Path("/sys/fs/cgroup/memory.current").read_text(encoding="utf-8").strip()
    except OSError:
        return None
    return max(0, int(most) - int(used)) if most.isdecimal() and used.isdecimal() else None


def free_bytes(device: torch.device) -> int:
    """Bytes that a CUDA device has free, whoever uses the rest."""
    free, _total = torch.cuda.mem_get_info(device)
    return int(free)


def compute_dtype(stored: torch.dtype) -> torch.dtype:
    """The format for this machine's processor to compute in, for a checkpoint stored in `stored`.

    bfloat16 halves the memory and, with the instructions for it, the time. On a processor without them every product
    goes through a conversion: measured at a seventh of float32's speed on AVX2 alone, so float32 it is there.
    """
    if stored is not torch.bfloat16 or _has_bfloat16_instructions():
        return stored
    return torch.float32


def _has_bfloat16_instructions() -> bool:
    return any(bool(has) for name, has in torch.cpu.get_capabilities().items() if "bf16" in name)
