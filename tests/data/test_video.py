"""Videos: times, turns, colours, alpha and depth come back as they went in; odd sizes are padded as documented."""

from __future__ import annotations

import hashlib
import itertools

import av
import numpy as np
import pytest
from av.video.reformatter import ColorRange, Colorspace
from hypothesis import given, settings
from hypothesis import strategies as st

from recon4d.core import InputError
from recon4d.data.video import VideoFrames, iterate_video, read_video, scan_video, write_video


def smooth(count: int, height: int, width: int) -> np.ndarray:
    """Slow gradients: what is left of a difference after coding is the coder's and the colour conversion's."""
    t, y, x = np.mgrid[0:count, 0:height, 0:width]
    layers = (40 + 150 * x / width, 50 + 150 * y / height, 60 + 8.0 * t)
    return np.stack(layers, -1).astype(np.uint8)


def encode(path, frames, *, codec, pix_fmt, options=None, prepare=None, convert=None, rate=10):
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=rate, options=options or {})
        stream.height, stream.width, stream.pix_fmt = frames.shape[1], frames.shape[2], pix_fmt
        if prepare:
            prepare(stream)
        for pixels in frames:
            source = {3: "rgb24", 4: "rgba"}[frames.shape[3]] if frames.dtype == np.uint8 else "rgb48le"
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(pixels), source)
            container.mux(stream.encode(frame.reformat(format=pix_fmt, **(convert or {}))))
        container.mux(stream.encode(None))


@pytest.mark.parametrize("codec", ["libx264", "mpeg4"])
@pytest.mark.parametrize(("height", "width"), [(32, 48), (33, 48), (32, 47), (17, 21), (1, 1)])
def test_frames_come_back(tmp_path, codec, height, width):
    frames = smooth(5, height, width)
    path = tmp_path / "clip.mp4"
    write_video(path, frames, 25, codec=codec)
    video = read_video(path)
    even = (5, height + height % 2, width + width % 2, 3)
    assert video.frames.shape == even
    assert video.frames.dtype == np.uint8
    padding = ((0, 0), (0, height % 2), (0, width % 2), (0, 0))
    difference = np.abs(video.frames.astype(int) - np.pad(frames, padding, mode="edge"))
    assert difference.mean() < 3.0
    assert difference.max() < 16
    np.testing.assert_allclose(video.times, np.arange(5) / 25, rtol=0, atol=1e-9)
    assert video.fps == pytest.approx(25)
    assert video.problems == ()
    assert not video.info.has_alpha
    assert video.info.bit_depth == 8
    assert sorted(tmp_path.iterdir()) == [path]


def test_the_same_frames_give_the_same_bytes(tmp_path):
    frames = smooth(6, 40, 60)
    for suffix in (".mp4", ".mkv", ".mov"):
        digests = set()
        for name, given_frames in (("a", frames), ("b", iter(frames))):
            path = tmp_path / f"{name}{suffix}"
            write_video(path, given_frames, 29.97)
            digests.add(hashlib.sha256(path.read_bytes()).hexdigest())
        assert len(digests) == 1, suffix


def test_colours_are_tagged_and_right(tmp_path):
    colors = np.array(list(itertools.product((0, 128, 255), repeat=3)), np.uint8)
    frames = np.repeat(np.repeat(colors, 8, axis=0).reshape(1, 1, -1, 3), 16, axis=1)
    path = tmp_path / "clip.mp4"
    write_video(path, frames, 10, crf=1)
    with av.open(str(path)) as container:
        frame = next(container.decode(video=0))
        assert (frame.color_range, frame.colorspace, frame.color_primaries, frame.color_trc) == (1, 1, 1, 13)
    found = read_video(path).frames[0, 8].reshape(-1, 8, 3)[:, 3:5].astype(int)
    assert np.abs(found - colors[:, None]).max() <= 6  # Limited range; the wrong matrix errs by 20 and more.


@pytest.mark.parametrize("height", [64, 720])
@pytest.mark.parametrize("full_range", [False, True])
def test_untagged_video_uses_the_matrix_that_players_guess(tmp_path, height, full_range):
    frames = np.zeros((1, height, 64, 3), np.uint8)
    frames[..., 0], frames[..., 1] = 230, 30
    path = tmp_path / "clip.mkv"
    matrix = Colorspace.ITU709 if height >= 720 else Colorspace.ITU601
    to = ColorRange.JPEG if full_range else ColorRange.MPEG

    def prepare(stream):
        stream.codec_context.color_range = int(to)

    convert = {"dst_colorspace": matrix, "src_color_range": ColorRange.JPEG, "dst_color_range": to}
    encode(path, frames, codec="ffv1", pix_fmt="yuv420p", convert=convert, prepare=prepare)
    assert np.abs(read_video(path).frames.astype(int) - frames).max() <= 3


@settings(deadline=None, max_examples=15)
@given(gaps=st.lists(st.integers(1, 90_000), min_size=0, max_size=8), suffix=st.sampled_from([".mp4", ".mkv"]))
def test_variable_frame_rate_keeps_true_times(tmp_path_factory, gaps, suffix):
    times = np.concatenate([[0], np.cumsum(gaps)]) / 90_000
    if suffix == ".mkv":  # Matroska counts milliseconds.
        times = np.unique(np.round(times, 3))
    path = tmp_path_factory.mktemp("video") / f"clip{suffix}"
    write_video(path, smooth(len(times), 8, 8), 30, times=times)
    video = read_video(path)
    np.testing.assert_allclose(video.times, times, rtol=0, atol=1e-3 if suffix == ".mkv" else 1e-9)
    assert video.problems == ()


@pytest.mark.parametrize("degrees", [0, 90, 180, 270])
@pytest.mark.parametrize("hflip", [False, True])
@pytest.mark.parametrize("vflip", [False, True])
def test_rotation_metadata_turns_the_frames(tmp_path, degrees, hflip, vflip):
    frames = np.full((2, 16, 24, 3), 20, np.uint8)
    frames[:, :4, :8] = (230, 20, 20)
    frames[:, 8:, :4] = (20, 230, 20)
    path = tmp_path / "clip.mp4"

    def prepare(stream):
        stream.set_display_rotation(degrees, hflip=hflip, vflip=vflip)

    encode(path, frames, codec="libx264", pix_fmt="yuv420p", options={"crf": "1"}, prepare=prepare)
    expected = np.rot90(frames, degrees // 90, axes=(1, 2))  # The matrix turns counter-clockwise, then mirrors.
    expected = expected[:, :, ::-1] if hflip else expected
    expected = expected[:, ::-1] if vflip else expected
    video = read_video(path)
    assert video.frames.shape == expected.shape
    assert (video.info.width, video.info.height) == (expected.shape[2], expected.shape[1])
    assert np.abs(video.frames.astype(int) - expected).mean() < 6
    opposite = expected[:, ::-1, ::-1]
    assert np.abs(video.frames.astype(int) - opposite).mean() > 20


def test_a_rotation_that_is_no_quarter_turn_is_told(tmp_path):
    path = tmp_path / "clip.mp4"
    encode(
        path,
        smooth(1, 16, 16),
        codec="libx264",
        pix_fmt="yuv420p",
        prepare=lambda stream: stream.set_display_rotation(30),
    )
    assert any("not a multiple of 90" in problem for problem in read_video(path).problems)


@pytest.mark.parametrize(
    ("suffix", "codec", "pix_fmt"),
    [
        (".webm", "libvpx-vp9", "yuva420p"),
        (".mov", "prores_ks", "yuva444p10le"),
        (".mov", "qtrle", "argb"),
        (".mkv", "ffv1", "bgra"),
    ],
)
def test_alpha_is_kept_where_there_is_some(tmp_path, suffix, codec, pix_fmt):
    frames = np.full((3, 32, 48, 4), 255, np.uint8)
    frames[..., :3] = (200, 40, 90)
    frames[:, :, 24:, 3] = 0
    frames[:, :16, :, 3] //= 2
    path = tmp_path / f"clip{suffix}"
    encode(path, frames, codec=codec, pix_fmt=pix_fmt)
    video = read_video(path)
    assert video.info.has_alpha
    assert video.frames.shape == (3, 32, 48, 4)
    assert np.abs(video.frames[..., 3].astype(int) - frames[..., 3])[:, 4:12, 4:20].max() <= 4
    assert np.abs(video.frames[..., 3].astype(int) - frames[..., 3])[:, 20:28, 28:44].max() <= 4
    assert read_video(path, alpha=False).frames.shape == (3, 32, 48, 3)


def test_ten_bits_are_kept_when_asked_for(tmp_path):
    ramp = np.linspace(4000, 60000, 256).astype(np.uint16)
    frames = np.broadcast_to(ramp[None, None, :, None], (2, 16, 256, 3)).copy()
    path = tmp_path / "clip.mkv"
    encode(path, frames, codec="ffv1", pix_fmt="yuv444p10le")
    deep = read_video(path, bits=16)
    assert deep.info.bit_depth == 10
    assert deep.frames.dtype == np.uint16
    error = np.abs(deep.frames.astype(int) - frames)
    assert error.max() < 65535 / 876  # One step of limited-range 10-bit luma.
    shallow = read_video(path)
    assert shallow.frames.dtype == np.uint8
    assert np.abs(shallow.frames.astype(int) - frames / 257).max() < 1.5


def test_frames_by_index_equal_frames_in_order(tmp_path):
    path = tmp_path / "clip.mp4"
    write_video(path, smooth(7, 16, 16), 10)
    every = list(iterate_video(path))
    assert [frame.index for frame in every] == list(range(7))
    by_index = VideoFrames(path)
    for index in (0, 3, 3, 6, 1, 5):
        np.testing.assert_array_equal(by_index.frame(index).image, every[index].image)
        assert by_index.frame(index).time == every[index].time
    with pytest.raises(InputError, match="frame 7"):
        by_index.frame(7)
    np.testing.assert_array_equal(by_index.frame(2).image, every[2].image)


def test_iterating_twice_and_scanning_agree(tmp_path):
    path = tmp_path / "clip.mp4"
    write_video(path, smooth(4, 16, 18), 12.5)
    reader = iterate_video(path)
    first = np.stack([frame.image for frame in reader])
    np.testing.assert_array_equal(np.stack([frame.image for frame in reader]), first)
    info = scan_video(path)
    np.testing.assert_array_equal(info.times, reader.info.times)
    assert (info.width, info.height, info.fps) == (18, 16, pytest.approx(12.5))


@pytest.mark.parametrize(
    ("frames", "options", "named"),
    [
        (smooth(0, 4, 4), {"fps": 10}, "frames"),
        ([np.zeros((4, 4), np.uint8)], {"fps": 10}, r"frames\[0\]"),
        ([np.zeros((4, 4, 3), np.float32)], {"fps": 10}, r"frames\[0\]"),
        ([np.zeros((4, 4, 3), np.uint8), np.zeros((6, 4, 3), np.uint8)], {"fps": 10}, r"frames\[1\]"),
        (smooth(2, 4, 4), {"fps": 0}, "fps"),
        (smooth(2, 4, 4), {"fps": float("nan")}, "fps"),
        (smooth(2, 4, 4), {"fps": 10, "crf": 60}, "crf"),
        (smooth(2, 4, 4), {"fps": 10, "times": [0.5, 0.5]}, r"times\[1\]"),
        (smooth(2, 4, 4), {"fps": 10, "times": [0.5]}, r"times\[1\]"),
        (smooth(2, 4, 4), {"fps": 10, "times": [0.0, 0.5, 1.0]}, "frames"),
    ],
)
def test_wrong_arguments_leave_no_file(tmp_path, frames, options, named):
    with pytest.raises(InputError, match=named):
        write_video(tmp_path / "clip.mp4", frames, **options)
    assert list(tmp_path.iterdir()) == []


def test_an_unknown_suffix_is_refused(tmp_path):
    with pytest.raises(InputError, match=r"\.gif"):
        write_video(tmp_path / "clip.gif", smooth(1, 4, 4), 10)


def test_too_many_pixels_are_refused(tmp_path):
    path = tmp_path / "clip.mp4"
    write_video(path, smooth(4, 16, 16), 10)
    with pytest.raises(InputError, match="iterate_video"):
        read_video(path, max_gib=2000 / 2**30)
