"""Masks: each way of finding the subject against the truth, and masks that cannot be right."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from recon4d.core import InputError
from recon4d.data.motion import MaskSettings, find_masks, ingest, with_masks
from recon4d.data.motion.mask_images import plain_score
from tests.data.moving_scene import box_room, disc_on_green, noise_texture, sliding_patch, walking_cameras
from tests.data.test_motion_ingest import write_images


def overlap(masks: np.ndarray, truth: np.ndarray) -> float:
    found = masks >= 128
    return float(np.mean([(a & b).sum() / (a | b).sum() for a, b in zip(found, truth, strict=True)]))


def test_a_green_background_with_a_hole(tmp_path):
    frames, truth = disc_on_green()
    result = find_masks(ingest(write_images(tmp_path / "d", frames)))
    assert result.health.method == "plain"
    assert overlap(result.masks, truth) > 0.93
    assert result.health.confident
    assert result.health.coverage == pytest.approx(truth.mean(), rel=0.05)


def test_a_textured_border_is_not_plain():
    assert plain_score(noise_texture(0, 128))[1] < 0.8
    green, _ = disc_on_green(1)
    assert plain_score(green[0])[1] > 0.98


def test_a_moving_subject(tmp_path):
    frames, truth, _ = sliding_patch(10)
    calls = []
    clip = ingest(write_images(tmp_path / "d", frames))
    result = find_masks(clip, progress=lambda *call: calls.append(call))
    assert result.health.method == "motion"
    assert overlap(result.masks, truth) > 0.8
    assert result.health.contrast > 0.35
    assert result.health.followed > 0.8
    assert any("motion alone" in text for text in result.health.warnings)
    assert calls[-1][1] == calls[-1][2]
    np.testing.assert_array_equal(result.masks, find_masks(clip).masks)


def test_motion_is_looked_at_in_some_frames_and_masks_are_carried_to_all(tmp_path):
    frames, truth, _ = sliding_patch(16)
    clip = ingest(write_images(tmp_path / "d", frames))
    result = find_masks(clip, MaskSettings(motion_frames=8))
    assert result.masks.shape == clip.frames.shape[:3]
    assert overlap(result.masks, truth) > 0.75
    assert result.health.empty_frames == 0


def test_parallax_is_not_taken_for_a_subject(tmp_path):
    frames = box_room(walking_cameras(8, degrees=24))
    clip = ingest(write_images(tmp_path / "d", frames))
    result = find_masks(clip)
    assert result.masks is None
    assert result.health.method == "none"
    assert not result.health.confident
    assert "give a mask of one frame" in result.health.warnings[0]


def test_given_masks_are_carried_to_frames_without(tmp_path):
    frames, truth, _ = sliding_patch(8)
    given = [truth[t] if t in (0, 4) else None for t in range(8)]
    result = find_masks(ingest(write_images(tmp_path / "d", frames, given)))
    assert result.health.method == "given"
    assert "2 of 8" in result.health.reason
    np.testing.assert_array_equal(result.masks[4] >= 128, truth[4])
    assert overlap(result.masks, truth) > 0.85


def test_alpha_is_the_mask(tmp_path):
    frames, truth, _ = sliding_patch(3)
    rgba = np.concatenate([frames, truth[..., None].astype(np.uint8) * 255], -1)
    result = find_masks(ingest(write_images(tmp_path / "d", rgba)))
    assert result.health.method == "alpha"
    np.testing.assert_array_equal(result.masks >= 128, truth)


def test_masks_of_nothing_or_everything(tmp_path):
    frames, truth, _ = sliding_patch(4)
    clip = ingest(write_images(tmp_path / "d", frames))
    with pytest.raises(InputError, match="mark nothing"):
        find_masks(with_masks(clip, np.zeros_like(clip.frames[..., 0])))
    with pytest.raises(InputError, match="mark everything"):
        find_masks(with_masks(clip, np.full_like(clip.frames[..., 0], 255)))
    some = truth.astype(np.uint8) * 255
    some[1] = 0
    health = find_masks(with_masks(clip, some)).health
    assert health.empty_frames == 1
    assert not health.confident
    assert any("nothing is marked in 1 of 4" in text for text in health.warnings)


def test_ways_that_the_clip_has_nothing_for(tmp_path):
    frames, _, _ = sliding_patch(3)
    clip = ingest(write_images(tmp_path / "d", frames))
    for method, message in (("given", "masks with the clip"), ("alpha", "opaque")):
        with pytest.raises(InputError, match=message):
            find_masks(clip, MaskSettings(method=method))
    assert find_masks(clip, MaskSettings(method="none")).masks is None
    several = replace(clip, camera_ids=("a", "b", "a"))
    with pytest.raises(InputError, match="2 cameras"):
        find_masks(several, MaskSettings(method="motion"))
    assert find_masks(several).masks is None


def test_masks_are_cached_with_their_record(tmp_path):
    frames, _ = disc_on_green(4)
    clip = ingest(write_images(tmp_path / "d", frames))
    first = find_masks(clip, work=tmp_path / "work")
    calls = []
    again = find_masks(clip, work=tmp_path / "work", progress=lambda *call: calls.append(call))
    assert calls == []
    assert again.health == first.health
    np.testing.assert_array_equal(again.masks, first.masks)
