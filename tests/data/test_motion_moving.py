"""The second look: what moves against cameras that are known, and worlds in which nothing does."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from recon4d.core import InputError
from recon4d.data.motion import CameraHealth, CameraSolution, MovingSettings, find_masks, find_moving, ingest
from tests.data.moving_scene import HEIGHT, WIDTH, box_room, noise_texture, walking_cameras
from tests.data.test_motion_ingest import write_images

FRAMES = 10
SETTINGS = MovingSettings(gaps=(1, 2, 4))


def solution_of(cameras) -> CameraSolution:
    """The true cameras as if they had been solved, with points on the cube and the walls."""
    rng = np.random.default_rng(0)
    points = rng.uniform(-1, 1, (300, 3))
    points[np.arange(300), rng.integers(0, 3, 300)] = np.where(rng.random(300) < 0.5, -1.0, 1.0)
    points[100:] *= 6
    health = CameraHealth("auto", "scene", "for the test", (), None, "solved", 1.0, 30.0, True, ())
    return CameraSolution(
        tuple(cameras), np.ones(len(cameras), bool), points, np.arange(300, dtype=np.int32), np.zeros(300), health, "k"
    )


def with_walker(room, cameras) -> tuple[np.ndarray, np.ndarray]:
    """Pictures of the room with a textured board that faces the first camera and goes sideways and up before the cube.

    Returns:
        uint8 [T, H, W, 3] and where the board is, bool [T, H, W].
    """
    frames = room.copy()
    texture = noise_texture(40, tint=(1.0, 0.5, 0.4))
    seen = np.zeros(frames.shape[:3], bool)
    for t, camera in enumerate(cameras):
        origin, directions = camera.rays()
        o, d = origin.numpy(), directions.numpy()
        hit = o + d * ((-2.0 - o[1]) / d[..., 1])[..., None]
        x, z = hit[..., 0] + 0.7 - 0.14 * t, hit[..., 2] - 0.5 * np.sin(0.7 * t)
        seen[t] = (np.abs(x) < 0.5) & (np.abs(z) < 0.45)
        u, v = ((np.stack([x, z])[:, seen[t]] + 0.5) * 200).astype(int)
        frames[t][seen[t]] = texture[v, u]
    return frames, seen


@pytest.fixture(scope="module")
def still():
    cameras = walking_cameras(FRAMES, degrees=12)
    return box_room(cameras), cameras


@pytest.fixture(scope="module")
def walker(still, tmp_path_factory):
    cameras = still[1]
    frames, truth = with_walker(*still)
    return ingest(write_images(tmp_path_factory.mktemp("walker") / "d", frames)), solution_of(cameras), truth


def test_a_walker_before_parallax(walker, tmp_path):
    clip, solution, truth = walker
    assert 0.02 < truth.mean() < 0.3
    assert find_masks(clip).masks is None
    calls = []
    found = find_moving(clip, solution, SETTINGS, work=tmp_path, progress=lambda *call: calls.append(call))
    assert found.masks is not None
    assert found.masks.shape == (FRAMES, HEIGHT, WIDTH)
    both = (found.masks >= 128) & truth
    either = (found.masks >= 128) | truth
    assert np.mean(both.sum((1, 2)) / either.sum((1, 2))) > 0.6
    assert found.health.method == "moving against the solved cameras"
    assert found.health.steadiness > 0.65
    assert found.health.contrast > 0.35
    assert calls[-1] == ("moving", 2 * FRAMES, 2 * FRAMES)
    again = find_moving(clip, solution, SETTINGS, work=tmp_path, progress=lambda *call: calls.append(("again",)))
    assert ("again",) not in calls
    assert again.health == found.health
    np.testing.assert_array_equal(again.masks, found.masks)


def test_looking_at_some_of_the_frames_finds_it_in_all(walker):
    clip, solution, truth = walker
    found = find_moving(clip, solution, MovingSettings(gaps=(1, 2, 4), frames=FRAMES - 2))
    assert found.masks is not None
    assert found.masks.shape == (FRAMES, HEIGHT, WIDTH)
    both, either = ((found.masks >= 128) & truth).sum((1, 2)), ((found.masks >= 128) | truth).sum((1, 2))
    assert np.mean(both / either) > 0.5


def test_a_still_world(still, tmp_path):
    room, cameras = still
    clip = ingest(write_images(tmp_path / "d", room))
    found = find_moving(clip, solution_of(cameras), SETTINGS, work=tmp_path / "w")
    assert found.masks is None
    assert found.health.method == "none"
    assert "nothing clearly moves" in found.health.reason
    again = find_moving(clip, solution_of(cameras), SETTINGS, work=tmp_path / "w")
    assert again.masks is None
    assert again.health == found.health


def test_what_cannot_be_looked_at(walker):
    clip, solution, _ = walker
    with pytest.raises(InputError, match="got 9"):
        find_moving(clip, replace(solution, cameras=solution.cameras[1:]))
    with pytest.raises(InputError, match="2 cameras"):
        find_moving(replace(clip, camera_ids=("a", "b") * (FRAMES // 2)), solution)
    with pytest.raises(InputError, match="at least one frame"):
        MovingSettings(gaps=(0, 2))
    unsolved = replace(
        solution,
        solved=np.zeros(FRAMES, bool),
        points=np.zeros((0, 3)),
        point_ids=np.zeros(0, np.int32),
        point_errors=np.zeros(0),
    )
    assert find_moving(clip, unsolved, SETTINGS).masks is None
