"""Pictures that say which part of a frame is meant, as programs that segment films write them.

Does NOT select: the editors' `FrameMask` does.
"""

from __future__ import annotations

import io

import numpy as np
from jaxtyping import Bool

from recon4d.core import Camera, InputError
from recon4d.editors import FrameMask, View
from recon4d.export.pose_track import fitted_to

MAX_BYTES = 32 * 1024 * 1024
MAX_SIDE = 8192  # pixels of a picture that is read
_USED = 640  # of the longer side of what is lifted to surfels, as for what is drawn by hand
_OFF = 0.02  # that the picture's proportions may differ from the camera's


def selection_of(content: bytes, camera: Camera, time: float) -> FrameMask:
    """The selection of a mask of one frame.

    Args:
        content: of a PNG file; what is brighter than half, and is not transparent, is selected.
        camera: of the frame.
        time: seconds of the edited scene at which that frame is shown.

    Raises:
        InputError: no PNG, of other proportions than the camera's pictures, or without a bright pixel.
    """
    mask = read_mask(content)
    height, width = mask.shape
    if abs(width / height / (camera.width / camera.height) - 1) > _OFF:
        raise InputError(
            "mask",
            expected=f"a picture of the shape of the film's frames, {camera.width}x{camera.height}",
            got=f"{width}x{height}",
            fix="take the mask of a whole frame",
        )
    if not mask.any():
        raise InputError("mask", expected="a bright part", got="a picture that is dark everywhere", fix="use another")
    share = min(1.0, _USED / max(camera.width, camera.height))
    view = View.of(fitted_to(camera, round(camera.width * share), round(camera.height * share)), time)
    rows = (np.arange(view.height) + 0.5) * height / view.height
    columns = (np.arange(view.width) + 0.5) * width / view.width
    return FrameMask.of(mask[rows.astype(int)[:, None], columns.astype(int)], view)


def read_mask(content: bytes) -> Bool[np.ndarray, "h w"]:
    """The bright pixels of a PNG file.

    Raises:
        InputError: it is none, too large, or damaged.
    """
    from PIL import Image

    wrong = InputError("mask", expected="a PNG picture", got="something else", fix="save the mask as PNG")
    if len(content) > MAX_BYTES:
        raise wrong
    try:
        with Image.open(io.BytesIO(content), formats=("PNG",)) as image:
            if max(image.size) > MAX_SIDE:
                raise InputError(
                    "mask",
                    expected=f"at most {MAX_SIDE} pixels a side",
                    got=str(max(image.size)),
                    fix="make it smaller",
                )
            gray = np.asarray(image.convert("LA"), dtype=np.float32) / 255
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError):
        raise wrong from None
    found: Bool[np.ndarray, "h w"] = gray[..., 0] * gray[..., 1] > 0.5
    return found
