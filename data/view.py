"""One image of a data set with its camera, time and companions, loaded when asked for.

Loading removes lens distortion, so that what `load_*` returns is what the pinhole `camera` sees.  Does NOT resize,
denoise or cache images.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from jaxtyping import Bool, Float32, Shaped, UInt8, UInt16

from recon4d.core import Camera, InputError
from recon4d.data.images import read_array, read_arrays, read_image
from recon4d.data.lens import Lens, source_pixels, undistort
from recon4d.data.video import VideoFrames

SPLITS = ("train", "val", "test")
ARRAY_SUFFIXES = (".npy", ".npz")


@dataclass(frozen=True, eq=False)
class View:
    """One image.

    Attributes:
        name: unique in its split, usually the file name without suffix, e.g. "train/r_003".
        split: "train", "val" or "test".
        image_path: an image file, or the video that `frame_index` points into.
        time: seconds.
        camera: pinhole, OpenCV, float64; None where none is known.
        camera_id: views of one physical camera share it.
        frame_index: position in the video, None for an image file.
        time_normalized: (time - first) / (last - first) over the data set, 0 where there is one time only.
        mask_path: image, white = the subject.
        depth_path: .npy, .npz (`depth`) or 16-bit image; values times `depth_scale` are camera z in scene units,
            0 where nothing is.
        normal_path: .npy, .npz (`normal`), or an image of 2 v / max - 1; camera frame.
        flow_path: .npy or .npz (`flow`) [H, W, 2], pixels to the next time of the same camera, NaN = nothing; where the
            .npz has `visible` [H, W] too, flow that is not visible counts as nothing.
        valid_path: image, white = may be scored.
        depth_scale: scene units of one unit of the depth file.
        alpha_is_validity: the image's alpha marks pixels that may be scored, not the subject (DyCheck).
        distortion: lens of the file's pixels, None for a pinhole.
        video: open reader shared by the views of one video.
    """

    name: str
    split: str
    image_path: Path
    time: float = 0.0
    camera: Camera | None = None
    camera_id: str = "0"
    frame_index: int | None = None
    time_normalized: float = 0.0
    mask_path: Path | None = None
    depth_path: Path | None = None
    normal_path: Path | None = None
    flow_path: Path | None = None
    valid_path: Path | None = None
    depth_scale: float = 1.0
    alpha_is_validity: bool = False
    distortion: Lens | None = None
    video: VideoFrames | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        if self.split not in SPLITS:
            raise InputError("View.split", expected=" or ".join(SPLITS), got=repr(self.split), fix="use train")
        if not np.isfinite(self.time):
            raise InputError("View.time", expected="seconds, a finite number", got=repr(self.time), fix="use 0.0")

    def load_image(self) -> UInt8[np.ndarray, "h w c"] | UInt16[np.ndarray, "h w c"]:
        """Pixels [H, W, 3] or, with alpha, [H, W, 4] as stored, upright, undistorted.

        Raises:
            InputError: the file is missing or broken, or its size is not the camera's.
        """
        if self.frame_index is None:
            pixels = read_image(self.image_path)
        else:
            pixels = (self.video or VideoFrames(self.image_path)).frame(self.frame_index).image
        if pixels.ndim == 2:
            pixels = np.repeat(pixels[:, :, None], 3, axis=2)
        return self._undistorted(pixels, self.image_path)

    def load_rgb(self, background: tuple[float, float, float] = (0.0, 0.0, 0.0)) -> Float32[np.ndarray, "h w 3"]:
        """Colours in [0, 1], display sRGB; where the image has alpha it is laid over `background`."""
        pixels = self.load_image()
        scaled = pixels.astype(np.float32) / np.float32(np.iinfo(pixels.dtype).max)
        if scaled.shape[2] == 3:
            return scaled
        color, alpha = scaled[:, :, :3], scaled[:, :, 3:]
        return color * alpha + np.asarray(background, np.float32) * (1 - alpha)

    def load_mask(self) -> Float32[np.ndarray, "h w"] | None:
        """How much of each pixel is the subject, in [0, 1]: the mask file, else the image's alpha, else None.

        A mask with no more than two different values is read as no and yes, so masks of 0 and 1 (or of a palette's
        colours) are right too; the larger value is yes.
        """
        if self.mask_path is None:
            if self.alpha_is_validity:
                return None
            pixels = self.load_image()
            return pixels[:, :, 3].astype(np.float32) / np.iinfo(pixels.dtype).max if pixels.shape[2] == 4 else None
        return self._undistorted(_as_mask(read_image(self.mask_path)), self.mask_path)

    def load_depth(self) -> Float32[np.ndarray, "h w"] | None:
        """Camera z in scene units, 0 where nothing is known; None without a depth file."""
        if self.depth_path is None:
            return None
        if self.depth_path.suffix in ARRAY_SUFFIXES:
            depth = _floats(self.depth_path, "depth", 1)[..., 0]
        else:
            pixels = read_image(self.depth_path)
            if pixels.ndim != 2:
                raise _wrong_shape(self.depth_path, "one channel", pixels)
            depth = pixels.astype(np.float32)
        depth = np.where(np.isfinite(depth) & (depth > 0), depth * np.float32(self.depth_scale), np.float32(0))
        return self._undistorted(depth, self.depth_path, nearest=True)

    def load_normal(self) -> Float32[np.ndarray, "h w 3"] | None:
        """Unit normals in the camera frame, (0, 0, 0) where nothing is known; None without a normal file."""
        if self.normal_path is None:
            return None
        if self.normal_path.suffix in ARRAY_SUFFIXES:
            normal = _floats(self.normal_path, "normal", 3)
        else:
            pixels = read_image(self.normal_path)
            if pixels.ndim != 3:
                raise _wrong_shape(self.normal_path, "three channels", pixels)
            normal = pixels[:, :, :3].astype(np.float32) * (np.float32(2) / np.iinfo(pixels.dtype).max) - 1
            if pixels.shape[2] == 4:
                normal = normal * (pixels[:, :, 3:] > 0)
        length = np.linalg.norm(normal, axis=2, keepdims=True)
        # Images code "nothing" as black, (-1, -1, -1), or middle gray, nearly zero: neither is near unit length.
        known = np.abs(length - 1) < 0.3
        unit = np.where(known, normal / np.where(known, length, 1), 0).astype(np.float32)
        return self._undistorted(unit, self.normal_path, nearest=True)

    def load_flow(self) -> Float32[np.ndarray, "h w 2"] | None:
        """Pixels (x right, y down) to the next time of the same camera, NaN where unknown; None without a flow file.

        Raises:
            InputError: the view has lens distortion (both ends of a flow vector would have to be undistorted).
        """
        if self.flow_path is None:
            return None
        if self.distortion is not None:
            raise InputError(
                str(self.flow_path),
                expected="flow beside images without lens distortion",
                got="a camera with distortion",
                fix="undistort the images first, then compute the flow",
            )
        return self._undistorted(_floats(self.flow_path, "flow", 2), self.flow_path)

    def load_valid(self) -> Bool[np.ndarray, "h w"] | None:
        """Pixels that may be scored: the co-visibility mask, less what the lens did not see; None means all.

        Where alpha is validity (`alpha_is_validity`), transparent pixels are left out too.
        """
        valid = None
        if self.valid_path is not None:
            valid = self._undistorted(_as_mask(read_image(self.valid_path)), self.valid_path, nearest=True) > 0.5
        if self.alpha_is_validity:
            pixels = self.load_image()
            if pixels.shape[2] == 4:
                opaque = pixels[:, :, 3] == np.iinfo(pixels.dtype).max
                valid = opaque if valid is None else valid & opaque
        if self.distortion is not None and self.camera is not None:
            seen = source_pixels(self.distortion, self.camera)[1]
            valid = seen.copy() if valid is None else valid & seen
        return valid

    def _undistorted(
        self, pixels: Shaped[np.ndarray, "h w *c"], path: Path, *, nearest: bool = False
    ) -> Shaped[np.ndarray, "h w *c"]:
        if self.camera is None:
            return pixels
        height, width = pixels.shape[:2]
        if (width, height) != (self.camera.width, self.camera.height):
            raise InputError(
                str(path),
                expected=f"{self.camera.width}x{self.camera.height} pixels, as the camera of {self.name!r} says",
                got=f"{width}x{height}",
                fix="resize the file, or correct the width and height of the camera",
            )
        return pixels if self.distortion is None else undistort(pixels, self.distortion, self.camera, nearest=nearest)


def _as_mask(pixels: Shaped[np.ndarray, "h w *c"]) -> Float32[np.ndarray, "h w"]:
    most = np.iinfo(pixels.dtype).max
    mask = pixels[:, :, :3].max(2) if pixels.ndim == 3 else pixels
    if pixels.ndim == 3 and pixels.shape[2] == 4:
        mask = np.where(pixels[:, :, 3] > most // 2, mask, 0)
    low, high = mask.min(), mask.max()
    if ((mask == low) | (mask == high)).all():
        return ((mask == high) & (high > 0)).astype(np.float32)
    return mask.astype(np.float32) / np.float32(most)


def _floats(path: Path, key: str, channels: int) -> Float32[np.ndarray, "h w c"]:
    arrays = read_arrays(path) if path.suffix == ".npz" else {key: read_array(path)}
    if key not in arrays:
        raise InputError(
            str(path),
            expected=f"an array {key!r}",
            got=", ".join(sorted(arrays)) or "none",
            fix="check what wrote the file",
        )
    array = arrays[key]
    if array.ndim == 2 and channels == 1:
        array = array[:, :, None]
    if array.ndim != 3 or array.shape[2] != channels or not np.issubdtype(array.dtype, np.floating):
        raise _wrong_shape(path, f"floating-point values with {channels} channels", array)
    visible = arrays.get("visible")
    if visible is None:
        return array.astype(np.float32)
    if visible.shape != array.shape[:2]:
        raise _wrong_shape(path, f"visible {list(array.shape[:2])}", visible)
    return np.where(visible[:, :, None] != 0, array, np.nan).astype(np.float32)


def _wrong_shape(path: Path, expected: str, array: Shaped[np.ndarray, "*shape"]) -> InputError:
    return InputError(
        str(path), expected=expected, got=f"{array.dtype} {list(array.shape)}", fix="check what wrote the file"
    )
