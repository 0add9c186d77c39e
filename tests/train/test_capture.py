"""What is known of a video: wrong captures in one line, data sets with poses, and the fingerprint."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from recon4d.core import InputError
from recon4d.data import Dataset, View, write_png
from recon4d.train import Capture, capture_from_dataset
from recon4d.train.capture import is_subject
from tests.train.moving import camera


def tiny(**changes: Any) -> Capture:
    """Three frames of one object."""
    given: dict[str, Any] = {
        "images": [np.full((6, 6, 3), 40 * i, np.uint8) for i in range(3)],
        "masks": [[np.full((6, 6), 255, np.uint8)] * 3],
        "times": (0.0, 0.5, 1.0),
        "cameras": tuple(camera(0.1 * i, 0, 6) for i in range(3)),
        "fitted": (True, False, True),
    }
    return Capture(**(given | changes))


def test_wrong_captures_say_what_is_wrong(monkeypatch: pytest.MonkeyPatch):
    assert len(tiny()) == 3
    with pytest.raises(InputError, match="Capture: expected at least one image to fit, got none"):
        tiny(images=[], masks=[[]], times=(), cameras=(), fitted=())
    with pytest.raises(InputError, match=r"Capture\.times: expected one for each of the 3 images, got 2\."):
        tiny(times=(0.0, 0.5))
    with pytest.raises(InputError, match=r"Capture\.cameras: expected one for each of the 3 images, got 2\."):
        tiny(cameras=tiny().cameras[:2])
    with pytest.raises(InputError, match=r"Capture\.masks\[1\]: expected one for each of the 3 images, got 1\."):
        tiny(masks=[*tiny().masks, tiny().masks[0][:1]])
    with pytest.raises(InputError, match=r"Capture\.fitted: expected one for each of the 3 images, got 2\."):
        tiny(fitted=(True, True))
    with pytest.raises(InputError, match=r"Capture\.times: expected times that never fall"):
        tiny(times=(0.0, 1.0, 0.5))
    with pytest.raises(InputError, match=r"Capture\.fitted: expected frames to fit"):
        tiny(fitted=(False,) * 3)
    with monkeypatch.context() as patch:
        # Annotations, which are checked here, know the kinds too.
        patch.setattr("recon4d.train.capture.BACKGROUND_KINDS", ("none", "static"))
        with pytest.raises(InputError, match=r"Capture\.background.*got 'camera'"):
            tiny(background="camera")
    with pytest.raises(InputError, match=r"Capture\.background.*no objects"):
        tiny(masks=[])
    with pytest.raises(InputError, match="Capture frame 1: expected an image, a camera, masks and depth of one size"):
        tiny(cameras=(tiny().cameras[0], camera(0.1, 0, 8), tiny().cameras[2]))
    with pytest.raises(InputError, match=r"Capture\.point_colors: expected one colour for each point"):
        tiny(point_colors=np.zeros((3, 3), np.float32))


def test_frames_may_share_a_time_and_a_still_scene_needs_no_object():
    assert tiny(times=(0.0, 0.0, 1.0)).times == (0.0, 0.0, 1.0)
    for kind in ("static", "camera"):
        assert len(tiny(masks=[], background=kind)) == 3


def test_the_subject_is_what_is_more_than_half_covered():
    mask = np.array([[0, 127, 128, 255]], np.uint8)
    assert is_subject(mask).tolist() == [[False, False, True, True]]


def test_a_data_set_is_a_capture_of_one_object(dataset: Dataset, capture: Capture):
    views = dataset.split("train")
    assert len(capture) == len(views) == 24
    assert list(capture.times) == sorted(view.time for view in views)
    assert all(capture.fitted)
    assert capture.background == "none"
    assert not capture.refine_cameras
    assert len(capture.masks) == 1
    assert capture.source["data_format"] == dataset.format
    view = views[5]
    np.testing.assert_array_equal(capture.images[5], view.load_image()[..., :3])
    np.testing.assert_array_equal(capture.masks[0][5], view.load_image()[..., 3])
    assert view.camera is not None
    torch.testing.assert_close(capture.cameras[5].cam_from_world, view.camera.cam_from_world.float())
    assert len(capture_from_dataset(dataset, "test")) == 4


def test_the_order_of_a_data_set_is_that_of_time(dataset: Dataset, capture: Capture):
    backwards = replace(dataset, views=dataset.views[::-1])
    assert capture_from_dataset(backwards).fingerprint() == capture.fingerprint()


def changed(arrays: Any, index: int) -> list[np.ndarray]:
    copies = [np.array(array) for array in arrays]
    copies[index].flat[7] ^= 1
    return copies


def test_the_fingerprint_knows_everything_that_a_fit_sees(two: Capture):
    prints = [two.fingerprint()]
    assert replace(two).fingerprint() == prints[0]
    assert two.points is not None
    assert two.tracks is not None
    tracks = two.tracks
    others = [
        replace(two, images=changed(two.images, 3)),
        replace(two, masks=[two.masks[0], changed(two.masks[1], 3)]),
        replace(two, masks=two.masks[::-1]),
        replace(two, times=(*two.times[:-1], 1.01)),
        replace(two, cameras=(two.cameras[1], *two.cameras[1:])),
        replace(two, fitted=(False, *two.fitted[1:])),
        replace(two, background="camera"),
        replace(two, refine_cameras=True),
        replace(two, points=None),
        replace(two, points=two.points + 1),
        replace(two, point_colors=two.points * 0),
        replace(two, tracks=None),
        replace(two, tracks=replace(tracks, positions=tracks.positions + 1)),
        replace(two, tracks=replace(tracks, ids=tracks.ids[::-1].copy())),
        replace(two, tracks=replace(tracks, frames=np.sort(tracks.frames // 2))),
    ]
    prints += [other.fingerprint() for other in others]
    assert len(set(prints)) == len(prints)


def test_masks_beside_opaque_images(tmp_path: Path):
    mask = np.zeros((6, 6), np.uint8)
    mask[2:4, 1:5] = 255
    write_png(tmp_path / "a.png", np.full((6, 6, 3), 200, np.uint8))
    write_png(tmp_path / "mask.png", mask)
    view = View("a", "train", tmp_path / "a.png", 0.0, camera(0, 0, 6), mask_path=tmp_path / "mask.png")
    made = capture_from_dataset(Dataset(tmp_path, "blender", "images", (view,)))
    np.testing.assert_array_equal(made.masks[0][0], mask)
    assert (made.images[0] == 200).all()


def test_data_sets_that_cannot_be_fitted(tmp_path: Path):
    write_png(tmp_path / "opaque.png", np.full((6, 6, 3), 9, np.uint8))
    write_png(tmp_path / "clear.png", np.zeros((6, 6, 4), np.uint8))
    write_png(tmp_path / "small.png", np.full((3, 6), 255, np.uint8))
    seen_from = camera(0, 0, 6)

    def refuse(match: str, *views: View) -> None:
        with pytest.raises(InputError, match=match):
            capture_from_dataset(Dataset(tmp_path, "blender", "images", views))

    opaque, clear = tmp_path / "opaque.png", tmp_path / "clear.png"
    refuse("expected at least one image")
    refuse("expected a camera", View("a", "train", clear))
    refuse(r"opaque\.png: expected transparency or a mask", View("a", "train", opaque, 0.0, seen_from))
    refuse(r"clear\.png: expected a mask with the subject in it", View("a", "train", clear, 0.0, seen_from))
    small = View("a", "train", opaque, 0.0, seen_from, mask_path=tmp_path / "small.png")
    refuse(r"small\.png: expected 6x6 pixels, .*, got 6x3", small)
