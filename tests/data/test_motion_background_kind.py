"""What is outside the masks, for each way in which masks and cameras can have come about."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from recon4d.core import Camera
from recon4d.data.motion import (
    BackgroundMotion,
    CameraHealth,
    CameraSettings,
    CameraSolution,
    find_masks,
    ingest,
    solve_cameras,
    subject_background,
    with_masks,
)
from tests.data.moving_scene import box_room, disc_on_green, sliding_patch, walking_cameras
from tests.data.test_motion_ingest import write_images

STILL = BackgroundMotion(0.9, 0.0, 0.9, False, True)
MOVING = BackgroundMotion(0.9, 5.0, 0.5, False, False)
PLAIN = BackgroundMotion(0.0, 0.0, 0.0, True, False)


def solution(chosen: str, background: BackgroundMotion | None, cameras: tuple[Camera, ...]) -> CameraSolution:
    health = CameraHealth("auto", chosen, "", (), background, "solved", 1.0, 90.0, True, ())
    nothing = (np.zeros((0, 3)), np.zeros(0, np.int32), np.zeros(0))
    return CameraSolution(cameras, np.ones(len(cameras), bool), *nothing, health, "k")


@pytest.fixture(scope="module")
def patch(tmp_path_factory):
    """A textured clip with a still background, with its masks, and cameras that turn and that do not."""
    frames, truth, _ = sliding_patch(5)
    clip = ingest(write_images(tmp_path_factory.mktemp("patch") / "d", frames))
    masks = find_masks(with_masks(clip, truth.astype(np.uint8) * 255))
    walk = tuple(walking_cameras(len(clip)))
    return clip, masks, walk, (walk[0],) * len(clip)


@pytest.mark.parametrize(
    ("chosen", "background", "moves", "expected"),
    [
        ("scene", MOVING, True, "static"),
        ("rotation", MOVING, True, "static"),
        ("object", PLAIN, True, "none"),
        ("object", STILL, True, "camera"),
        ("object", MOVING, True, "none"),
        ("static", STILL, False, "static"),
        ("static", PLAIN, False, "none"),
        ("static", MOVING, False, "none"),
        ("given", MOVING, True, "static"),
        ("given", STILL, True, "camera"),
        ("given", STILL, False, "static"),
    ],
)
def test_it_follows_from_what_was_chosen(patch, chosen, background, moves, expected):
    clip, masks, walk, still = patch
    assert subject_background(clip, masks, solution(chosen, background, walk if moves else still)) == expected


def test_what_was_not_measured_is_looked_at(patch, tmp_path):
    clip, masks, walk, still = patch
    assert subject_background(clip, masks, solution("given", None, still)) == "static"
    moving = ingest(write_images(tmp_path / "d", box_room(walking_cameras(5, degrees=30))))
    marked = np.zeros(moving.frames.shape[:3], np.uint8)
    marked[:, 60:90, 80:120] = 255
    cube = find_masks(with_masks(moving, marked))
    assert subject_background(moving, cube, solution("given", None, walk)) == "static"
    assert subject_background(moving, cube, solution("static", None, still)) == "none"


def test_no_masks_alpha_and_plain(patch, tmp_path):
    clip, masks, walk, _ = patch
    assert subject_background(clip, replace(masks, masks=None), solution("object", MOVING, walk)) == "static"
    frames, _ = disc_on_green(4)
    green = ingest(write_images(tmp_path / "d", frames))
    found = find_masks(green)
    solved = solve_cameras(green, found.masks, CameraSettings(mode="static"))
    assert torch.equal(solved.cameras[0].K, solved.cameras[1].K)
    assert subject_background(green, found, solved) == "none"
