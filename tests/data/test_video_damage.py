"""Broken and hostile video files: what decodes is kept and the loss is told; nothing else on the machine is opened."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recon4d.core import InputError
from recon4d.data.images import write_png
from recon4d.data.video import read_video, write_video


@pytest.fixture(scope="module")
def sound(tmp_path_factory) -> bytes:
    """A Matroska file of 24 noisy frames: damage in the middle leaves its header and its first frames alone."""
    path = tmp_path_factory.mktemp("sound") / "clip.mkv"
    rng = np.random.default_rng(0)
    noise = rng.integers(0, 256, (24, 48, 64, 3)).astype(np.uint8)
    write_video(path, noise, 24, crf=30)
    return path.read_bytes()


def test_damage_that_looks_like_the_end_is_told(tmp_path, sound, monkeypatch):
    """Whether a decoder complains of a torn end is its own affair: the file's length tells."""
    from recon4d.data.video_decoding import Decoding

    path = tmp_path / "clip.mkv"
    path.write_bytes(sound)
    assert read_video(path).problems == ()
    every = Decoding._decoded
    monkeypatch.setattr(Decoding, "_decoded", lambda self: itertools.islice(every(self), 12))
    video = read_video(path)
    assert len(video.frames) == 12
    (problem,) = video.problems
    assert problem == "the last 0.50 s that the file announces could not be read"


def test_damage_in_the_middle_keeps_the_beginning(tmp_path, sound):
    path = tmp_path / "clip.mkv"
    middle = len(sound) // 2
    path.write_bytes(sound[:middle] + b"\xa5" * 3000 + sound[middle + 3000 :])
    video = read_video(path)
    assert 4 <= len(video.frames) < 24
    assert video.problems
    assert (np.diff(video.times) > 0).all()
    whole = tmp_path / "whole.mkv"
    whole.write_bytes(sound)
    expected = read_video(whole)
    assert expected.problems == ()
    ticks = {round(time * 1000): frame for time, frame in zip(expected.times, expected.frames, strict=True)}
    assert all(round(time * 1000) in ticks for time in video.times)
    for time, frame in list(zip(video.times, video.frames, strict=True))[:4]:
        np.testing.assert_array_equal(frame, ticks[round(time * 1000)])


def test_a_file_cut_short_keeps_the_beginning(tmp_path, sound):
    path = tmp_path / "clip.mkv"
    path.write_bytes(sound[: len(sound) * 2 // 3])
    video = read_video(path)
    assert 8 <= len(video.frames) < 24
    assert (np.diff(video.times) > 0).all()


def test_an_mp4_that_announces_more_frames_says_so(tmp_path):
    path = tmp_path / "clip.mp4"
    rng = np.random.default_rng(1)
    write_video(path, rng.integers(0, 256, (12, 32, 32, 3)).astype(np.uint8), 12, crf=30)
    content = path.read_bytes()
    path.write_bytes(content[: len(content) * 2 // 3])  # The index stands in front, so the file opens.
    video = read_video(path)
    assert 1 <= len(video.frames) < 12
    assert any("of the 12 that the file announces" in problem or "ends early" in problem for problem in video.problems)


@settings(deadline=None, max_examples=25)
@given(seed=st.integers(0, 2**32 - 1))
def test_random_damage_is_an_input_error_or_a_video(tmp_path_factory, sound, seed):
    rng = np.random.default_rng(seed)
    broken = np.frombuffer(sound, np.uint8).copy()
    start = rng.integers(0, len(broken))
    broken[start : start + rng.integers(1, 2000)] ^= rng.integers(1, 256, dtype=np.uint8)
    path = tmp_path_factory.mktemp("broken") / "clip.mkv"
    path.write_bytes(broken.tobytes()[: rng.integers(1, len(broken) + 1)])
    try:
        video = read_video(path)
    except InputError:
        return
    assert len(video.frames) == len(video.times) >= 1
    assert (np.diff(video.times) > 0).all()


def test_what_is_no_video_is_refused(tmp_path):
    write_png(tmp_path / "image.png", np.zeros((4, 4, 3), np.uint8))
    contents = {
        "empty.mp4": b"",
        "text.mp4": b"hello\nworld\n" * 100,
        "noise.mp4": np.random.default_rng(0).integers(0, 256, 5000).astype(np.uint8).tobytes(),
        "image.mp4": (tmp_path / "image.png").read_bytes(),
    }
    for name, content in contents.items():
        (tmp_path / name).write_bytes(content)
        with pytest.raises(InputError, match=name):
            read_video(tmp_path / name)
    for path in (tmp_path, tmp_path / "missing.mp4"):
        with pytest.raises(InputError, match="no such file"):
            read_video(path)


def test_play_lists_do_not_reach_other_files(tmp_path, sound):
    (tmp_path / "clip.mkv").write_bytes(sound)
    lists = {
        "list.m3u8": "#EXTM3U\n#EXT-X-TARGETDURATION:10\n#EXTINF:10,\nclip.mkv\n#EXT-X-ENDLIST\n",
        "list.mp4": "ffconcat version 1.0\nfile clip.mkv\n",
    }
    for name, content in lists.items():
        (tmp_path / name).write_text(content)
        with pytest.raises(InputError, match=name):
            read_video(tmp_path / name)


def test_sound_without_pictures_is_refused(tmp_path):
    import av

    path = tmp_path / "sound.mkv"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("pcm_s16le", rate=8000, layout="mono")
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 800), np.int16), format="s16", layout="mono")
        frame.sample_rate = 8000
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    with pytest.raises(InputError, match="without a video stream"):
        read_video(path)


def test_zero_frames_are_refused(tmp_path, sound):
    path = tmp_path / "clip.mkv"
    header = sound.index(b"\x1f\x43\xb6\x75")  # The first cluster: everything before it describes the stream.
    path.write_bytes(sound[:header])
    with pytest.raises(InputError, match=r"clip\.mkv"):
        read_video(path)
