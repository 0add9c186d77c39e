"""Turns the arguments of `rasterize` into one batch, or says what is wrong with them.

Looks at types, shapes, devices and (as they are few) the numbers in camera matrices; never at the numbers in surfel
arrays, which is the work of `values`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from recon4d.core import Camera, InputError, Surfels

# Dimensions of each surfel array without a batch, and what they are called.
_DIMENSIONS = {
    "centers": ("N", 3),
    "rotations_wxyz": ("N", 4),
    "scales": ("N", 2),
    "opacities": ("N",),
    "sh": ("N", "K", 3),
    "features": ("N", "C"),
    "world_from_canonical_wxyz": ("N", 4),
}
_REQUIRED = ("centers", "rotations_wxyz", "scales", "opacities")
_SH_SIZES = (1, 4, 9, 16)
_MATRICES = ("K", "cam_from_world")
# How far camera matrices may be from what they have to be, before it shows in an image.
_SKEW_TOLERANCE = 1e-6
_RIGID_TOLERANCE = 1e-3


@dataclass(frozen=True)
class Batch:
    """Checked arguments, with cameras stacked.

    Attributes:
        surfels: arrays without a batch dimension, or with one of size B.
        K: [B, 3, 3] intrinsics.
        cam_from_world: [B, 4, 4] poses.
        width, height: size of every image.
        background: [C] colour behind everything, or None for black.
        background_image: [H, W, C] instead of `background`, or None.
        screen_offsets: [N, 2] or [B, N, 2], or None.
        single: whether the caller gave one camera and one state, and expects images without a batch axis.
    """

    surfels: Surfels
    K: Tensor
    cam_from_world: Tensor
    width: int
    height: int
    background: Tensor | None
    background_image: Tensor | None
    screen_offsets: Tensor | None
    single: bool


def channel_count(surfels: Surfels) -> int:
    """Channels of the image: three of the spherical harmonics where there are any, then the features."""
    return (0 if surfels.sh is None else 3) + (0 if surfels.features is None else surfels.features.shape[-1])


def state_of(surfels: Surfels, index: int) -> Surfels:
    """State `index` of surfels that may or may not be batched, without the batch dimension."""
    return Surfels(
        **{name: _entry(tensor, index, len(_DIMENSIONS[name])) for name, tensor in surfels.tensors().items()}
    )


def check_arguments(
    surfels: Surfels,
    cameras: Camera | Sequence[Camera],
    *,
    background: Tensor | None,
    screen_offsets: Tensor | None,
) -> Batch:
    """Check everything but the values of surfels, and bring it into one batch.

    Raises:
        InputError: see `rasterize`.
    """
    if not isinstance(surfels, Surfels):
        raise InputError("surfels", expected="a Surfels", got=type(surfels).__name__, fix="build recon4d.Surfels(...)")
    views = _camera_list(cameras)
    _check_surfels(surfels)
    optional = {"background": background, "screen_offsets": screen_offsets}
    arrays = {f"surfels.{name}": tensor for name, tensor in surfels.tensors().items()}
    arrays |= {name: tensor for name, tensor in optional.items() if tensor is not None}
    _check_kinds(arrays, views)

    batched = {
        name: tensor.shape[0] for name, tensor in surfels.tensors().items() if tensor.ndim > len(_DIMENSIONS[name])
    }
    offsets_batched = screen_offsets is not None and screen_offsets.ndim == 3
    sizes = {f"surfels.{name}": size for name, size in batched.items()}
    if screen_offsets is not None and offsets_batched:
        sizes["screen_offsets"] = screen_offsets.shape[0]
    if not isinstance(cameras, Camera):
        sizes["cameras"] = len(views)
    size = _common_size(sizes)

    count, channels = len(surfels), channel_count(surfels)
    width, height = views[0].width, views[0].height
    _check_shape("screen_offsets", screen_offsets, [(count, 2), (size, count, 2), (1, count, 2)])
    _check_shape("background", background, [(channels,), (height, width, channels)])
    is_image = background is not None and background.ndim == 3
    K, cam_from_world = _stack_cameras(views, size)
    return Batch(
        surfels=Surfels(
            **{name: _squeezed(tensor, size, len(_DIMENSIONS[name])) for name, tensor in surfels.tensors().items()}
        ),
        K=K,
        cam_from_world=cam_from_world,
        width=width,
        height=height,
        background=None if is_image else background,
        background_image=background if is_image else None,
        screen_offsets=None if screen_offsets is None else _squeezed(screen_offsets, size, 2),
        single=not sizes,
    )


def _entry(tensor: Tensor, index: int, ndim: int) -> Tensor:
    return tensor[index] if tensor.ndim > ndim else tensor


def _squeezed(tensor: Tensor, size: int, ndim: int) -> Tensor:
    """Drop a batch dimension of 1 that stands for all of a larger batch."""
    return tensor[0] if tensor.ndim > ndim and tensor.shape[0] == 1 and size > 1 else tensor


def _camera_list(cameras: Camera | Sequence[Camera]) -> list[Camera]:
    if isinstance(cameras, Camera):
        return [cameras]
    views = list(cameras) if isinstance(cameras, Sequence) else []
    if not views or not all(isinstance(view, Camera) for view in views):
        kinds = ", ".join(type(view).__name__ for view in views)
        got = f"[{kinds}]" if isinstance(cameras, Sequence) else type(cameras).__name__
        raise InputError("cameras", expected="a Camera, or a list of at least one", got=got, fix="pass recon4d.Camera")
    sizes = sorted({(view.width, view.height) for view in views})
    if len(sizes) > 1:
        raise InputError(
            "cameras",
            expected="one image size (width, height) in a batch",
            got=", ".join(map(str, sizes)),
            fix="rasterize each size by itself, or use Camera.resized",
        )
    return views


def _check_surfels(surfels: Surfels) -> None:
    """Types and shapes of the surfel arrays, their batch dimension aside."""
    if surfels.sh is None and surfels.features is None:
        raise InputError(
            "surfels.sh, surfels.features",
            expected="one of the two, or both",
            got="neither",
            fix="give sh for colour that depends on the view, features for anything else",
        )
    count: int | None = None
    arrays = {name: getattr(surfels, name) for name in _REQUIRED} | surfels.tensors()
    for name, tensor in arrays.items():
        _check_tensor(f"surfels.{name}", tensor)
        dimensions = _DIMENSIONS[name]
        tail = tuple(tensor.shape)[-len(dimensions) :]
        fits = tensor.ndim in (len(dimensions), len(dimensions) + 1) and all(
            isinstance(want, str) or have == want for have, want in zip(tail, dimensions, strict=True)
        )
        if fits and count is None:
            count = tail[0]
        if not fits or tail[0] != count:
            raise InputError(
                f"surfels.{name}",
                expected=f"shape {_shape_text(dimensions)} or {_shape_text(('B', *dimensions))}"
                + (f" with N = {count} as in centers" if count is not None else ""),
                got=f"shape {list(tensor.shape)}",
                fix="one row for each surfel",
            )
    if surfels.sh is not None and surfels.sh.shape[-2] not in _SH_SIZES:
        raise InputError(
            "surfels.sh",
            expected="K = 1, 4, 9 or 16 coefficients (degree 0 to 3)",
            got=f"K = {surfels.sh.shape[-2]}",
            fix="pad with zeros up to the next of these",
        )
    if surfels.features is not None and surfels.features.shape[-1] == 0:
        raise InputError("surfels.features", expected="at least one channel", got="C = 0", fix="blend a constant 1")


def _check_tensor(name: str, value: object) -> None:
    if not isinstance(value, Tensor):
        raise InputError(name, expected="a torch tensor", got=type(value).__name__, fix="use torch.as_tensor")


def _check_kinds(arrays: Mapping[str, Tensor], views: Sequence[Camera]) -> None:
    """One floating-point type and one device for all; plain contiguous memory for all but camera matrices."""
    model = arrays["surfels.centers"]
    if model.dtype not in (torch.float32, torch.float64):
        got = str(model.dtype)
        raise InputError("surfels.centers", expected="torch.float32 or torch.float64", got=got, fix="convert it")
    matrices = {f"cameras[{i}].{name}": getattr(view, name) for i, view in enumerate(views) for name in _MATRICES}
    for name, array in {**arrays, **matrices}.items():
        _check_tensor(name, array)
        if array.dtype != model.dtype or array.device != model.device:
            raise InputError(
                name,
                expected=f"{model.dtype} on {model.device}, as surfels.centers",
                got=f"{array.dtype} on {array.device}",
                fix="convert with .to(...)",
            )
        if array.layout != torch.strided or (name not in matrices and not array.is_contiguous()):
            got = f"strides {array.stride()}" if array.layout == torch.strided else str(array.layout)
            raise InputError(name, expected="contiguous memory", got=got, fix="call .contiguous() or .to_dense()")


def _common_size(sizes: Mapping[str, int]) -> int:
    """The one batch size that all agree on, where 1 agrees with any; 1 where nothing is batched."""
    larger = {name: size for name, size in sizes.items() if size != 1}
    if len(set(larger.values())) > 1:
        raise InputError(
            "batch",
            expected="one batch size B for cameras, surfel arrays and screen_offsets",
            got=", ".join(f"{name}: {size}" for name, size in larger.items()),
            fix="give each as many entries, or one for all",
        )
    size = next(iter(larger.values()), 1)
    if size == 0:
        raise InputError("batch", expected="at least one view", got="B = 0", fix="skip the call for an empty batch")
    return size


def _check_shape(name: str, tensor: Tensor | None, shapes: Sequence[tuple[int, ...]]) -> None:
    if tensor is not None and tuple(tensor.shape) not in shapes:
        texts = list(dict.fromkeys(_shape_text(shape) for shape in shapes))
        got = f"shape {list(tensor.shape)}"
        raise InputError(name, expected=f"shape {' or '.join(texts)}", got=got, fix=f"pass {name} in that shape")


def _shape_text(dimensions: Sequence[str | int]) -> str:
    return "[" + ", ".join(map(str, dimensions)) + "]"


def _stack_cameras(views: Sequence[Camera], size: int) -> tuple[Tensor, Tensor]:
    """[B, 3, 3] and [B, 4, 4], after a look at the numbers."""
    K = torch.stack([view.K for view in views])
    cam_from_world = torch.stack([view.cam_from_world for view in views])
    for index, matrix in enumerate(K.detach().tolist()):
        _check_intrinsics(f"cameras[{index}].K", matrix)
    _check_poses(cam_from_world.detach())
    if len(views) < size:
        K, cam_from_world = K.expand(size, 3, 3).contiguous(), cam_from_world.expand(size, 4, 4).contiguous()
    return K, cam_from_world


def _check_intrinsics(name: str, K: Sequence[Sequence[float]]) -> None:
    (fx, skew, cx), (zero_10, fy, cy), (zero_20, zero_21, one) = K
    finite = all(abs(value) < float("inf") for value in (fx, fy, cx, cy))
    if not (finite and fx > 0 and fy > 0):
        raise InputError(
            name,
            expected="finite numbers with focal lengths fx, fy > 0",
            got=f"fx={fx:g}, fy={fy:g}, cx={cx:g}, cy={cy:g}",
            fix="[[fx, 0, cx], [0, fy, cy], [0, 0, 1]] in pixels, OpenCV axes",
        )
    slack = _SKEW_TOLERANCE * max(fx, fy)
    if not (max(abs(skew), abs(zero_10)) <= slack and zero_20 == 0 and zero_21 == 0 and one == 1):
        raise InputError(
            name,
            expected="[[fx, 0, cx], [0, fy, cy], [0, 0, 1]] without skew",
            got=str([list(row) for row in K]),
            fix="resample images of a skewed camera to one without",
        )


def _check_poses(cam_from_world: Tensor) -> None:
    """[B, 4, 4] finite, with last row 0 0 0 1 and a proper rotation (a scale or a mirror image would pass unseen)."""
    # numpy, because ten operations on a handful of numbers cost more in torch than drawing a small image.
    poses = cam_from_world.to("cpu", torch.float64).numpy()
    rotation = poses[:, :3, :3]
    gram = rotation @ rotation.swapaxes(1, 2) - np.eye(3)
    good = np.isfinite(poses).all((1, 2)) & (np.linalg.det(rotation) > 0)
    good &= (np.abs(gram) <= _RIGID_TOLERANCE).all((1, 2)) & (poses[:, 3] == (0.0, 0.0, 0.0, 1.0)).all(1)
    if not good.all():
        index = int(np.flatnonzero(~good)[0])
        raise InputError(
            f"cameras[{index}].cam_from_world",
            expected="a rigid transform [[R, t], [0, 0, 0, 1]] with R a rotation (no scale, no mirror image)",
            got=str([[round(value, 6) for value in row] for row in poses[index].tolist()]),
            fix="build it from a quaternion and a translation, or with Camera.look_at",
        )
