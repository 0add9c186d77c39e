"""Camera paths: what each kind promises."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from recon4d.synthetic.trajectories import CAMERA_KINDS, Lens, angular_speeds, hemisphere_cameras, train_cameras

LENS = Lens(80, 60, 40.0, (0.1, -0.2, 0.3), 3.0)
SECONDS = np.arange(90) / 30


def _away(cameras: list) -> np.ndarray:
    return np.stack([c.center_in_world.numpy() for c in cameras]) - LENS.middle


@pytest.mark.parametrize("kind", CAMERA_KINDS)
def test_cameras_look_at_the_middle_from_about_the_distance_and_repeat(kind: str) -> None:
    paths = train_cameras(kind, LENS, SECONDS, np.random.default_rng(4))
    again = train_cameras(kind, LENS, SECONDS, np.random.default_rng(4))
    for cameras, others in zip(paths, again, strict=True):
        assert len(cameras) == len(SECONDS)
        np.testing.assert_allclose(np.linalg.norm(_away(cameras), axis=-1), 3.0, rtol=0.08)
        for camera, other in zip(cameras, others, strict=True):
            assert torch.equal(camera.cam_from_world, other.cam_from_world)
            pixel, depth = camera.project(torch.tensor([LENS.middle], dtype=torch.float64))
            assert float(depth[0]) > 0
            assert np.linalg.norm(pixel[0].numpy() - [40, 30]) < (3.5 if kind == "handheld" else 1e-6)


def test_an_orbit_goes_around_evenly() -> None:
    (cameras,) = train_cameras("orbit", LENS, SECONDS, np.random.default_rng(0), turns=1.0)
    azimuth = np.unwrap(np.arctan2(*_away(cameras).T[[1, 0]]))
    np.testing.assert_allclose(np.diff(azimuth), 2 * np.pi / 90, rtol=1e-9)


def test_a_hand_moves_continuously_and_never_rests() -> None:
    (cameras,) = train_cameras("handheld", LENS, SECONDS, np.random.default_rng(1))
    speeds = angular_speeds(cameras, SECONDS, LENS.middle)
    assert speeds.min() > 0.1
    assert speeds.max() < 90
    rotations = np.stack([c.cam_from_world[:3, :3].numpy() for c in cameras])
    turned = np.degrees(np.arccos(np.clip((np.einsum("tij,tij->t", rotations[1:], rotations[:-1]) - 1) / 2, -1, 1)))
    assert turned.max() < 4
    # Twice the frame rate halves the steps: a path, not noise.
    dense = np.arange(180) / 60
    (finer,) = train_cameras("handheld", LENS, dense, np.random.default_rng(1))
    np.testing.assert_allclose(_away(finer)[::2], _away(cameras), atol=1e-9)


def test_a_teleporting_camera_jumps_and_a_static_one_does_not() -> None:
    (jumping,) = train_cameras("teleport", LENS, SECONDS, np.random.default_rng(2))
    (still,) = train_cameras("static", LENS, SECONDS, np.random.default_rng(2))
    assert np.median(angular_speeds(jumping, SECONDS, LENS.middle)) > 500
    assert angular_speeds(still, SECONDS, LENS.middle).max() == 0


def test_a_rig_is_several_still_cameras_around_the_subject() -> None:
    paths = train_cameras("rig", LENS, SECONDS, np.random.default_rng(3), count=5)
    assert len(paths) == 5
    assert all(angular_speeds(cameras, SECONDS, LENS.middle).max() == 0 for cameras in paths)
    azimuth = np.sort([np.degrees(np.arctan2(*_away(c[:1])[0, [1, 0]])) for c in paths])
    np.testing.assert_allclose(np.diff(azimuth), 72, atol=1e-6)


def test_held_out_cameras_cover_the_upper_hemisphere_evenly() -> None:
    away = _away(hemisphere_cameras(LENS, 3000, np.random.default_rng(0))) / 3
    low, high = np.sin(np.radians(-5)), np.sin(np.radians(75))
    assert away[:, 2].min() >= low - 1e-9
    assert away[:, 2].max() <= high + 1e-9
    # Uniform on the sphere means uniform in height.
    counts = np.histogram(away[:, 2], 5, (low, high))[0]
    assert counts.min() > 500
    assert np.abs(away[:, :2].mean(0)).max() < 0.05


def test_angular_speed_of_a_known_motion() -> None:
    cameras = [LENS.camera(a, 0.0) for a in (0.0, 3.0, 9.0)]
    np.testing.assert_allclose(angular_speeds(cameras, np.array([0.0, 0.1, 0.3]), LENS.middle), [30, 30])


def test_aim_and_roll_turn_the_picture_the_way_they_say() -> None:
    middle = torch.tensor([LENS.middle], dtype=torch.float64)
    above = middle + torch.tensor([[0, 0, 0.5]], dtype=torch.float64)
    right, down, rolled = (
        LENS.camera(20, 10, **kw) for kw in ({"aim": (5.0, 0.0)}, {"aim": (0.0, 5.0)}, {"roll": 20.0})
    )
    # The line of sight moves right or down, so what was in the middle moves left or up.
    assert float(right.project(middle)[0][0, 0]) < 35
    assert float(down.project(middle)[0][0, 1]) < 25
    assert float(rolled.project(above)[0][0, 0]) > 41
