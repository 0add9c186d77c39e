"""The frames that the scene was made from, to compare with: found beside the scene, or given.

Does NOT check that they are the very same files; sizes and times must do.
"""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

import numpy as np
from jaxtyping import UInt8

from recon4d.core import Camera, InputError
from recon4d.data import Dataset, read_dataset
from recon4d.data.view import View
from recon4d.scene import Scene
from recon4d.viewer.exact import Picture
from recon4d.viewer.text import shown

_KEPT = 32  # frames
_MOST_OFF = 0.51  # of the time between frames, that an input frame may be away


class Inputs:
    """The input frames of a scene.

    Args:
        scene: with the name of its input in the provenance.
        folder: of the scene, beside which the input is looked for.
        given: the input, where somebody has said so.
    """

    def __init__(self, scene: Scene, folder: Path | None, given: Path | None) -> None:
        self.given = given
        self.path = given if given is not None else _beside(scene, folder)
        self._dataset: Dataset | None = None
        # Kept here and not for all viewers: what is left open when Python ends complains.
        self._pixels = lru_cache(maxsize=_KEPT)(_pixels)

    def frame(self, time: float, step: float) -> UInt8[np.ndarray, "h w 3"]:
        """The input frame at a time, seconds.

        Args:
            time: seconds.
            step: seconds between the scene's frames.

        Raises:
            InputError: there are no input frames, or none at that time.
        """
        if self.path is None:
            raise InputError(
                "input frames",
                expected="the film or folder that the scene was made from, beside the scene",
                got="none",
                fix="start the viewer with --input FILE",
            )
        if self._dataset is None:
            self._dataset = read_dataset(self.path)
        views = self._dataset.split("train") or self._dataset.views
        nearest = min(views, key=lambda view: abs(view.time - time))
        if abs(nearest.time - time) > max(_MOST_OFF * step, 1e-3):
            raise InputError(
                "input frames",
                expected=f"one at {time:.2f} s",
                got=f"the nearest at {nearest.time:.2f} s",
                fix="check that --input is the film of this scene",
            )
        return self._pixels(nearest)


def _pixels(view: View) -> UInt8[np.ndarray, "h w 3"]:
    found: UInt8[np.ndarray, "h w 3"] = np.rint(view.load_rgb((1.0, 1.0, 1.0)) * 255).astype(np.uint8)
    return found


def _beside(scene: Scene, folder: Path | None) -> Path | None:
    told = scene.provenance.get("input")
    name = told.get("name") if isinstance(told, dict) else None
    if folder is None or not isinstance(name, str) or shown(name) != name or "/" in name or name.startswith("."):
        return None
    place = folder.resolve().parent / name
    return place if place.exists() else None


def laid_in(frame: UInt8[np.ndarray, "h w 3"], camera: Camera, fitted: Camera) -> UInt8[np.ndarray, "H W 3"]:
    """An input frame as it lies in a picture of another size.

    Args:
        frame: of any size with the camera's proportions.
        camera: the frame's own.
        fitted: the same for the picture (`pose_track.fitted_to`).

    Returns:
        [H, W, 3] of the picture's size; what the frame does not cover is grey.
    """
    import cv2

    scale = float(fitted.K[0, 0]) / float(camera.K[0, 0]) * camera.width / frame.shape[1]
    left = fitted.width / 2 - scale * frame.shape[1] / 2
    top = fitted.height / 2 - scale * frame.shape[0] / 2
    # Pixel centres are at +0.5 here and at 0 for OpenCV.
    shift = 0.5 * (scale - 1)
    matrix = np.array([[scale, 0, left + shift], [0, scale, top + shift]])
    found: UInt8[np.ndarray, "H W 3"] = cv2.warpAffine(
        frame, matrix, (fitted.width, fitted.height), flags=cv2.INTER_AREA, borderValue=(128, 128, 128)
    )
    return found


def wiped(picture: Picture, frame: UInt8[np.ndarray, "h w 3"], share: float) -> Picture:
    """Our picture on the left, the input frame on the right of a line at a share of the width."""
    rgb = picture.rgb.copy()
    column = round(share * rgb.shape[1])
    rgb[:, column:] = frame[:, column:]
    rgb[:, max(column - 1, 0) : column + 1] = (255, 140, 20)
    return Picture(rgb, np.full_like(picture.depth, np.inf))
