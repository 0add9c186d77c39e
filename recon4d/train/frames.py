"""The images of a fit: in memory once, at every size that is needed, with the place of the subject in them.

Images are kept as bytes.  Where nothing but the objects is fitted, colours are multiplied by the masks, so that laying
an image over a background is a product and a sum; where there is a background, images stay whole.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from recon4d.core import Camera, InputError
from recon4d.core.memory import return_freed_memory
from recon4d.train import kernels
from recon4d.train.capture import Capture

Box = tuple[int, int, int, int]
"""First column, first row, width, height."""

_MARGIN, _LEAST_MARGIN = 0.15, 6
_TRIM_EVERY = 8  # Frames.


@dataclass(frozen=True, eq=False)
class Frame:
    """One image at one size.

    Attributes:
        index: position in the capture.
        time: seconds.
        camera: of this size, float32, uncorrected.
        pixels: [H, W, 4] colour times coverage, and coverage: of all objects, or 255 where there is a background.
        masks: [O, H, W] coverage of each object.
        box: the objects with a margin; the whole image where there is a background.
        inverse_depth: [H, W] as in `Capture.depths`; None where there is none.
    """

    index: int
    time: float
    camera: Camera
    pixels: UInt8[Tensor, "h w 4"]
    masks: UInt8[Tensor, "o h w"]
    box: Box
    inverse_depth: Float[Tensor, "h w"] | None = None

    def target(
        self, background: Float[Tensor, " 3"], *, whole: bool
    ) -> tuple[Box, Float[Tensor, "h w 3"], Float[Tensor, "h w 1"]]:
        """What is compared: a box, the image over a background colour, and its coverage."""
        box = (0, 0, self.camera.width, self.camera.height) if whole else self.box
        color, coverage = kernels.compose(cut(self.pixels, box), background)
        return box, color, coverage

    def mask(self, number: int, box: Box) -> Float[Tensor, "h w 1"]:
        """Coverage of one object in a box, in [0, 1]."""
        return (cut(self.masks[number], box).float() / 255)[..., None]

    def depth(self, box: Box) -> Float[Tensor, "h w 1"] | None:
        """Inverse depth in a box."""
        return None if self.inverse_depth is None else cut(self.inverse_depth, box)[..., None]

    def of_object(self, number: int) -> Frame:
        """The same image of one object alone: colours multiplied by its mask."""
        mask = self.masks[number]
        color = (self.pixels[..., :3].float() * (mask[..., None].float() / 255)).round().to(torch.uint8)
        pixels = torch.cat([color, mask[..., None]], -1)
        return Frame(self.index, self.time, self.camera, pixels, mask[None], subject_box(mask))


@dataclass(frozen=True, eq=False)
class Frames:
    """All images that are fitted, in order of time.

    Attributes:
        levels: the images at each factor of size, 1 always among them.
        objects: how many objects there are.
        background: of the capture.
    """

    levels: dict[int, tuple[Frame, ...]]
    objects: int
    background: str

    def __len__(self) -> int:
        return len(self.levels[1])

    @property
    def times(self) -> list[float]:
        """Seconds of each image, rising; several cameras may share one."""
        return [frame.time for frame in self.levels[1]]


def load_frames(capture: Capture, factors: Sequence[int]) -> Frames:
    """The fitted frames of a capture at several sizes.

    Raises:
        InputError: an object that is in no frame.
    """
    whole = capture.background != "none"
    levels: dict[int, list[Frame]] = {factor: [] for factor in {1, *factors}}
    seen = [False] * len(capture.masks)
    for index in range(len(capture)):
        if not capture.fitted[index]:
            continue
        size = capture.images[index].shape[:2]
        masks = [np.asarray(of_object[index]) for of_object in capture.masks]
        seen = [one or bool(mask.any()) for one, mask in zip(seen, masks, strict=True)]
        stack = np.stack(masks) if masks else np.zeros((0, *size), np.uint8)
        pixels = _pixels(np.asarray(capture.images[index]), None if whole else stack.max(0))
        camera = capture.cameras[index].to(torch.float32)
        for factor in levels:
            frame = _frame(index, capture.times[index], camera, pixels, torch.from_numpy(stack), factor, whole=whole)
            levels[factor].append(replace(frame, inverse_depth=_inverse_depth(capture, frame)))
        if index % _TRIM_EVERY == 0:
            # The next images do not fit into the holes between those that stay.
            return_freed_memory()
    for number, present in enumerate(seen):
        if not present:
            raise InputError(
                f"mask of object {number + 1}",
                expected="a mask with the object in it in at least one fitted frame",
                got="empty ones only",
                fix="correct the masks",
            )
    return Frames({factor: tuple(frames) for factor, frames in levels.items()}, len(seen), capture.background)


def frames_on(frames: Frames, device: torch.device) -> Frames:
    """The same frames on a device."""
    levels = {factor: tuple(_moved(frame, device) for frame in level) for factor, level in frames.levels.items()}
    return Frames(levels, frames.objects, frames.background)


def crop_camera(camera: Camera, box: Box) -> Camera:
    """The camera that sees only a box of the image."""
    x, y, width, height = box
    if (x, y) == (0, 0):
        return Camera(camera.K, camera.cam_from_world, width, height)
    shift = camera.K.new_zeros(3, 3)
    shift[0, 2], shift[1, 2] = x, y
    return Camera(camera.K - shift, camera.cam_from_world, width, height)


def cut(image: Tensor, box: Box) -> Tensor:
    """The part of [H, W, ...] that lies in a box."""
    x, y, width, height = box
    return image[y : y + height, x : x + width]


def subject_box(mask: UInt8[Tensor, "h w"]) -> Box:
    """Where a mask is not empty, with a margin; the whole image where it is."""
    rows, columns = (mask > 0).any(1).nonzero()[:, 0], (mask > 0).any(0).nonzero()[:, 0]
    if not len(rows):
        return 0, 0, mask.shape[1], mask.shape[0]
    first, last = [], []
    for present, size in ((columns, mask.shape[1]), (rows, mask.shape[0])):
        low, high = int(present[0]), int(present[-1]) + 1
        margin = max(_LEAST_MARGIN, round(_MARGIN * (high - low)))
        first.append(max(0, low - margin))
        last.append(min(size, high + margin))
    return first[0], first[1], last[0] - first[0], last[1] - first[1]


def _pixels(image: UInt8[np.ndarray, "h w 3"], coverage: UInt8[np.ndarray, "h w"] | None) -> UInt8[Tensor, "h w 4"]:
    if coverage is None:
        opaque = np.full((*image.shape[:2], 1), 255, np.uint8)
        return torch.from_numpy(np.concatenate([image, opaque], 2))
    premultiplied = np.rint(image * (coverage[:, :, None] / np.float32(255))).astype(np.uint8)
    return torch.from_numpy(np.concatenate([premultiplied, coverage[:, :, None]], 2))


def _frame(
    index: int, time: float, camera: Camera, pixels: Tensor, masks: Tensor, factor: int, *, whole: bool
) -> Frame:
    if factor > 1:
        size = (max(1, camera.height // factor), max(1, camera.width // factor))
        pixels = _shrunk(pixels.permute(2, 0, 1), size).permute(1, 2, 0).contiguous()
        masks = _shrunk(masks, size)
        camera = camera.resized(size[1], size[0])
    box = (0, 0, camera.width, camera.height) if whole else subject_box(pixels[..., 3])
    return Frame(index, time, camera, pixels, masks, box)


def _inverse_depth(capture: Capture, frame: Frame) -> Float[Tensor, "h w"] | None:
    """Of the nearest pixels: means across an edge are depths that nothing has."""
    known = None if capture.depths is None else capture.depths[frame.index]
    if known is None:
        return None
    (height, width), (rows, columns) = known.shape, (frame.camera.height, frame.camera.width)
    down, across = ((np.arange(n) + 0.5) * (size / n) for n, size in ((rows, height), (columns, width)))
    return torch.from_numpy(known[np.ix_(down.astype(int), across.astype(int))])


def _shrunk(planes: UInt8[Tensor, "c h w"], size: tuple[int, int]) -> UInt8[Tensor, "c h2 w2"]:
    if not len(planes):
        return planes.new_zeros(0, *size)
    return torch.nn.functional.interpolate(planes[None].float(), size=size, mode="area")[0].round().to(torch.uint8)


def _moved(frame: Frame, device: torch.device) -> Frame:
    if frame.pixels.device == device:
        return frame
    camera = Camera(
        frame.camera.K.to(device), frame.camera.cam_from_world.to(device), frame.camera.width, frame.camera.height
    )
    depth = None if frame.inverse_depth is None else frame.inverse_depth.to(device)
    return Frame(frame.index, frame.time, camera, frame.pixels.to(device), frame.masks.to(device), frame.box, depth)
