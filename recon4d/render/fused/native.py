"""The compiled modules of the fused steps: which step runs where, and its functions by precision."""

from __future__ import annotations

from typing import Any

import torch

from recon4d import _native

_ext: Any = getattr(_native, "_ext", None)
_ext_cuda: Any = getattr(_native, "_ext_cuda", None)
_BITS = {torch.float32: "32", torch.float64: "64"}
_STEPS = {
    "cpu": {
        *("bone_transforms", "compose", "normal_consistency", "photometric_error", "photometric_errors", "skin"),
    },
    "cuda": {"adam_step", "photometric_error", "photometric_errors", "ssim"},
}

_kernels: str | None = None


def available(step: str, device: torch.device | str, dtype: torch.dtype) -> bool:
    """Whether a fused step runs on tensors of this kind.

    Args:
        step: name of a function of `recon4d.render.fused`.
        device, dtype: of its tensors.

    Raises:
        ValueError: when there is no step of that name.
    """
    if not any(step in steps for steps in _STEPS.values()):
        raise ValueError(f"no fused step {step!r}")
    where = kind(device)
    module = {"cpu": _ext, "cuda": _ext_cuda}.get(where)
    return module is not None and dtype in _BITS and step in _STEPS[where]


def kind(device: torch.device | str) -> str:
    """Whose kernels are for tensors of a device: its type.  The tests' emulator says "cuda" of the CPU's."""
    return torch.device(device).type


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
    """The function of that name of the CPU module, for a precision."""
    return getattr(_ext, name + _BITS[dtype])


def cuda_function(name: str, dtype: torch.dtype) -> Any:
    """The function of that name of the CUDA module, for a precision."""
    return getattr(_ext_cuda, name + _BITS[dtype])
