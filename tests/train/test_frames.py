"""Images of a fit: colours and coverage, sizes, several objects, crops."""

from __future__ import annotations

import platform
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
import torch

from recon4d.core import InputError
from recon4d.data import Dataset
from recon4d.render import rasterize
from recon4d.train import Capture
from recon4d.train.frames import Frames, crop_camera, load_frames, subject_box
from tests.train.moving import camera, subject


def test_targets_are_the_images_over_a_background(dataset: Dataset, frames: Frames):
    background = torch.tensor([0.2, 0.7, 0.4])
    view = dataset.split("train")[5]
    frame = frames.levels[1][5]
    box, image, coverage = frame.target(background, whole=True)
    assert box == (0, 0, 48, 48)
    # Half a level of rounding in colour and mask each.
    np.testing.assert_allclose(image.numpy(), view.load_rgb((0.2, 0.7, 0.4)), atol=1.01 / 255)
    np.testing.assert_allclose(coverage[..., 0].numpy(), view.load_mask(), atol=1e-6)
    torch.testing.assert_close(frame.mask(0, box), coverage)


def test_crops_are_parts_of_the_whole(frames: Frames):
    background = torch.tensor([1.0, 0.0, 0.5])
    for level in frames.levels.values():
        frame = level[3]
        x, y, width, height = frame.box
        whole, part = (frame.target(background, whole=whole) for whole in (True, False))
        assert part[0] == frame.box
        assert width * height < frame.camera.width * frame.camera.height
        for full, cropped in zip(whole[1:], part[1:], strict=True):
            assert torch.equal(full[y : y + height, x : x + width], cropped)
        # Nothing of the subject is left out.
        assert float(whole[2].sum()) == pytest.approx(float(part[2].sum()))


def test_crop_cameras_see_the_same():
    state, seen_from = subject().at(0.3), camera(0.4, 0.2, 40)
    whole, part = rasterize(state, seen_from), rasterize(state, crop_camera(seen_from, (7, 3, 20, 31)))
    torch.testing.assert_close(part.color, whole.color[3:34, 7:27], atol=1e-5, rtol=0)


def test_small_images_are_means(frames: Frames):
    full, half = frames.levels[1][2], frames.levels[2][2]
    assert half.pixels.shape == (24, 24, 4)
    for large, small in ((full.pixels, half.pixels), (full.masks[0][..., None], half.masks[0][..., None])):
        mean = large.float().reshape(24, 2, 24, 2, -1).mean((1, 3))
        assert float((small.float() - mean).abs().max()) <= 0.5
    assert torch.equal(half.camera.K[:2], full.camera.K[:2] / 2)


def test_only_fitted_frames_are_loaded(two: Capture):
    frames = load_frames(two, [2, 4])
    fitted = [i for i in range(len(two)) if two.fitted[i]]
    assert set(frames.levels) == {1, 2, 4}
    for level in frames.levels.values():
        assert [frame.index for frame in level] == fitted
        assert [frame.time for frame in level] == [two.times[i] for i in fitted]
    assert len(frames) == len(fitted)
    assert frames.times == [two.times[i] for i in fitted]


def test_before_a_background_images_stay_whole(two: Capture):
    frames = load_frames(two, [2])
    assert frames.objects == 2
    assert frames.background == "static"
    for factor, level in frames.levels.items():
        frame = level[4]
        size = 40 // factor
        assert frame.box == (0, 0, size, size)
        box, color, coverage = frame.target(torch.tensor([0.0, 1.0, 0.0]), whole=False)
        assert bool((coverage == 1).all())
        torch.testing.assert_close(color, frame.pixels[..., :3].float() / 255)
        assert frame.masks.shape == (2, size, size)
        for number in range(2):
            torch.testing.assert_close(frame.mask(number, box)[..., 0], frame.masks[number].float() / 255)
    index = frames.levels[1][4].index
    np.testing.assert_array_equal(frames.levels[1][4].pixels[..., :3].numpy(), two.images[index])
    np.testing.assert_array_equal(frames.levels[1][4].masks[1].numpy(), two.masks[1][index])


def test_before_nothing_the_objects_are_cut_out_together(two: Capture):
    frame = load_frames(replace(two, background="none"), []).levels[1][4]
    union = np.maximum(two.masks[0][frame.index], two.masks[1][frame.index])
    np.testing.assert_array_equal(frame.pixels[..., 3].numpy(), union)
    assert not frame.pixels[..., :3].numpy()[union == 0].any()
    assert frame.box == subject_box(torch.from_numpy(union))


def test_one_object_of_several(two: Capture):
    frame = load_frames(two, []).levels[1][4]
    for number in range(2):
        alone = frame.of_object(number)
        mask = two.masks[number][frame.index]
        np.testing.assert_array_equal(alone.pixels[..., 3].numpy(), mask)
        wanted = two.images[frame.index] * (mask[..., None] / 255)
        np.testing.assert_allclose(alone.pixels[..., :3].numpy(), wanted, atol=0.51)
        assert alone.masks.shape == (1, 40, 40)
        assert alone.box == subject_box(torch.from_numpy(mask))
        assert alone.box[2] < 40


def test_a_still_scene_has_no_masks(two: Capture):
    frames = load_frames(replace(two, masks=[]), [2])
    assert frames.objects == 0
    assert [level[0].masks.shape for level in frames.levels.values()] == [(0, 40, 40), (0, 20, 20)]


def test_boxes_have_a_margin_and_stay_inside():
    mask = torch.zeros(60, 80, dtype=torch.uint8)
    assert subject_box(mask) == (0, 0, 80, 60)
    mask[20:30, 30:70] = 9
    # 6 pixels at least, else 15 percent.
    assert subject_box(mask) == (24, 14, 52, 22)
    mask[59, 0] = 255
    assert subject_box(mask) == (0, 14, 80, 46)


def test_an_object_that_is_nowhere_to_be_seen(two: Capture):
    empty = [np.zeros_like(mask) for mask in two.masks[1]]
    only_kept_out = [mask if not used else 0 * mask for mask, used in zip(two.masks[1], two.fitted, strict=True)]
    for masks in (empty, only_kept_out):
        with pytest.raises(InputError, match="mask of object 2: expected a mask with the object in it"):
            load_frames(replace(two, masks=[two.masks[0], masks]), [])


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="the call is of glibc")
def test_frames_take_little_more_memory_than_their_pixels():
    """In a process of its own, where nothing else comes and goes."""
    lines = [
        "import numpy as np",
        "from recon4d.core import Camera",
        "from recon4d.train import Capture",
        "from recon4d.train.frames import load_frames",
        "def held():",
        "    lines = open('/proc/self/status').read().splitlines()",
        "    return next(int(line.split()[1]) for line in lines if line.startswith('RssAnon')) * 1024",
        "count, width, height = 60, 640, 360",
        "mask = np.zeros((height, width), np.uint8)",
        "mask[90:200, 100:300] = 255",
        "camera = Camera.look_at([4.0, 0.0, 1.0], [0.0, 0.0, 0.0], fov_y_degrees=38.0, width=width, height=height)",
        "capture = Capture(images=[np.full((height, width, 3), 99, np.uint8)] * count, masks=[[mask] * count],"
        " times=tuple(range(count)), cameras=(camera,) * count, fitted=(True,) * count, background='static')",
        "before = held()",
        "frames = load_frames(capture, [4, 2, 1])",
        "print((held() - before) / (count * width * height))",
    ]
    done = subprocess.run([sys.executable, "-c", "\n".join(lines)], capture_output=True, text=True, check=True)
    # Colour, coverage and one mask, at three sizes: 6.6 bytes.
    assert 5.0 < float(done.stdout) < 10.0
