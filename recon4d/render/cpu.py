"""The `cpu` backend: the compiled kernels behind one `torch.autograd.Function`.

Torch allocates what is returned; everything else lives in native workspaces that are borrowed from a pool for as long
as a frame may still be differentiated, so that a training loop allocates nothing after its first frames.  Checks no
arguments and chooses no backend.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import Any, cast

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from recon4d._native import _ext
from recon4d.core import InputError, Surfels
from recon4d.render.arguments import channel_count
from recon4d.render.limits import Limits
from recon4d.render.output import RasterOutput
from recon4d.render.passes import ARRAYS, draw_in_passes
from recon4d.render.values import raise_bad_values

Workspace = _ext.Workspace32 | _ext.Workspace64

POOL_SIZE = 8
"""Idle workspaces that are kept.  A batch borrows one for each of its frames."""

_kernels: str | None = None
_pool: list[Workspace] = []
_pool_lock = threading.Lock()
_most_idle_bytes = 1 << 30


def use_kernels(name: str | None) -> None:
    """Rasterize with the named instruction set from now on, for tests and benchmarks.

    Args:
        name: one of `kernel_names()`, or None for the fastest.

    Raises:
        ValueError: when this processor cannot run it.
    """
    global _kernels
    _ext.Workspace32(kernels=name)
    with _pool_lock:
        _kernels = name
        _pool.clear()


def kernel_names() -> list[str]:
    """The single-precision instruction sets that this processor runs, fastest first."""
    return list(_ext.kernel_names())


def keep_idle(most_bytes: int) -> None:
    """Keep at most so many bytes of planes and of workspaces; see `backends.keep_idle_memory`."""
    global _most_idle_bytes
    _ext.keep_idle(most_bytes)
    with _pool_lock:
        _most_idle_bytes = most_bytes
        _forget_idle()


def _forget_idle() -> None:
    """Drop the workspaces that are too many, the longest idle first, but not the last one; the lock is held."""
    while len(_pool) > POOL_SIZE or (len(_pool) > 1 and sum(one.bytes for one in _pool) > _most_idle_bytes):
        del _pool[0]


def last_workspace() -> Workspace:
    """The workspace that was given back last, with the counts of the frame it drew; for benchmarks.

    Raises:
        LookupError: when nothing was drawn yet.
    """
    with _pool_lock:
        if not _pool:
            raise LookupError("no frame has been drawn and let go yet")
        return _pool[-1]


class Lease:
    """A workspace on loan: goes back to the pool when the last reference is dropped."""

    # The native functions take whatever speaks DLPack, torch's tensors among it; their stub knows numpy's arrays only.
    workspace: Any

    def __init__(self, dtype: torch.dtype) -> None:
        wanted = _ext.Workspace32 if dtype == torch.float32 else _ext.Workspace64
        with _pool_lock:
            self.kernels = _kernels
            found = next((i for i in reversed(range(len(_pool))) if isinstance(_pool[i], wanted)), None)
            self.workspace = _pool.pop(found) if found is not None else None
        if self.workspace is None:
            self.workspace = wanted(kernels=self.kernels) if dtype == torch.float32 else wanted()

    def __del__(self) -> None:
        workspace = getattr(self, "workspace", None)
        if workspace is None:
            return
        with _pool_lock:
            if self.kernels == _kernels:
                _pool.append(workspace)
                _forget_idle()


def rasterize_batch(
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
    """Draw B views; see `backends.Backend`."""

    def draw(some: Surfels, inputs: list[Tensor | None]) -> tuple[Tensor, ...]:
        return cast(tuple[Tensor, ...], _Rasterize.apply(some, limits, (width, height), K, cam_from_world, *inputs))

    return draw_in_passes(draw, _ext.MAX_CHANNELS, surfels, background, screen_offsets)


class _Rasterize(torch.autograd.Function):
    """Images as planes, [B, C, H, W] or [B, H, W]: what the kernels write without shuffling."""

    @staticmethod
    def forward(
        ctx: Any,
        surfels: Surfels,
        limits: Limits,
        size: tuple[int, int],
        K: Tensor,
        cam_from_world: Tensor,
        *inputs: Tensor | None,
    ) -> tuple[Tensor, ...]:
        width, height = size
        batch, count = K.shape[0], len(surfels)
        arrays = [None if a is None else a.detach() for a in inputs]
        channels = channel_count(surfels)
        empty_planes = _ext.empty_planes32 if K.dtype == torch.float32 else _ext.empty_planes64
        planes = empty_planes(batch, channels + 7, height, width)
        color, normal = planes[:, :channels], planes[:, channels : channels + 3]
        alpha, depth, depth_median, distortion = planes[:, channels + 3 :].unbind(1)
        radii = torch.empty(batch, count, dtype=K.dtype)
        matrices = (K.detach(), cam_from_world.detach())
        leases = []
        for b in range(batch):
            lease = Lease(K.dtype)
            leases.append(lease)
            bad = lease.workspace.forward(
                *_frame(arrays, b),
                *(m[b] for m in matrices),
                limits.near,
                limits.alpha_min,
                limits.alpha_max,
                limits.min_transmittance,
                *(plane[b] for plane in (color, alpha, depth, depth_median, normal, distortion, radii)),
                torch.get_num_threads(),
            )
            if bad:
                raise_bad_values(surfels)
                # The kernel also refuses what becomes infinite on the way, which no check of the inputs can see.
                raise InputError(
                    "surfels",
                    expected=f"values whose image is finite in {K.dtype}",
                    got=f"{bad} surfels that overflow although every one of their numbers is finite",
                    fix="scale the scene to about unit size",
                )
        ctx.leases = leases
        ctx.mark_non_differentiable(radii)
        ctx.set_materialize_grads(False)
        ctx.save_for_backward(K, cam_from_world, *inputs, color, alpha, depth, normal)
        return color, alpha, depth, depth_median, normal, distortion, radii

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *upstream: Tensor | None) -> tuple[Tensor | None, ...]:
        saved = ctx.saved_tensors
        K, _, arrays = saved[0], saved[1], saved[2 : 2 + len(ARRAYS)]
        outputs = saved[2 + len(ARRAYS) :]
        wanted = ctx.needs_input_grad[5:]
        # The last array is the background, whose gradient is a sum over the image and no business of the kernels.
        gradients = [
            torch.zeros_like(a) if want and a is not None else None
            for a, want in zip(arrays[:-1], wanted[:-1], strict=True)
        ]
        up = [None if v is None else v.contiguous() for v in upstream[:-1]]
        camera = torch.zeros(K.shape[0], _ext.CAMERA_GRADIENT_SIZE, dtype=K.dtype)
        for b, lease in enumerate(ctx.leases):
            lease.workspace.backward(
                *_frame(arrays, b),
                *(plane[b] for plane in outputs),
                *(None if v is None else v[b] for v in up),
                *_frame(gradients, b),
                camera[b],
                accumulate=True,
                threads=torch.get_num_threads(),
            )
        v_background = None
        if wanted[-1] and up[0] is not None:
            v_background = (up[0] * (1 - outputs[1][:, None])).sum(dim=(0, 2, 3))
        v_K, v_pose = _camera_matrices(camera)
        return None, None, None, v_K, v_pose, *gradients, v_background


def _frame(arrays: Sequence[Tensor | None], index: int) -> list[Tensor | None]:
    """Arrays of one frame of the batch: those with a batch dimension are indexed, the others shared."""
    return [
        None if a is None else (a[index] if a.dim() > dims else a).detach()
        for a, dims in zip(arrays, (2, 2, 2, 1, 3, 2, 2, 2, 1), strict=False)
    ]


def _camera_matrices(camera: Tensor) -> tuple[Tensor, Tensor]:
    """[B, 16] rotation, translation, fx, fy, cx, cy -> gradients of K [B, 3, 3] and cam_from_world [B, 4, 4]."""
    batch = camera.shape[0]
    pose = camera.new_zeros(batch, 4, 4)
    pose[:, :3, :3] = camera[:, :9].reshape(batch, 3, 3)
    pose[:, :3, 3] = camera[:, 9:12]
    K = camera.new_zeros(batch, 3, 3)
    K[:, 0, 0], K[:, 1, 1] = camera[:, 12], camera[:, 13]
    K[:, 0, 2], K[:, 1, 2] = camera[:, 14], camera[:, 15]
    return K, pose
