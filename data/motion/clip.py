"""One sequence of images of equal size, ready for masks, tracks and cameras: what the ingest stage makes.

Does NOT know how it was made (`ingest.py`) nor what comes after.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Bool, Float32, Float64, Int64, UInt8

from recon4d.core import Camera


@dataclass(frozen=True, eq=False)
class Clip:
    """Frames in order of time.  With a work folder the large arrays are memory-mapped and read-only.

    Attributes:
        frames: [T, H, W, 3] display sRGB; transparent pixels are laid over `background`.
        times: [T] seconds, strictly increasing for one camera.
        alpha: [T, H, W] coverage, 255 = opaque; None where the source has none.
        masks: [T, H, W] masks that came with the source, 255 = the subject; None where there are none.
        masked: [T] which frames came with a mask (the others are 0 in `masks`).
        source_frames: [T] position of each frame in the source.
        ranks: [T] the same among the frames that can be used: without black, repeated and damaged ones.
        motion: [T] root mean square optical flow to the next kept frame, in percent of the long side; 0 for the last.
        keyframes: [K] frames about equally much motion apart, for structure from motion.
        cameras: one for each frame, scaled to the frames' size, where the source has them all.
        camera_ids: which physical camera took each frame.
        background: colour under transparent pixels, display sRGB in [0, 1].
        source_size: (width, height) before resizing.
        focal_pixels: focal length in pixels of `frames` from EXIF data, None where unknown.
        fps: mean frames a second of the source.
        key: identifies content and settings; later stages build their keys on it.
        description: one line on what was read.
        problems: sentences on what was lost, dropped or assumed.
    """

    frames: UInt8[np.ndarray, "t h w 3"]
    times: Float64[np.ndarray, " t"]
    alpha: UInt8[np.ndarray, "t h w"] | None
    masks: UInt8[np.ndarray, "t h w"] | None
    masked: Bool[np.ndarray, " t"]
    source_frames: Int64[np.ndarray, " t"]
    ranks: Int64[np.ndarray, " t"]
    motion: Float32[np.ndarray, " t"]
    keyframes: Int64[np.ndarray, " k"]
    cameras: tuple[Camera, ...] | None
    camera_ids: tuple[str, ...]
    background: tuple[float, float, float]
    source_size: tuple[int, int]
    focal_pixels: float | None
    fps: float
    key: str
    description: str
    problems: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.frames)

    @property
    def width(self) -> int:
        """Of a frame, pixels."""
        return int(self.frames.shape[2])

    @property
    def height(self) -> int:
        """Of a frame, pixels."""
        return int(self.frames.shape[1])

    @property
    def is_sequence(self) -> bool:
        """Whether consecutive frames show a moving picture: one camera, not several at once."""
        return len(set(self.camera_ids)) == 1

    def part(self, rows: Int64[np.ndarray, " r"]) -> Clip:
        """Some of the frames, as a clip of their own.  Its arrays are copies; its keyframes are those among the rows.

        Args:
            rows: ascending, at least two.
        """
        # Motion adds up over the frames between; directions may differ, so this is an upper bound.
        passed = np.concatenate([[0.0], np.cumsum(self.motion[:-1], dtype=np.float64)])
        motion = np.append(np.diff(passed[rows]), 0.0).astype(np.float32)
        marks = np.flatnonzero(np.isin(rows, self.keyframes))
        digest = hashlib.sha256(f"{self.key}{rows.tolist()}".encode()).hexdigest()
        return replace(
            self,
            frames=np.asarray(self.frames[rows]),
            times=self.times[rows],
            alpha=None if self.alpha is None else np.asarray(self.alpha[rows]),
            masks=None if self.masks is None else np.asarray(self.masks[rows]),
            masked=self.masked[rows],
            source_frames=self.source_frames[rows],
            ranks=self.ranks[rows],
            motion=motion,
            keyframes=marks if len(marks) > 1 else np.arange(len(rows)),
            cameras=None if self.cameras is None else tuple(self.cameras[row] for row in rows),
            camera_ids=tuple(self.camera_ids[row] for row in rows),
            key=digest[:24],
        )
