"""Dense optical flow between frames, after Kroeger et al., "Fast Optical Flow using Dense Inverse Search" (ECCV 2016).

Flow says where the centre of each pixel of one frame is found in another, in pixels, x right and y down; it is the same
in both pixel conventions.  Forward-backward differences say where it can be believed.  Does NOT follow points
(`tracks.py`) nor model what moves.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Bool, Float16, Float32, UInt8

from recon4d.core import InputError
from recon4d.data.files import write_json
from recon4d.data.motion.clip import Clip
from recon4d.data.motion.stage import (
    RECORD,
    Progress,
    StageCache,
    cannot_write,
    mapped_array,
    no_progress,
    open_cache,
    stage_key,
)

_VERSION = 1


@dataclass(frozen=True)
class FlowSettings:
    """How to compute flow.

    Attributes:
        max_side: flow is computed on frames of at most this long side and scaled up, pixels.
        consistency_pixels: forward-backward difference up to which flow counts as consistent, plus 5 % of its length.
    """

    max_side: int = 640
    consistency_pixels: float = 1.0


@dataclass(frozen=True, eq=False)
class FlowFields:
    """Flow between consecutive frames, pixels of the clip.

    Attributes:
        forward: [T-1, H, W, 2] from frame t to t + 1.
        backward: [T-1, H, W, 2] from frame t + 1 to t.
        forward_valid: [T-1, H, W] forward flow that stays inside and returns: neither occluded nor guessed.
        backward_valid: [T-1, H, W] the same of the backward flow.
    """

    forward: Float16[np.ndarray, "n h w 2"]
    backward: Float16[np.ndarray, "n h w 2"]
    forward_valid: Bool[np.ndarray, "n h w"]
    backward_valid: Bool[np.ndarray, "n h w"]


def gray_frame(clip: Clip, index: int, max_side: int) -> UInt8[np.ndarray, "a b"]:
    """A frame in gray, at most `max_side` pixels on its long side."""
    import cv2

    gray = cv2.cvtColor(np.ascontiguousarray(clip.frames[index]), cv2.COLOR_RGB2GRAY)
    scale = min(1.0, max_side / max(gray.shape))
    if scale < 1:
        size = (max(16, round(gray.shape[1] * scale)), max(16, round(gray.shape[0] * scale)))
        gray = cv2.resize(gray, size, interpolation=cv2.INTER_AREA)
    return np.asarray(gray, np.uint8)


class DenseFlow:
    """Dense inverse search at medium quality; one object may be used for any number of pairs, in one thread.

    Args:
        fine: search down to full resolution.  OpenCV's preset stops at half, which makes it four times as fast and the
            error at corners of small images 2.5 times as large (and biased towards no motion, so that tracks drift).
    """

    def __init__(self, *, fine: bool = True) -> None:
        import cv2

        opencv: Any = cv2  # Its stub lacks this class.
        self._dis = opencv.DISOpticalFlow_create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
        if fine:
            self._dis.setFinestScale(0)

    def __call__(
        self, source: UInt8[np.ndarray, "h w"], target: UInt8[np.ndarray, "h w"]
    ) -> Float32[np.ndarray, "h w 2"]:
        """Flow from `source` to `target`; both gray, at least 16 pixels a side."""
        # None: OpenCV would start from the values of an array passed for the result.
        return np.asarray(self._dis.calc(source, target, None), np.float32)


def pixel_grid(height: int, width: int) -> Float32[np.ndarray, "h w 2"]:
    """(column, row) index of each pixel."""
    x, y = np.meshgrid(np.arange(width, dtype=np.float32), np.arange(height, dtype=np.float32))
    return np.stack([x, y], -1)


def pull(image: Any, flow: Float32[np.ndarray, "h w 2"], grid: Float32[np.ndarray, "h w 2"]) -> Any:
    """`image` [H, W] or [H, W, C] (float32 or uint8) of the frame that `flow` leads to, seen in the frame it starts."""
    import cv2

    at = grid + flow
    return cv2.remap(
        image,
        np.ascontiguousarray(at[..., 0]),
        np.ascontiguousarray(at[..., 1]),
        cv2.INTER_LINEAR,
        borderMode=cv2.BORDER_REPLICATE,
    )


def consistent(
    there: Float32[np.ndarray, "h w 2"], back: Float32[np.ndarray, "h w 2"], pixels: float
) -> Bool[np.ndarray, "h w"]:
    """Where `there` stays inside the image and `back` returns to within `pixels` (plus 5 % of the way)."""
    height, width = there.shape[:2]
    grid = pixel_grid(height, width)
    at = grid + there
    inside = (at >= 0).all(-1) & (at[..., 0] <= width - 1) & (at[..., 1] <= height - 1)
    loop = there + pull(back, there, grid)
    # hypot: a norm over an axis of two is slow.
    difference, length = np.hypot(loop[..., 0], loop[..., 1]), np.hypot(there[..., 0], there[..., 1])
    return np.asarray(inside & (difference <= pixels + 0.05 * length))


def require_sequence(clip: Clip, what: str) -> None:
    """Refuse clips of several cameras.

    Raises:
        InputError: frames of more than one camera.
    """
    if not clip.is_sequence:
        raise InputError(
            what,
            expected="the frames of one camera in order of time",
            got=f"{len(set(clip.camera_ids))} cameras",
            fix="use one camera's video, or leave this stage out where cameras and masks are given",
        )


def compute_flow(
    clip: Clip,
    settings: FlowSettings | None = None,
    *,
    work: str | Path | StageCache | None = None,
    progress: Progress = no_progress,
) -> FlowFields:
    """Flow between all consecutive frames, both ways.

    Args:
        clip: frames of one camera.
        settings: see `FlowSettings`.
        work: folder that keeps the result; the arrays are then memory-mapped.  Without one they are held in memory,
            10 bytes for each pixel of each frame.
        progress: called as `progress("flow", done, total)`.

    Raises:
        InputError: frames of several cameras, or a work folder that is full.
    """
    require_sequence(clip, "flow")
    settings = settings or FlowSettings()
    cache = open_cache(work)
    key = stage_key("flow", _VERSION, settings, clip.key)
    stored = cache.load("flow", key) if cache else None
    if stored is None:
        arrays: dict[str, Any] = {}
        pairs, height, width = len(clip) - 1, clip.height, clip.width
        shapes: dict[str, tuple[int, ...]] = {
            "forward": (pairs, height, width, 2),
            "backward": (pairs, height, width, 2),
        }
        shapes |= {"forward_valid": (pairs, height, width), "backward_valid": (pairs, height, width)}
        kinds = {name: np.dtype(bool if name.endswith("valid") else np.float16) for name in shapes}
        if cache is None:
            arrays = {name: np.zeros(shape, kinds[name]) for name, shape in shapes.items()}
            _fill(clip, settings, arrays, progress)
            return FlowFields(**arrays)
        try:
            with cache.writing("flow", key) as folder:
                for name, shape in shapes.items():
                    arrays[name] = mapped_array(folder / f"{name}.npy", kinds[name], shape)
                _fill(clip, settings, arrays, progress)
                for array in arrays.values():
                    array.flush()
                write_json(folder / RECORD, {"arrays": sorted(shapes)})
        except OSError as error:
            raise cannot_write(cache.folder, error) from None
        stored = cache.load("flow", key)
        if stored is None:
            raise cannot_write(cache.folder, OSError("the result cannot be read back"))
    return FlowFields(**stored[1])


def _fill(clip: Clip, settings: FlowSettings, arrays: dict[str, Any], progress: Progress) -> None:
    dense = DenseFlow()
    before = gray_frame(clip, 0, settings.max_side)
    for pair in range(len(clip) - 1):
        after = gray_frame(clip, pair + 1, settings.max_side)
        there, back = dense(before, after), dense(after, before)
        limit = settings.consistency_pixels * before.shape[1] / clip.width
        for name, one, other in (("forward", there, back), ("backward", back, there)):
            arrays[name][pair] = _enlarged(one, clip)
            valid = consistent(one, other, limit)
            arrays[f"{name}_valid"][pair] = enlarge_mask(valid, (clip.height, clip.width))
        before = after
        progress("flow", pair + 1, len(clip) - 1)


def _enlarged(flow: Float32[np.ndarray, "a b 2"], clip: Clip) -> Float32[np.ndarray, "h w 2"]:
    import cv2

    if flow.shape[:2] == (clip.height, clip.width):
        return flow
    factors = np.array([clip.width / flow.shape[1], clip.height / flow.shape[0]], np.float32)
    return np.asarray(cv2.resize(flow, (clip.width, clip.height), interpolation=cv2.INTER_LINEAR) * factors, np.float32)


def enlarge_mask(mask: Bool[np.ndarray, "a b"], shape: Sequence[int]) -> Bool[np.ndarray, "h w"]:
    """A yes-no image at another size, nearest sample."""
    import cv2

    if mask.shape == tuple(shape):
        return mask
    size = (int(shape[1]), int(shape[0]))
    return np.asarray(cv2.resize(mask.astype(np.uint8), size, interpolation=cv2.INTER_NEAREST) > 0)
