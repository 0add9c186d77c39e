"""One pass of FFmpeg over one video file: opening it safely, stepping over damage, and true times.

Only the file itself is opened: play lists and network addresses are refused before FFmpeg follows them.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from recon4d.core import InputError
from recon4d.data.video_pixels import AvFrame, Turn

# Containers that hold their own data.  FFmpeg also knows play lists (hls, concat, dash, sdp), which would make it open
# whatever file or address the list names, and `tty`, which turns any text file into a video.
_CONTAINERS = (
    "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,avi,mpegts,mpeg,mpegvideo,m4v,h264,hevc,av1,obu,ivf,flv,ogg,asf,gif,apng,"
    "mjpeg,mxf,nut,rm,dv,yuv4mpegpipe,swf,wtv"
)
_FRAMES_SHORT, _SHARE_SHORT = 3, 0.05  # of the end that is missing, more than which is told
_HDR_TRANSFERS = {16: "PQ", 18: "HLG"}


def not_a_video(path: Path, got: str) -> InputError:
    """The error for a file that holds no video."""
    return InputError(
        str(path), expected="a video file that FFmpeg can decode", got=got, fix="check the path, or convert it to MP4"
    )


class Decoding:
    """One pass of FFmpeg over one file, and what it met on the way."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.errors = 0
        self.first_error = ""
        self.concealed = 0
        self.other_size = 0
        self.unordered = 0
        self.untimed = 0
        self.cut_short = ""
        self.end = 0.0
        self.notes: list[str] = []
        self.has_alpha = False
        self.bit_depth = 8

    def __enter__(self) -> Decoding:
        import av

        if not self.path.is_file():
            raise not_a_video(self.path, "no such file")
        try:
            # "file:" keeps a name such as "a:b.mp4" from being taken for a network protocol.
            self.container = av.open(
                f"file:{self.path}", metadata_errors="replace", container_options={"format_whitelist": _CONTAINERS}
            )
        except (av.FFmpegError, ValueError) as error:
            raise not_a_video(self.path, str(getattr(error, "strerror", None) or error)) from None
        videos = [s for s in self.container.streams.video if not s.disposition & av.stream.Disposition.attached_pic]
        if not videos:
            self.container.close()
            raise not_a_video(self.path, "a file without a video stream")
        self.stream = videos[0]
        try:
            self.decoder = self._decoder()
        except BaseException:
            self.container.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.container.close()

    def _decoder(self) -> Any:
        import av

        coded = self.stream.codec_context
        if coded is None:
            raise not_a_video(self.path, "a codec that this FFmpeg cannot decode")
        # FFmpeg's own VP8/VP9 decoders drop the alpha that WebM carries beside the picture; libvpx keeps it.
        libvpx = {"vp8": "libvpx", "vp9": "libvpx-vp9"}.get(coded.name, "")
        if self.stream.metadata.get("alpha_mode") == "1" and libvpx in av.codecs_available:
            with_alpha = av.CodecContext.create(libvpx, "r")
            if coded.extradata:
                with_alpha.extradata = coded.extradata
            return with_alpha
        # Not by frames: then whether a damaged frame is marked as such would depend on the timing of the threads.
        self.stream.thread_type = "SLICE"
        return coded

    @property
    def nominal_fps(self) -> float:
        """Frames per second as the container states or guesses them; 25 where it says nothing."""
        return float(self.stream.average_rate or self.stream.guessed_rate or 25)

    def frames(self) -> Iterator[tuple[AvFrame, float]]:
        """Sound frames in order of presentation, with times in seconds after the start of the stream."""
        spacing = 1.0 / self.nominal_fps
        start: float | None = None
        last: float | None = None
        for frame in self._decoded():
            if frame.is_corrupt:
                self.concealed += 1
                continue
            base = frame.time_base or self.stream.time_base
            if frame.pts is None or base is None:
                self.untimed += 1
                time = 0.0 if last is None else last + spacing
            else:
                seconds = float(frame.pts * base)
                if start is None:
                    begin = self.stream.start_time
                    unit = self.stream.time_base
                    start = seconds if begin is None or unit is None else min(seconds, float(begin * unit))
                time = seconds - start
                if last is not None and time <= last:
                    if self.errors or self.concealed:
                        # After damage a decoder may release a frame too late; its time is true, its place is lost.
                        self.concealed += 1
                        continue
                    self.unordered += 1
                    time = last + spacing
            last = time
            shown = float(frame.duration * base) if frame.duration and base is not None else spacing
            self.end = time + max(shown, spacing)
            yield frame, time

    def _decoded(self) -> Iterator[AvFrame]:
        import av

        packets = self.container.demux(self.stream)
        flushed = False
        while not flushed:
            try:
                packet = next(packets)
            except StopIteration:
                return
            except av.FFmpegError as error:
                self.cut_short = str(error.strerror)
                packet = None
            flushed = packet is None or packet.size == 0
            try:
                yield from self.decoder.decode(None if flushed else packet)
            except av.EOFError:
                return
            except av.FFmpegError as error:
                self.errors += 1
                self.first_error = self.first_error or str(error.strerror)

    def _missing(self) -> float:
        """Seconds between the last frame and the end that the file announces; 0 where that is not known or not far.

        Damage can look like the end of a file, about which no decoder complains.  Times of a file with sound are those
        of its longest stream.
        """
        stream, container = self.stream, self.container
        if stream.frames:
            return 0.0  # their number tells more
        if stream.duration is not None and stream.time_base is not None:
            announced = float(stream.duration * stream.time_base)
        elif container.duration is not None and len(container.streams) == 1:
            announced = container.duration / 1e6
        else:
            return 0.0
        missing = announced - self.end
        return missing if missing > _FRAMES_SHORT / self.nominal_fps and missing > _SHARE_SHORT * announced else 0.0

    def describe(self, frame: AvFrame, turn: Turn) -> None:
        """Note what the first frame says of all."""
        self.has_alpha = any(component.is_alpha for component in frame.format.components) or frame.format.name == "pal8"
        self.bit_depth = max(component.bits for component in frame.format.components)
        if turn.oblique:
            self.notes.append("the rotation in the file is not a multiple of 90 degrees and was ignored")
        if frame.interlaced_frame:
            self.notes.append("the video is interlaced; fields were not separated")
        if frame.color_trc in _HDR_TRANSFERS:
            self.notes.append(f"the video is HDR ({_HDR_TRANSFERS[frame.color_trc]}); values were not tone-mapped")
        aspect = self.stream.sample_aspect_ratio
        if aspect and aspect != 1:
            self.notes.append(f"pixels are {aspect} times as wide as high; frames were not stretched")

    def problems(self, kept: int) -> tuple[str, ...]:
        """Sentences about all that was lost, repaired or left alone, after the last frame; `kept` frames were used."""
        found = list(self.notes)
        if self.errors:
            found.append(f"{self.errors} packets could not be decoded ({self.first_error})")
        if self.concealed:
            found.append(f"{self.concealed} damaged frames were left out")
        if self.cut_short:
            found.append(f"the file ends early ({self.cut_short})")
        if not (self.errors or self.concealed or self.cut_short) and (missing := self._missing()):
            found.append(f"the last {missing:.2f} s that the file announces could not be read")
        if kept + self.concealed + self.other_size < self.stream.frames:
            found.append(f"{kept} frames of the {self.stream.frames} that the file announces were decoded")
        if self.other_size:
            found.append(f"{self.other_size} frames of another size than the first were left out")
        if self.unordered:
            found.append(f"{self.unordered} frames had times that do not increase; the frame rate was used instead")
        if self.untimed:
            found.append(f"{self.untimed} frames had no time; the frame rate was used instead")
        return tuple(found)
