"""Images of a fit: premultiplied pixels, sizes, crops, and data sets that cannot be fitted."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from recon4d.core import InputError
from recon4d.data import Dataset, View, write_png
from recon4d.render import rasterize
from recon4d.train.frames import Frames, crop_camera, load_frames
from tests.train.moving import camera, subject


def test_targets_are_the_images_over_a_background(dataset: Dataset, frames: Frames):
    background = torch.tensor([0.2, 0.7, 0.4])
    view = dataset.split("train")[5]
    seen_from, image, mask = frames.levels[1][5].target(background, whole=True)
    assert (seen_from.width, seen_from.height) == (48, 48)
    # Half a level of rounding in colour and mask each.
    np.testing.assert_allclose(image.numpy(), view.load_rgb((0.2, 0.7, 0.4)), atol=1.01 / 255)
    np.testing.assert_array_equal(mask[..., 0].numpy(), view.load_mask())


def test_crops_are_parts_of_the_whole(frames: Frames):
    background = torch.tensor([1.0, 0.0, 0.5])
    for level in frames.levels.values():
        frame = level[3]
        x, y, width, height = frame.box
        whole, part = (frame.target(background, whole=whole) for whole in (True, False))
        assert width * height < frame.camera.width * frame.camera.height
        for full, cropped in zip(whole[1:], part[1:], strict=True):
            assert torch.equal(full[y : y + height, x : x + width], cropped)
        # Nothing of the subject is left out.
        assert float(whole[2].sum()) == pytest.approx(float(part[2].sum()))


def test_crop_cameras_see_the_same():
    state, seen_from = subject().at(0.3), camera(0.4, 0.2, 40)
    box = (7, 3, 20, 31)
    whole, part = rasterize(state, seen_from), rasterize(state, crop_camera(seen_from, box))
    torch.testing.assert_close(part.color, whole.color[3:34, 7:27], atol=1e-5, rtol=0)


def test_small_images_are_means(frames: Frames):
    full, half = frames.levels[1][2], frames.levels[2][2]
    assert half.pixels.shape == (24, 24, 4)
    mean = full.pixels.float().reshape(24, 2, 24, 2, 4).mean((1, 3))
    assert float((half.pixels.float() - mean).abs().max()) <= 0.5
    assert torch.equal(half.camera.K[:2], full.camera.K[:2] / 2)


def test_the_fingerprint_knows_pixels_cameras_and_times(dataset: Dataset, frames: Frames, tmp_path: Path):
    views = list(dataset.split("train"))
    assert load_frames(views[::-1], []).fingerprint == frames.fingerprint
    assert load_frames([replace(views[0], time=0.01), *views[1:]], []).fingerprint != frames.fingerprint
    assert load_frames([replace(views[0], camera=views[1].camera), *views[1:]], []).fingerprint != frames.fingerprint
    pixels = views[0].load_image().copy()
    pixels[24, 24, 0] ^= 1
    write_png(tmp_path / "changed.png", pixels)
    changed = replace(views[0], image_path=tmp_path / "changed.png")
    assert load_frames([changed, *views[1:]], []).fingerprint != frames.fingerprint


def test_masks_beside_opaque_images(tmp_path: Path):
    color = np.full((6, 6, 3), 200, np.uint8)
    mask = np.zeros((6, 6), np.uint8)
    mask[2:4, 1:5] = 255
    write_png(tmp_path / "a.png", color)
    write_png(tmp_path / "mask.png", mask)
    view = View("a", "train", tmp_path / "a.png", 0.0, camera(0, 0, 6), mask_path=tmp_path / "mask.png")
    pixels = load_frames([view], []).levels[1][0].pixels.numpy()
    np.testing.assert_array_equal(pixels[..., 3], mask)
    np.testing.assert_array_equal(pixels[..., 0], np.where(mask > 0, 200, 0))


def test_what_cannot_be_fitted(tmp_path: Path):
    write_png(tmp_path / "opaque.png", np.full((6, 6, 3), 9, np.uint8))
    write_png(tmp_path / "clear.png", np.zeros((6, 6, 4), np.uint8))
    seen_from = camera(0, 0, 6)
    with pytest.raises(InputError, match="expected at least one image"):
        load_frames([], [])
    with pytest.raises(InputError, match="expected a camera"):
        load_frames([View("a", "train", tmp_path / "clear.png")], [])
    with pytest.raises(InputError, match=r"opaque\.png: expected transparency or a mask"):
        load_frames([View("a", "train", tmp_path / "opaque.png", 0.0, seen_from)], [])
    with pytest.raises(InputError, match=r"clear\.png: expected a mask with the subject in it"):
        load_frames([View("a", "train", tmp_path / "clear.png", 0.0, seen_from)], [])
