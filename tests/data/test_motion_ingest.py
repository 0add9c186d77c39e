"""From files to a clip: sizes, repeats, black frames, damage, masks, and the cache."""

from __future__ import annotations

import errno
import os
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recon4d.core import InputError
from recon4d.data.files import StorageError
from recon4d.data.images import write_png
from recon4d.data.motion import IngestSettings, StageCache, ingest, with_masks
from recon4d.data.motion.exif import focal_35mm
from recon4d.data.motion.flow import compute_flow
from recon4d.data.motion.selection import evenly_in_motion, nearest_marked, needed
from recon4d.data.motion.stage import mapped_array
from recon4d.data.video import write_video
from tests.data.moving_scene import noise_texture, sliding_patch


def write_images(folder, frames, masks=None):
    (folder / "images").mkdir(parents=True)
    for k, frame in enumerate(frames):
        write_png(folder / "images" / f"{k:03d}.png", frame)
    if masks is not None:
        (folder / "masks").mkdir()
        for k, mask in enumerate(masks):
            if mask is not None:
                write_png(folder / "masks" / f"{k:03d}.png", np.asarray(mask).astype(np.uint8) * 255)
    return folder


def test_a_video_is_resized_and_keeps_its_times(tmp_path):
    frames, _, _ = sliding_patch(8)
    write_video(tmp_path / "clip.mp4", frames, 24)
    calls = []
    clip = ingest(tmp_path / "clip.mp4", IngestSettings(max_side=100), progress=lambda *call: calls.append(call))
    assert clip.frames.shape == (8, 75, 100, 3)
    assert clip.source_size == (200, 150)
    np.testing.assert_allclose(clip.times, np.arange(8) / 24, atol=1e-6)
    np.testing.assert_array_equal(clip.source_frames, np.arange(8))
    assert clip.masks is None
    assert clip.alpha is None
    assert clip.cameras is None
    assert clip.problems == ()
    assert {stage for stage, _, _ in calls} == {"ingest"}
    done = [done for _, done, _ in calls]
    assert done == sorted(done)
    assert calls[-1][1] == calls[-1][2]


def test_repeats_and_black_frames_are_left_out_and_told(tmp_path):
    frames, _, _ = sliding_patch(5)
    order = [frames[0] * 0, frames[0], frames[1], frames[1], frames[2], frames[3], frames[3], frames[4]]
    clip = ingest(write_images(tmp_path / "d", order))
    assert clip.source_frames.tolist() == [1, 2, 4, 5, 7]
    assert clip.ranks.tolist() == [0, 1, 2, 3, 4]
    assert any("1 black" in text for text in clip.problems)
    assert any("2 frames that repeat" in text for text in clip.problems)
    np.testing.assert_array_equal(clip.frames[2], frames[2])


@pytest.mark.parametrize(
    ("frames", "message"),
    [
        ([noise_texture(0, 64)], "one frame"),
        ([noise_texture(0, 64)] * 4, "4 frames that all show the same"),
        ([np.zeros((64, 64, 3), np.uint8)] * 3, "3 black frames"),
    ],
)
def test_too_little_to_see_is_one_clear_line(tmp_path, frames, message):
    with pytest.raises(InputError, match=message) as caught:
        ingest(write_images(tmp_path / "d", frames))
    assert "\n" not in str(caught.value)


def test_not_a_video(tmp_path):
    (tmp_path / "clip.mp4").write_bytes(b"not a video at all" * 100)
    with pytest.raises(InputError, match="video"):
        ingest(tmp_path / "clip.mp4")


def test_damage_in_the_middle_is_told_and_the_rest_is_used(tmp_path):
    rng = np.random.default_rng(0)
    path = tmp_path / "clip.mkv"
    write_video(path, rng.integers(0, 256, (24, 48, 64, 3)).astype(np.uint8), 24, crf=30)
    content = path.read_bytes()
    middle = len(content) // 2
    path.write_bytes(content[:middle] + b"\xa5" * 3000 + content[middle + 3000 :])
    clip = ingest(path)
    assert 4 <= len(clip) < 24
    assert clip.problems


def test_a_broken_image_is_left_out_and_told(tmp_path):
    frames, _, _ = sliding_patch(5)
    folder = write_images(tmp_path / "d", frames)
    (folder / "images" / "002.png").write_bytes((folder / "images" / "002.png").read_bytes()[:500])
    write_png(folder / "images" / "003.png", frames[3][:100])
    clip = ingest(folder)
    assert clip.source_frames.tolist() == [0, 1, 4]
    assert sum("002.png" in text or "003.png" in text for text in clip.problems) == 2


def test_masks_follow_their_frames(tmp_path):
    frames, masks, _ = sliding_patch(5)
    clip = ingest(write_images(tmp_path / "d", frames, [masks[0], None, masks[2], masks[3], None]))
    assert clip.masked.tolist() == [True, False, True, True, False]
    np.testing.assert_array_equal(clip.masks[2] >= 128, masks[2])
    assert not clip.masks[1].any()


def test_masks_of_another_shape_are_refused_and_of_another_size_resized(tmp_path):
    frames, masks, _ = sliding_patch(3)
    with pytest.raises(InputError, match="a mask of 200x150"):
        ingest(write_images(tmp_path / "wrong", frames, [mask[:, :150] for mask in masks]))
    clip = ingest(write_images(tmp_path / "half", frames, [mask[::2, ::2] for mask in masks]))
    overlap = ((clip.masks >= 128) & masks).sum() / ((clip.masks >= 128) | masks).sum()
    assert overlap > 0.95
    assert any("100x75" in text for text in clip.problems)


def test_alpha_is_kept_and_laid_over_the_background(tmp_path):
    frames, masks, _ = sliding_patch(3)
    rgba = np.concatenate([frames, masks[..., None].astype(np.uint8) * 255], -1)
    clip = ingest(write_images(tmp_path / "d", rgba))
    np.testing.assert_array_equal(clip.alpha > 0, masks)
    assert not clip.frames[~masks].any()
    np.testing.assert_array_equal(clip.frames[masks], frames[masks])


def test_the_cache_is_by_content_and_survives_damage(tmp_path):
    frames, _, _ = sliding_patch(4)
    source, work = write_images(tmp_path / "d", frames), tmp_path / "work"
    calls = []
    first = ingest(source, work=work, progress=lambda *call: calls.append(call))
    assert calls
    calls.clear()
    again = ingest(source, work=work, progress=lambda *call: calls.append(call))
    assert calls == []
    assert again.key == first.key
    assert isinstance(again.frames, np.memmap)
    np.testing.assert_array_equal(again.frames, ingest(source).frames)
    (stored,) = work.iterdir()
    whole = (stored / "frames.npy").read_bytes()
    (stored / "frames.npy").write_bytes(whole[: len(whole) // 2])
    np.testing.assert_array_equal(ingest(source, work=work).frames, frames)
    assert ingest(source, IngestSettings(max_side=50), work=work).key != first.key
    write_png(source / "images" / "001.png", frames[0] // 2)
    assert ingest(source, work=work).key != first.key


def test_a_write_that_fails_leaves_nothing(tmp_path, monkeypatch):
    frames, _, _ = sliding_patch(3)
    source = write_images(tmp_path / "d", frames)

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(InputError, match=r"No space left|folder that exists"):
        ingest(source, work=tmp_path / "work")
    assert list((tmp_path / "work").iterdir()) == []


def test_a_work_folder_that_is_a_file(tmp_path):
    (tmp_path / "work").write_text("")
    with pytest.raises(InputError, match="work folder"):
        StageCache(tmp_path / "work")


def test_masks_of_the_caller(tmp_path):
    frames, masks, _ = sliding_patch(3)
    clip = ingest(write_images(tmp_path / "d", frames))
    marked = with_masks(clip, masks.astype(np.uint8) * 255)
    assert marked.masked.all()
    assert marked.key != clip.key
    with pytest.raises(InputError, match="3 masks of 200x150"):
        with_masks(clip, np.zeros((2, 150, 200), np.uint8))


def test_focal_length_from_exif(tmp_path):
    from PIL import Image

    frames, _, _ = sliding_patch(2)
    exif = Image.Exif()
    exif.get_ifd(0x8769)[0xA405] = 27
    for k in range(2):
        Image.fromarray(frames[k]).save(tmp_path / f"{k}.jpg", exif=exif, quality=95)
    assert focal_35mm(tmp_path / "0.jpg") == 27
    assert ingest(tmp_path).focal_pixels == pytest.approx(27 / 36 * 200)
    write_png(tmp_path / "plain.png", frames[0])
    assert focal_35mm(tmp_path / "plain.png") is None


@settings(deadline=None, max_examples=60)
@given(st.lists(st.floats(0, 5, width=32), min_size=2, max_size=80), st.integers(2, 40))
def test_selection_keeps_ends_order_and_number(motion, count):
    chosen = evenly_in_motion(np.array(motion, np.float32), count)
    assert len(chosen) <= max(count, 2)
    assert chosen[0] == 0
    assert chosen[-1] == len(motion) - 1
    assert (np.diff(chosen) > 0).all()
    if len(motion) <= count:
        assert len(chosen) == len(motion)


def test_selection_spends_its_frames_where_things_move():
    motion = np.concatenate([np.full(50, 0.1), np.full(50, 2.0)]).astype(np.float32)
    chosen = evenly_in_motion(motion, 20)
    assert (chosen < 50).sum() < (chosen >= 50).sum() / 2
    assert (chosen < 50).sum() >= 2


def test_frames_with_masks_are_preferred():
    marked = np.zeros(40, bool)
    marked[[0, 9, 12, 31]] = True
    chosen = np.array([0, 10, 20, 30, 39])
    assert nearest_marked(chosen, marked).tolist() == [0, 9, 20, 31, 39]
    assert nearest_marked(chosen, np.zeros(40, bool)).tolist() == chosen.tolist()


def test_settings_are_checked():
    with pytest.raises(InputError, match="max_frames"):
        replace(IngestSettings(), max_frames=1)


def test_more_frames_are_kept_the_more_they_differ(tmp_path):
    frames, _, _ = sliding_patch(12)
    folder = write_images(tmp_path / "d", frames)
    everything = ingest(folder)
    step = float(everything.motion[:-1].mean())
    assert len(ingest(folder, IngestSettings(enough_frames=4, motion_percent=100.0))) == 4
    assert len(ingest(folder, IngestSettings(enough_frames=4, motion_percent=0.9 * step))) == 12
    half = ingest(folder, IngestSettings(enough_frames=4, motion_percent=2 * step))
    assert 6 <= len(half) <= 7
    np.testing.assert_array_equal(half.ranks, half.source_frames)
    np.testing.assert_allclose(half.motion[:-1].sum(), everything.motion[:-1].sum(), rtol=1e-5)


@given(count=st.integers(2, 300), step=st.floats(0.01, 5), enough=st.integers(2, 100), most=st.integers(100, 200))
def test_what_is_needed_is_between_enough_and_most(count, step, enough, most):
    motion = np.append(np.ones(count - 1), 0).astype(np.float32)
    wanted = needed(motion, step, enough, most)
    assert enough <= wanted <= most
    if enough < wanted < most:
        # Neighbours are no more than a step apart, and with one frame less they would be.
        assert (count - 1) / (wanted - 1) <= step * 1.0001 < (count - 1) / (wanted - 2) * 1.001
    assert needed(motion, 0.0, enough, most) == most


def test_a_part_of_a_clip_is_a_clip(tmp_path):
    frames, masks, _ = sliding_patch(9)
    clip = ingest(write_images(tmp_path / "d", frames, [*masks[:5], None, None, None, masks[8]]))
    rows = np.array([0, 3, 4, 8])
    part = clip.part(rows)
    assert len(part) == 4
    np.testing.assert_array_equal(part.frames, frames[rows])
    np.testing.assert_array_equal(part.times, clip.times[rows])
    assert part.masked.all()
    assert part.source_frames.tolist() == part.ranks.tolist() == rows.tolist()
    np.testing.assert_allclose(
        part.motion, [clip.motion[:3].sum(), clip.motion[3], clip.motion[4:8].sum(), 0], rtol=1e-5
    )
    assert len(part.camera_ids) == 4
    assert part.keyframes.max() < 4
    assert len({clip.key, part.key, clip.part(rows[1:]).key}) == 3


@pytest.mark.skipif(os.name != "posix", reason="counts blocks")
def test_mapped_files_have_no_holes_for_which_a_full_disk_would_have_no_room(tmp_path):
    array = mapped_array(tmp_path / "a.npy", np.dtype(np.float16), (40, 100, 60))
    status = (tmp_path / "a.npy").stat()
    assert status.st_blocks * 512 >= status.st_size > array.nbytes == 40 * 100 * 60 * 2
    array[:] = 3
    array.flush()
    assert (np.load(tmp_path / "a.npy") == 3).all()


@pytest.mark.skipif(os.name != "posix", reason="needs a limit on files")
@pytest.mark.parametrize("stage", [ingest, compute_flow])
def test_no_room_for_a_mapped_file_is_said_in_a_line(tmp_path, monkeypatch, stage):
    frames, _, _ = sliding_patch(4)
    write_video(tmp_path / "clip.mp4", frames, 24)
    source = tmp_path / "clip.mp4" if stage is ingest else ingest(tmp_path / "clip.mp4")

    def full(*_) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "posix_fallocate", full)
    with pytest.raises(StorageError, match="expected room for the work files, got No space left on device"):
        stage(source, work=tmp_path / "work")
    assert list((tmp_path / "work").iterdir()) == []


def test_an_array_that_was_written_in_part_is_said_in_words(tmp_path, monkeypatch):
    def half(*_, **__) -> None:
        raise OSError("1000 requested and 400 written")  # What numpy.ndarray.tofile says.

    monkeypatch.setattr(np, "save", half)
    with pytest.raises(StorageError, match="got 1000 requested and 400 written"):
        StageCache(tmp_path).store("a", "0", {}, {"x": np.zeros(9)})
