"""The images of a fit: in memory once, at every size that is needed, with the place of the subject in them.

Images are kept as bytes with colours multiplied by the subject's mask, so a hundred frames of 400 x 400 take 64 MB and
the smaller sizes a third of that again.  Laying one over a background is a product and a sum.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from recon4d.core import Camera, InputError
from recon4d.data import View

Box = tuple[int, int, int, int]
"""First column, first row, width, height."""

_MARGIN, _LEAST_MARGIN = 0.15, 6
_SUBJECT = 0.5


@dataclass(frozen=True, eq=False)
class Frame:
    """One image at one size.

    Attributes:
        time: seconds.
        camera: of this size, float32.
        pixels: [H, W, 4] colour times mask, and mask.
        box: the subject with a margin.
    """

    time: float
    camera: Camera
    pixels: UInt8[Tensor, "h w 4"]
    box: Box

    def target(
        self, background: Float[Tensor, " 3"], *, whole: bool
    ) -> tuple[Camera, Float[Tensor, "h w 3"], Float[Tensor, "h w 1"]]:
        """Camera, image over a background, and mask: of the subject's box, or of the whole image."""
        box = (0, 0, self.camera.width, self.camera.height) if whole else self.box
        x, y, width, height = box
        # Planes are contiguous in memory and interleaved in shape only, like what the rasterizer returns.
        part = self.pixels[y : y + height, x : x + width].permute(2, 0, 1).contiguous().float() / 255
        color = part[:3] + (1 - part[3:]) * background[:, None, None]
        return crop_camera(self.camera, box), color.permute(1, 2, 0), part[3:].permute(1, 2, 0)


@dataclass(frozen=True, eq=False)
class Frames:
    """All images of a fit, in order of time.

    Attributes:
        levels: the images at each factor of size, 1 always among them.
        fingerprint: changes with any pixel, camera or time.
    """

    levels: dict[int, tuple[Frame, ...]]
    fingerprint: str

    def __len__(self) -> int:
        return len(self.levels[1])

    @property
    def times(self) -> list[float]:
        """Seconds of each image, rising; several cameras may share one."""
        return [frame.time for frame in self.levels[1]]


def load_frames(views: Sequence[View], factors: Sequence[int]) -> Frames:
    """Read the views of a fit.

    Args:
        views: with cameras, and with a mask file or alpha.
        factors: by which images are made smaller, besides 1.

    Raises:
        InputError: no views; one without a camera or a mask, with a file that cannot be read, or with an empty mask.
    """
    if not views:
        raise InputError("views", expected="at least one image to fit", got="none", fix="check the train split")
    levels: dict[int, list[Frame]] = {factor: [] for factor in {1, *factors}}
    digest = hashlib.sha256()
    for view in sorted(views, key=lambda view: (view.time, view.camera_id, view.name)):
        if view.camera is None:
            raise InputError(view.name, expected="a camera", got="none", fix="give a data set with poses")
        pixels = _premultiplied(view)
        camera = view.camera.to(torch.float32)
        for part in (pixels.tobytes(), repr((view.time, camera.K.tolist(), camera.cam_from_world.tolist())).encode()):
            digest.update(part)
        for factor in levels:
            levels[factor].append(_frame(view.time, camera, torch.from_numpy(pixels), factor))
    return Frames({factor: tuple(frames) for factor, frames in levels.items()}, digest.hexdigest())


def crop_camera(camera: Camera, box: Box) -> Camera:
    """The camera that sees only a box of the image."""
    x, y, width, height = box
    K = camera.K.clone()
    K[0, 2] -= x
    K[1, 2] -= y
    return Camera(K, camera.cam_from_world, width, height)


def _premultiplied(view: View) -> UInt8[np.ndarray, "h w 4"]:
    mask = view.load_mask()
    if mask is None:
        raise InputError(
            str(view.image_path),
            expected="transparency or a mask that shows the subject",
            got="an opaque image without a mask",
            fix="give masks beside the images",
        )
    pixels = view.load_image()
    color = pixels[:, :, :3].astype(np.float32) * (255.0 / np.iinfo(pixels.dtype).max)
    if mask.shape != color.shape[:2]:
        raise InputError(
            str(view.mask_path),
            expected=f"{color.shape[1]}x{color.shape[0]} pixels, like the image",
            got=f"{mask.shape[1]}x{mask.shape[0]}",
            fix="resize the mask",
        )
    if not (mask > _SUBJECT).any():
        raise InputError(
            str(view.mask_path or view.image_path),
            expected="a mask with the subject in it",
            got="an empty one",
            fix="correct the mask, or leave this frame out",
        )
    return np.rint(np.concatenate([color * mask[:, :, None], mask[:, :, None] * 255], 2)).astype(np.uint8)


def _frame(time: float, camera: Camera, pixels: Tensor, factor: int) -> Frame:
    if factor > 1:
        size = (max(1, camera.height // factor), max(1, camera.width // factor))
        planes = pixels.permute(2, 0, 1)[None].float()
        small = torch.nn.functional.interpolate(planes, size=size, mode="area")[0]
        pixels = small.round().to(torch.uint8).permute(1, 2, 0).contiguous()
        camera = camera.resized(size[1], size[0])
    return Frame(time, camera, pixels, _box(pixels[..., 3]))


def _box(mask: Tensor) -> Box:
    rows, columns = (mask > 0).any(1).nonzero()[:, 0], (mask > 0).any(0).nonzero()[:, 0]
    first, last = [], []
    for present, size in ((columns, mask.shape[1]), (rows, mask.shape[0])):
        low, high = int(present[0]), int(present[-1]) + 1
        margin = max(_LEAST_MARGIN, round(_MARGIN * (high - low)))
        first.append(max(0, low - margin))
        last.append(min(size, high + margin))
    return first[0], first[1], last[0] - first[0], last[1] - first[1]
