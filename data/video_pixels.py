"""Decoded frames to upright RGB(A) pixels: colour matrix and range, bit depth, rotation and mirroring metadata."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import UInt8, UInt16

if TYPE_CHECKING:
    from av import VideoFrame as AvFrame
else:
    AvFrame = Any  # PyAV is heavy and imported where it is used; annotations are looked up when tests check them.

Pixels = UInt8[np.ndarray, "_ _ _"] | UInt16[np.ndarray, "_ _ _"]

_BT601, _BT709 = 5, 1  # ITU-T H.273 matrix coefficients, as in AVColorSpace.
_UNKNOWN_MATRICES = (0, 2, 3)  # RGB, unspecified, reserved.
_NAMES = {(8, False): "rgb24", (8, True): "rgba", (16, False): "rgb48le", (16, True): "rgba64le"}


def to_pixels(frame: AvFrame, bits: int, *, alpha: bool) -> Pixels:
    """Pixels [H, W, 3] or, with `alpha`, [H, W, 4] of a frame, as stored (not turned upright)."""
    from av.video.reformatter import ColorRange, Interpolation

    matrix = _matrix_of(frame)
    flags = (Interpolation.ACCURATE_RND, Interpolation.FULL_CHR_H_INT, Interpolation.BITEXACT)
    converted = frame.reformat(
        format=_NAMES[bits, alpha],
        src_colorspace=matrix,
        dst_colorspace=matrix,
        src_color_range=frame.color_range or None,
        dst_color_range=ColorRange.JPEG,
        interpolation=Interpolation.BICUBIC | flags[0] | flags[1] | flags[2],
        threads=1,  # Sliced among several, roundings at the seams depend on their number.
    )
    return converted.to_ndarray()


@dataclass(frozen=True)
class Turn:
    """Stored to upright: transpose first, then flip."""

    transpose: bool = False
    flip_rows: bool = False
    flip_columns: bool = False
    oblique: bool = False


def turn_of(frame: AvFrame) -> Turn:
    """How to turn a frame upright.

    The display matrix is [a b u; c d v; x y w] with x' = a x + c y and y' = b x + d y, y down.
    """
    entries: list[Any] = list(frame.side_data)  # PyAV's types take this mapping's items for strings.
    for side_data in entries:
        if side_data.type.name != "DISPLAYMATRIX":
            continue
        a, b, _, c, d = np.frombuffer(bytes(side_data)[:20], np.int32).tolist()
        if a and d and not b and not c:
            return Turn(flip_rows=d < 0, flip_columns=a < 0)
        if b and c and not a and not d:
            return Turn(transpose=True, flip_rows=b < 0, flip_columns=c < 0)
        return Turn(oblique=True)
    return Turn()


def upright(pixels: Pixels, turn: Turn) -> Pixels:
    """Pixels turned upright."""
    if turn.transpose:
        pixels = pixels.swapaxes(0, 1)
    if turn.flip_rows:
        pixels = pixels[::-1]
    if turn.flip_columns:
        pixels = pixels[:, ::-1]
    return np.ascontiguousarray(pixels)


def _matrix_of(frame: AvFrame) -> int:
    """Matrix coefficients for YUV to RGB; where the file does not say, as players guess: BT.709 for HD, else BT.601."""
    if frame.colorspace not in _UNKNOWN_MATRICES:
        return int(frame.colorspace)
    return _BT709 if frame.height >= 720 or frame.width >= 1280 else _BT601
