"""Video files in: decoding through FFmpeg (PyAV) to upright RGB or RGBA frames with their true presentation times.

Handles any codec and the usual containers, rotation and mirroring metadata, variable frame rate, alpha (VP9 in WebM
too), more than 8 bits, limited and full range, BT.601/709/2020 matrices, and files that are damaged in the middle: what
decodes is kept and `problems` says what was lost.

Does NOT deinterlace, resize, tone-map HDR, apply colour primaries, or square anamorphic pixels (each is reported in
`problems`), and never opens anything but the one local file: play lists and network addresses are refused.
Writing is in `video_writer.py` and re-exported here.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float64, UInt8, UInt16

from recon4d.core import InputError
from recon4d.data.video_decoding import Decoding, not_a_video
from recon4d.data.video_pixels import Pixels, to_pixels, turn_of, upright
from recon4d.data.video_writer import write_video

__all__ = [
    "VIDEO_SUFFIXES",
    "Video",
    "VideoFrame",
    "VideoFrames",
    "VideoInfo",
    "VideoReader",
    "iterate_video",
    "read_video",
    "scan_video",
    "write_video",
]

VIDEO_SUFFIXES = frozenset(
    ".mp4 .m4v .mov .mkv .webm .avi .gif .mpg .mpeg .ts .m2ts .ogv .wmv .flv .y4m".split()  # noqa: SIM905
)

_MAX_GIB = 8.0


@dataclass(frozen=True, eq=False)
class VideoFrame:
    """One decoded frame.

    Attributes:
        index: position among the frames that decoded, from 0.
        time: presentation time in seconds after the start of the video stream.
        image: uint8 or uint16 [H, W, 3] RGB, or [H, W, 4] RGBA (alpha not multiplied in), upright.
    """

    index: int
    time: float
    image: Pixels


@dataclass(frozen=True, eq=False)
class VideoInfo:
    """What a video holds, known after decoding it.

    Attributes:
        width, height: of the upright frames, pixels.
        times: [T] presentation time of each frame in seconds, strictly increasing; the stream starts at 0.
        fps: mean frames per second between the first and the last frame (the nominal rate of a single frame).
        has_alpha: the stream carries transparency.
        bit_depth: bits of a sample as stored.
        codec: FFmpeg's name of the decoder.
        problems: sentences about what was lost, repaired or left alone; empty for a sound file.
    """

    width: int
    height: int
    times: Float64[np.ndarray, " t"]
    fps: float
    has_alpha: bool
    bit_depth: int
    codec: str
    problems: tuple[str, ...]


@dataclass(frozen=True, eq=False)
class Video:
    """A decoded video.

    Attributes:
        frames: [T, H, W, 3] or [T, H, W, 4], uint8 or uint16, upright.
        times: [T] seconds, as `VideoInfo.times`.
        fps: mean frames per second.
        info: everything else.
        problems: as `info.problems`.
    """

    frames: UInt8[np.ndarray, "t h w c"] | UInt16[np.ndarray, "t h w c"]
    times: Float64[np.ndarray, " t"]
    fps: float
    info: VideoInfo
    problems: tuple[str, ...]


class VideoReader:
    """Frames of one video file in order, one in memory at a time.

    Iterate it (again, to start over); afterwards `info` and `problems` describe what was met.

    Args:
        path: the file.
        bits: 8 for uint8 frames, 16 for uint16 frames (deep video is not cut to 8 bits then).
        alpha: keep transparency as a fourth channel where the stream has it.

    Raises (while iterating):
        InputError: the file is missing, is not a video, or not one frame decodes.
    """

    def __init__(self, path: str | Path, *, bits: int = 8, alpha: bool = True) -> None:
        if bits not in (8, 16):
            raise InputError("bits", expected="8 or 16", got=repr(bits), fix="8 suits almost every video")
        self.path = Path(path)
        self.bits = bits
        self.alpha = alpha
        self._info: VideoInfo | None = None

    @property
    def info(self) -> VideoInfo:
        """What the last complete pass over the file met; makes a pass (without converting pixels) if there was none."""
        if self._info is None:
            for _ in self._pass(convert=False):
                pass
        assert self._info is not None
        return self._info

    @property
    def problems(self) -> tuple[str, ...]:
        """As `info.problems`."""
        return self.info.problems

    def __iter__(self) -> Iterator[VideoFrame]:
        """Decode from the start."""
        return self._pass(convert=True)

    def _pass(self, *, convert: bool) -> Iterator[VideoFrame]:
        with Decoding(self.path) as decoding:
            times: list[float] = []
            empty = np.empty((0, 0, 3), np.uint8)
            shape: tuple[int, int] | None = None
            for frame, time in decoding.frames():
                turn = turn_of(frame)
                width, height = (frame.height, frame.width) if turn.transpose else (frame.width, frame.height)
                if shape is None:
                    shape = (width, height)
                    decoding.describe(frame, turn)
                if (width, height) != shape:
                    decoding.other_size += 1
                    continue
                image = (
                    upright(to_pixels(frame, self.bits, alpha=self.alpha and decoding.has_alpha), turn)
                    if convert
                    else empty
                )
                times.append(time)
                yield VideoFrame(len(times) - 1, time, image)
            if shape is None:
                raise not_a_video(self.path, decoding.first_error or "no frame that can be decoded")
            self._info = _summary(decoding, shape, times)


class VideoFrames:
    """Frames of one video by index, decoded forwards: cheap in order, a new start when going back.

    Holds one frame.  Close it, or drop the last reference, to close the file.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self._frames: Iterator[VideoFrame] | None = None
        self._current: VideoFrame | None = None

    def frame(self, index: int) -> VideoFrame:
        """The frame at `index`, counted over the frames that decode.

        Raises:
            InputError: the video cannot be read or has fewer frames.
        """
        if self._frames is None or self._current is None or index < self._current.index:
            self.close()
            self._frames = iter(VideoReader(self.path))
        while self._current is None or self._current.index < index:
            self._current = next(self._frames, None)
            if self._current is None:
                self._frames = None
                raise InputError(
                    str(self.path), expected=f"a frame {index}", got="fewer frames", fix="has the file changed?"
                )
        return self._current

    def close(self) -> None:
        """Forget the position and close the file."""
        self._frames = self._current = None


def _summary(decoding: Decoding, shape: tuple[int, int], times: list[float]) -> VideoInfo:
    fps = (len(times) - 1) / (times[-1] - times[0]) if len(times) > 1 else decoding.nominal_fps
    return VideoInfo(
        width=shape[0],
        height=shape[1],
        times=np.array(times),
        fps=fps,
        has_alpha=decoding.has_alpha,
        bit_depth=decoding.bit_depth,
        codec=decoding.decoder.codec.name,
        problems=decoding.problems(len(times)),
    )


def iterate_video(path: str | Path, *, bits: int = 8, alpha: bool = True) -> VideoReader:
    """Iterable over the frames of a video that holds one at a time; see `VideoReader`."""
    return VideoReader(path, bits=bits, alpha=alpha)


def scan_video(path: str | Path) -> VideoInfo:
    """Decode a video without keeping a frame and say what it holds.

    Raises:
        InputError: missing, not a video, or not one frame decodes.
    """
    return VideoReader(path).info


def read_video(path: str | Path, *, bits: int = 8, alpha: bool = True, max_gib: float = _MAX_GIB) -> Video:
    """All frames of a video as one array.

    Args:
        path: the file.
        bits: 8 for uint8, 16 for uint16.
        alpha: keep transparency as a fourth channel where there is some.
        max_gib: refuse to hold more than this many GiB of pixels.

    Raises:
        InputError: missing, not a video, not one frame decodes, or more pixels than `max_gib`.
    """
    reader = VideoReader(path, bits=bits, alpha=alpha)
    images: list[Pixels] = []
    held = 0
    for frame in reader:
        held += frame.image.nbytes
        if held > max_gib * 2**30:
            raise InputError(
                str(path),
                expected=f"a video of at most {max_gib:g} GiB of pixels",
                got=f"more, after {len(images)} frames of {frame.image.shape[1]}x{frame.image.shape[0]}",
                fix="go through it with iterate_video, or make it shorter or smaller",
            )
        images.append(frame.image)
    info = reader.info
    return Video(np.stack(images), info.times, info.fps, info, info.problems)
