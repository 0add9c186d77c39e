"""Video files out: H.264 in MP4, MOV or Matroska, for every player and for our own reader.

Colours: RGB is taken as display-encoded sRGB and stored as BT.709 limited-range YUV 4:2:0 with the tags to say so
(primaries and matrix BT.709, transfer IEC 61966-2-1).  4:2:0 needs even sizes: an odd width or height is padded by
repeating the last column or row, so the file is one pixel larger and every original pixel keeps its place.
The same frames give the same bytes: one thread encodes and no time of writing is stored.

Does NOT write alpha, sound or more than 8 bits.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Literal

import numpy as np
from jaxtyping import Float, Shaped, UInt8

from recon4d.core import InputError
from recon4d.data.files import atomic_path
from recon4d.data.video_pixels import AvFrame

_SUFFIXES = (".mp4", ".m4v", ".mov", ".mkv")
_TICKS_PER_SECOND = 90_000  # Divides 24, 25, 30, 50 and 60 frames a second exactly.
_THREADS = 1  # With several, x264's choices and swscale's roundings depend on their number and, under load, on timing.


def write_video(
    path: str | Path,
    frames: Iterable[Shaped[np.ndarray, "*shape"]],
    fps: float,
    *,
    crf: float = 16.0,
    times: Sequence[float] | Float[np.ndarray, " t"] | None = None,
    codec: Literal["auto", "libx264", "mpeg4"] = "auto",
) -> None:
    """Write a video atomically.

    Args:
        path: target ending in .mp4, .m4v, .mov or .mkv.
        frames: RGB, uint8 [T, H, W, 3] or an iterable of uint8 [H, W, 3] of one size, of which one at a time is held.
        fps: frames per second, up to 1000 (the nominal rate when `times` is given).
        crf: quality, 0 (almost lossless) to 51 (worst); 16 looks like the original.
        times: seconds at which each frame is shown, strictly increasing, rounded to 1/90000 s; default index / fps.
        codec: "auto" is libx264 (H.264) where PyAV was built with it, else mpeg4 (MPEG-4 part 2).

    Raises:
        InputError: no frames, a frame of another dtype or size, bad fps, crf or times, an unknown suffix, or a folder
            that cannot be written.  Nothing is left behind then.
    """
    import av

    path = Path(path)
    if path.suffix.lower() not in _SUFFIXES:
        wanted = f"a name ending in {', '.join(_SUFFIXES)}"
        raise InputError(str(path), expected=wanted, got=repr(path.suffix), fix="use .mp4")
    if not (isinstance(fps, (int, float)) and math.isfinite(fps) and 0 < fps <= 1000):
        raise InputError("fps", expected="frames per second in (0, 1000]", got=repr(fps), fix="24, 25 and 30 are usual")
    if not 0 <= crf <= 51:
        raise InputError("crf", expected="a number from 0 to 51", got=repr(crf), fix="16 is a good choice")
    if codec not in ("auto", "libx264", "mpeg4"):
        raise InputError("codec", expected="auto, libx264 or mpeg4", got=repr(codec), fix="use auto")
    if codec == "auto":
        codec = "libx264" if "libx264" in av.codecs_available else "mpeg4"
    options = {"libx264": {"crf": f"{crf:g}", "preset": "medium"}, "mpeg4": _mpeg4_options(crf)}[codec]
    rate = Fraction(fps).limit_denominator(1001)
    muxing = {"movflags": "+faststart"} if path.suffix.lower() != ".mkv" else {"fflags": "+bitexact"}
    count = 0
    last_tick = -1
    with atomic_path(path) as temporary, av.open(str(temporary), "w", options=muxing) as container:
        stream = None
        for count, pixels in enumerate(frames, 1):
            _check_frame(pixels, count - 1, (stream.height, stream.width) if stream else None)
            if stream is None:
                stream = container.add_stream(codec, rate=rate, options=options)
                stream.height, stream.width = _even(pixels.shape)
                stream.pix_fmt = "yuv420p"
                context = stream.codec_context
                context.thread_count = _THREADS
                context.color_range, context.colorspace, context.color_primaries, context.color_trc = 1, 1, 1, 13
                if times is not None:
                    context.time_base = Fraction(1, _TICKS_PER_SECOND)
            frame = _to_yuv(pixels)
            if times is None:
                frame.pts, frame.time_base = count - 1, 1 / rate
            else:
                last_tick = frame.pts = _tick_of(times, count - 1, last_tick)
                frame.time_base = Fraction(1, _TICKS_PER_SECOND)
            container.mux(stream.encode(frame))
        if stream is None or (times is not None and len(times) != count):
            raise InputError(
                "frames",
                expected="at least one frame" if times is None else f"one frame for each of the {len(times)} times",
                got=f"{count} frames",
                fix="check what makes the frames",
            )
        container.mux(stream.encode(None))


def _mpeg4_options(crf: float) -> dict[str, str]:
    # FF_QP2LAMBDA = 118; quantisers 1..31 mapped so that crf 16 becomes a visually clean 2.
    quantiser = min(max(1 + (crf - 10) / 6, 1), 31)
    return {"flags": "+qscale", "global_quality": str(round(118 * quantiser))}


def _tick_of(times: Sequence[float] | Float[np.ndarray, " t"], index: int, last_tick: int) -> int:
    time = float(times[index]) if index < len(times) else math.nan
    tick = round(time * _TICKS_PER_SECOND) if math.isfinite(time) else -1
    if tick <= last_tick:
        raise InputError(
            f"times[{index}]",
            expected="seconds >= 0, one for each frame, each more than the one before",
            got=f"{time!r} after tick {last_tick} of {_TICKS_PER_SECOND} a second",
            fix="sort the frames by time and drop duplicates",
        )
    return tick


def _even(shape: tuple[int, ...]) -> tuple[int, int]:
    return shape[0] + shape[0] % 2, shape[1] + shape[1] % 2


def _check_frame(pixels: object, index: int, stored: tuple[int, int] | None) -> None:
    good = isinstance(pixels, np.ndarray) and pixels.dtype == np.uint8 and pixels.ndim == 3 and pixels.shape[2] == 3
    if good and pixels.size and stored in (None, _even(pixels.shape)):  # type: ignore[attr-defined]
        return
    got = f"{pixels.dtype} {list(pixels.shape)}" if isinstance(pixels, np.ndarray) else type(pixels).__name__
    raise InputError(
        f"frames[{index}]",
        expected="a uint8 array [H, W, 3], the same H and W for all frames",
        got=got,
        fix="composite alpha, convert to uint8, and resize to one size before writing",
    )


def _to_yuv(pixels: UInt8[np.ndarray, "h w 3"]) -> AvFrame:
    import av
    from av.video.reformatter import ColorRange, Colorspace, Interpolation

    height, width = pixels.shape[:2]
    if _even(pixels.shape) != (height, width):
        pixels = np.pad(pixels, ((0, height % 2), (0, width % 2), (0, 0)), mode="edge")
    exact = Interpolation.BICUBIC | Interpolation.ACCURATE_RND | Interpolation.FULL_CHR_H_INP | Interpolation.BITEXACT
    return av.VideoFrame.from_ndarray(np.ascontiguousarray(pixels), format="rgb24").reformat(
        format="yuv420p",
        dst_colorspace=Colorspace.ITU709,
        src_color_range=ColorRange.JPEG,
        dst_color_range=ColorRange.MPEG,
        interpolation=exact,
        threads=_THREADS,
    )
