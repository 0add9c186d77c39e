"""The `cuda` backend: the CUDA kernels behind one `torch.autograd.Function`.

Torch allocates everything, on the device of the tensors, and its current stream is used, so several devices, streams
and CUDA graphs work as they do for torch's own functions.  Checks no arguments and chooses no backend.

One number must come back to the host between the two halves of the forward pass: how many (surfel, tile) pairs there
are, which sizes what follows.  The same copy brings the count of surfels that cannot be drawn.  Inside
`fixed_capacity` nothing is read back, so a CUDA graph can record the whole pass.

Gradients are summed with atomic additions: their last bits differ from run to run.
"""

from __future__ import annotations

import contextlib
import contextvars
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, cast

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from recon4d._native import _ext_cuda
from recon4d.core import InputError, Surfels
from recon4d.render.arguments import channel_count
from recon4d.render.colors import with_seen_colors
from recon4d.render.limits import Limits
from recon4d.render.output import RasterOutput
from recon4d.render.passes import ARRAYS, draw_in_passes
from recon4d.render.streams import current_stream
from recon4d.render.values import raise_bad_values


@dataclass
class Capacity:
    """Room for (surfel, tile) pairs that does not depend on the frame.

    Attributes:
        instances: how many pairs fit.  Where a frame has more, its farthest surfels are left out.
        status: int64 [2] on the device for every pass drawn so far: surfels that cannot be drawn, pairs that were
            needed.  Nobody has waited for these numbers.
    """

    instances: int
    status: list[Tensor] = field(default_factory=list)

    def check(self) -> None:
        """Wait for the device, and raise when a pass had too little room or values that cannot be drawn.

        Raises:
            InputError: which of the two, and how many.
        """
        for status in self.status:
            bad, needed = (int(n) for n in status.tolist())
            if bad:
                raise InputError(
                    "surfels", expected="finite values in range", got=f"{bad} bad surfels", fix="check them"
                )
            if needed > self.instances:
                raise InputError(
                    "instances", expected=f"at least {needed}", got=str(self.instances), fix="give fixed_capacity more"
                )


_capacity: contextvars.ContextVar[Capacity | None] = contextvars.ContextVar("recon4d_cuda_capacity", default=None)


@contextlib.contextmanager
def fixed_capacity(instances: int) -> Iterator[Capacity]:
    """Draw without reading anything back from the device, as a CUDA graph needs it.

    Values are not checked on the way: call `Capacity.check` when it suits.  What a graph records must be a call of
    `rasterize_batch`: the checks of `rasterize` read the cameras back.

    Args:
        instances: room for this many (surfel, tile) pairs in every pass.  The memory is 16 bytes each, and more while
            they are sorted.

    Raises:
        InputError: when it is negative or too many to count.
    """
    if not 0 <= instances <= _ext_cuda.MAX_INSTANCES:
        raise InputError(
            "instances",
            expected=f"between 0 and {_ext_cuda.MAX_INSTANCES}",
            got=str(instances),
            fix="see what Capacity.status says was needed",
        )
    capacity = Capacity(instances)
    token = _capacity.set(capacity)
    try:
        yield capacity
    finally:
        _capacity.reset(token)


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

    seen = with_seen_colors(surfels, cam_from_world)
    return draw_in_passes(draw, _ext_cuda.MAX_CHANNELS, seen, background, screen_offsets)


class _Rasterize(torch.autograd.Function):
    """Images as planes, [B, C, H, W] or [B, H, W]: neighbouring threads write neighbouring numbers."""

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
        batch = _batch(K, cam_from_world, inputs, size, limits)
        (width, height), frames, count = size, K.shape[0], len(surfels)
        stream = current_stream(K)
        status = torch.empty(2, dtype=torch.int64, device=K.device)
        radii = K.new_empty(frames, count)
        kept, scratch = _bytes(K, batch.projection_bytes), _bytes(K, batch.projection_scratch_bytes)
        batch.project(kept, scratch, radii, status, stream)

        capacity = _capacity.get()
        if capacity is not None:
            capacity.status.append(status)
            instances = capacity.instances
        else:
            bad, instances = (int(n) for n in status.tolist())
            if bad:
                _raise_bad(surfels, bad, K.dtype)

        channels = channel_count(surfels)
        color = K.new_empty(frames, channels, height, width)
        normal = K.new_empty(frames, 3, height, width)
        alpha, depth, depth_median, distortion = (K.new_empty(frames, height, width) for _ in range(4))
        pixel_sums = K.new_empty(frames, _ext_cuda.PIXEL_SUMS, height, width)
        binned = _bytes(K, batch.binning_bytes(instances))
        bin_scratch = _bytes(K, batch.binning_scratch_bytes(instances))
        images = (color, alpha, depth, depth_median, normal, distortion)
        batch.draw(kept, scratch, instances, binned, bin_scratch, *images, pixel_sums, stream)

        ctx.limits, ctx.size, ctx.instances = limits, size, instances
        ctx.mark_non_differentiable(radii)
        ctx.set_materialize_grads(False)
        ctx.save_for_backward(
            K, cam_from_world, *inputs, color, alpha, depth, normal, pixel_sums, radii.detach(), kept, binned
        )
        return color, alpha, depth, depth_median, normal, distortion, radii

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *upstream: Tensor | None) -> tuple[Tensor | None, ...]:
        K, cam_from_world, *saved = ctx.saved_tensors
        arrays = saved[: len(ARRAYS)]
        color, alpha, depth, normal, pixel_sums, radii, kept, binned = saved[len(ARRAYS) :]
        wanted = ctx.needs_input_grad[5:]
        batch = _batch(K, cam_from_world, arrays, ctx.size, ctx.limits)
        # The last array is the background, whose gradient is a sum over the image and no business of the kernels.
        gradients = [
            torch.zeros_like(a) if want and a is not None else None
            for a, want in zip(arrays[:-1], wanted[:-1], strict=True)
        ]
        up = [None if v is None else v.contiguous() for v in upstream[:-1]]
        cameras = K.new_zeros(K.shape[0], _ext_cuda.CAMERA_GRADIENT_SIZE)
        sums = K.new_zeros(radii.numel(), batch.gradient_width)
        images = (color.detach(), alpha.detach(), depth.detach(), normal.detach())
        batch.backward(
            kept, radii, ctx.instances, binned, *images, pixel_sums, *up, sums, *gradients, cameras, current_stream(K)
        )
        v_background = None
        if wanted[-1] and up[0] is not None:
            v_background = (up[0] * (1 - images[1][:, None])).sum(dim=(0, 2, 3))
        v_K, v_pose = _camera_matrices(cameras)
        return None, None, None, v_K, v_pose, *gradients, v_background


def _batch(
    K: Tensor, cam_from_world: Tensor, arrays: Sequence[Tensor | None], size: tuple[int, int], limits: Limits
) -> Any:
    kind: Any = _ext_cuda.Batch32 if K.dtype == torch.float32 else _ext_cuda.Batch64
    return kind(
        *(None if a is None else a.detach() for a in arrays),
        K.detach().contiguous(),
        cam_from_world.detach().contiguous(),
        *size,
        limits.near,
        limits.alpha_min,
        limits.alpha_max,
        limits.min_transmittance,
    )


def _bytes(like: Tensor, count: int) -> Tensor:
    return torch.empty(count, dtype=torch.uint8, device=like.device)


def _raise_bad(surfels: Surfels, bad: int, dtype: torch.dtype) -> None:
    raise_bad_values(surfels)
    # The kernel also refuses what becomes infinite on the way, which no check of the inputs can see.
    raise InputError(
        "surfels",
        expected=f"values whose image is finite in {dtype}",
        got=f"{bad} surfels that overflow although every one of their numbers is finite",
        fix="scale the scene to about unit size",
    )


def _camera_matrices(cameras: Tensor) -> tuple[Tensor, Tensor]:
    """[B, 16] rotation, translation, fx, fy, cx, cy -> gradients of K [B, 3, 3] and cam_from_world [B, 4, 4]."""
    frames = cameras.shape[0]
    pose = cameras.new_zeros(frames, 4, 4)
    pose[:, :3, :3] = cameras[:, :9].reshape(frames, 3, 3)
    pose[:, :3, 3] = cameras[:, 9:12]
    K = cameras.new_zeros(frames, 3, 3)
    K[:, 0, 0], K[:, 1, 1] = cameras[:, 12], cameras[:, 13]
    K[:, 0, 2], K[:, 1, 2] = cameras[:, 14], cameras[:, 15]
    return K, pose
