"""Which rasterizers this installation has, and which of them draws given tensors.

A backend is a module with one function:

    rasterize_batch(surfels, K, cam_from_world, width, height, *, background, limits, screen_offsets) -> RasterOutput

It gets checked arguments (`arguments.Batch`), always returns a batch axis, and calls `values.raise_bad_values` when a
surfel holds a bad value.  Modules are imported when they are first used, so that `import recon4d` stays light.
"""

from __future__ import annotations

import functools
import importlib
import warnings
from typing import Protocol, cast, runtime_checkable

import torch
from torch import Tensor

from recon4d import _native
from recon4d.core import BackendError, InputError, Surfels
from recon4d.render.limits import Limits
from recon4d.render.output import RasterOutput

BACKENDS = ("reference", "cpu", "cuda", "gsplat")
"""Names of all backends, those of this installation or not."""


@runtime_checkable
class Backend(Protocol):
    """What a backend module offers."""

    def rasterize_batch(
        self,
        surfels: Surfels,
        K: Tensor,
        cam_from_world: Tensor,
        width: int,
        height: int,
        *,
        background: Tensor | None,
        limits: Limits,
        screen_offsets: Tensor | None,
    ) -> RasterOutput:
        """Draw B views.

        Args:
            surfels: arrays without a batch dimension, or with one of size B.
            K: [B, 3, 3] intrinsics.
            cam_from_world: [B, 4, 4] poses.
            width, height: image size in pixels.
            background: [C] or None for zeros.
            limits: near plane and bounds of alpha and transmittance.
            screen_offsets: [N, 2] or [B, N, 2] pixels to move each projected centre by, or None.
        """


class SlowBackendWarning(UserWarning):
    """The reference backend draws, because nothing faster is installed."""


def available_backends() -> dict[str, tuple[bool, str]]:
    """Every backend by name: whether it can be used here, and one line that says what it is or why not."""
    return {name: _state(name) for name in BACKENDS}


def keep_idle_memory(megabytes: int) -> None:
    """Keep at most so much memory of dropped pictures, and as much of what drawing needed, for the next ones.

    The `cpu` backend reuses memory, because fresh pages cost time; what a long film took would otherwise stay with a
    program that draws small pictures afterwards.  The bound, 1024 at first, is the whole process's.

    Args:
        megabytes: 0 keeps nothing but what drew the last picture.

    Raises:
        InputError: a negative number.
    """
    if megabytes < 0:
        raise InputError("megabytes", expected="0 or more", got=str(megabytes), fix="64 suits a viewer")
    if _native.available:
        from recon4d.render import cpu

        cpu.keep_idle(megabytes << 20)


def load_backend(name: str, device: torch.device) -> Backend:
    """The module that draws tensors of `device`.

    Args:
        name: one of `BACKENDS`, or "auto": the fastest that can draw tensors of this device.
        device: where all tensors are.

    Raises:
        InputError: when there is no backend of that name.
        BackendError: when it is not installed, cannot run here, or does not draw tensors of this device.
    """
    if name != "auto" and name not in BACKENDS:
        expected = "one of " + ", ".join(("auto", *BACKENDS))
        raise InputError("backend", expected=expected, got=repr(name), fix="leave it out for the fastest")
    if name == "auto":
        name = _fastest(device)
    elif name != "reference":
        usable, detail = _state(name)
        if not usable:
            raise BackendError(f"backend {name!r}", expected="an installed backend", got=detail, fix='use "auto"')
        needed = "cuda" if name == "gsplat" else name
        if device.type != needed:
            raise BackendError(
                f"backend {name!r}",
                expected=f"tensors on {needed}",
                got=str(device),
                fix=f"move them with .to({needed!r})",
            )
    return cast(Backend, importlib.import_module(f"recon4d.render.{name}"))


def _fastest(device: torch.device) -> str:
    if device.type not in ("cpu", "cuda"):
        return "reference"
    # Only the one that is asked for: looking for all of them takes longer than drawing a small image.
    usable, detail = _state(device.type)
    if usable:
        return device.type
    _warn_slow(device.type, detail)
    return "reference"


@functools.cache
def _warn_slow(name: str, detail: str) -> None:
    warnings.warn(
        f"rasterizing with the pure-torch reference backend, hundreds of times slower than {name!r}, because {detail}",
        SlowBackendWarning,
        stacklevel=5,
    )


def _state(name: str) -> tuple[bool, str]:
    if name == "reference":
        return True, "pure torch on any device, for checking; slow"
    return {"cpu": _cpu, "cuda": _cuda, "gsplat": _gsplat}[name]()


def _cpu() -> tuple[bool, str]:
    if not _native.available:
        return False, _native.reason
    from recon4d.render.cpu import kernel_names

    return True, f"compiled, {kernel_names()[0]} instructions, {torch.get_num_threads()} threads"


def _cuda() -> tuple[bool, str]:
    if not _native.cuda_built:
        return False, _native.cuda_reason
    if not torch.cuda.is_available():
        return False, "torch sees no CUDA device"
    return True, f"compiled, on {torch.cuda.get_device_name()}"


def _gsplat() -> tuple[bool, str]:
    from recon4d.render.gsplat import why_not

    if reason := why_not():
        return False, reason
    if not torch.cuda.is_available():
        return False, "torch sees no CUDA device"
    return True, "gsplat's surfels, with differences: see recon4d/render/gsplat.py"
