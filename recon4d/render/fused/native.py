"""The functions of the compiled CPU module by precision, and whether there is one."""

from __future__ import annotations

from typing import Any

import torch

from recon4d import _native

_ext: Any = getattr(_native, "_ext", None)
_BITS = {torch.float32: "32", torch.float64: "64"}

_kernels: str | None = None


def available(device: torch.device | str, dtype: torch.dtype) -> bool:
    """Whether the fused steps for a CPU run on tensors of this kind."""
    return torch.device(device).type == "cpu" and dtype in _BITS and _ext is not None


def kernel_names() -> list[str]:
    """The single-precision instruction sets that this processor runs, fastest first; none without the module."""
    return list(_ext.kernel_names()) if _ext is not None else []


def use_kernels(name: str | None) -> None:
    """Run the named instruction set from now on, as `cpu.use_kernels`; for tests and benchmarks.

    Raises:
        ValueError: when this processor cannot run it.
    """
    global _kernels
    _ext.Workspace32(kernels=name)
    _kernels = name


def kernels_for(dtype: torch.dtype) -> str | None:
    """The instruction set that was asked for; there is one choice in single precision only."""
    return _kernels if dtype == torch.float32 else None


def function(name: str, dtype: torch.dtype) -> Any:
    """The native function of that name for a precision."""
    return getattr(_ext, name + _BITS[dtype])
