"""How far away a subject is put: by the floor at its feet, and before all that it hides."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from recon4d.pipeline import placing
from tests.pipeline.driving import CLIP, COUNT, TIMES, film, floor, pose, solved


def wall(distance: float) -> np.ndarray:
    """Points of a wall at so many units behind the world's origin."""
    x, z = np.meshgrid(np.linspace(-5, 5, 60), np.linspace(-3, 3, 40))
    return np.stack([x.ravel(), np.full(x.size, distance), z.ravel()], 1)


def true_depths(made) -> np.ndarray:
    middles = made.world_from_body[:, :3, 3]
    return np.array([float(c.project(m[None])[1]) for c, m in zip(made.cameras, middles, strict=True)])


def test_on_a_floor_the_depth_is_that_of_the_feet_or_a_little_less():
    made = film(80.0)
    frames, found = placing.depths(CLIP, made.masks, solved(made.cameras, points=floor()))
    np.testing.assert_array_equal(frames, np.arange(COUNT))
    ratio = found / true_depths(made)
    assert 0.85 < ratio.min() < ratio.max() < 1.03


def test_no_subject_is_behind_what_it_hides():
    made = film(80.0)
    near, far = (
        # The floor ends at the wall.
        placing.depths(CLIP, made.masks, solved(made.cameras, points=np.concatenate([
            floor()[floor()[:, 1] < distance], wall(distance)
        ])))[1]
        for distance in (-1.0, 3.0)
    )  # fmt: skip
    behind = np.array([float(c.project(torch.tensor([[0.0, -1.0, -0.2]], dtype=torch.float64))[1])
                       for c in made.cameras])  # fmt: skip
    assert (near < behind + 0.1).all()
    assert (far > near + 0.3).all()


def test_one_wrong_frame_does_not_move_it():
    made = film(80.0)
    spoiled = made.masks.copy()
    spoiled[20] = 0
    spoiled[20, :4, :4] = 255
    solution = solved(made.cameras, points=floor())
    good, bad = (placing.depths(CLIP, masks, solution)[1] for masks in (made.masks, spoiled))
    np.testing.assert_allclose(bad, good, rtol=0.03)


@pytest.mark.parametrize("points", [None, np.full((40, 3), 50.0)])
def test_where_nothing_tells_nothing_is_moved(points):
    made = film(80.0)
    solution = solved(made.cameras, points=points)
    assert len(placing.depths(CLIP, made.masks, solution)[0]) == 0
    assert placing.centred(CLIP, made.masks, solution) is solution
    assert placing.standing_path(CLIP, made.masks, solution) is None


def test_the_world_is_moved_to_the_subject_and_looks_the_same():
    made = film(80.0)
    solution = solved(made.cameras, points=floor())
    moved = placing.centred(CLIP, made.masks, solution)
    for before, after in zip(solution.cameras, moved.cameras, strict=True):
        for one, other in zip(
            before.project(torch.from_numpy(solution.points)),
            after.project(torch.from_numpy(moved.points)),
            strict=True,
        ):
            torch.testing.assert_close(one, other)
    x, y = (int(v) for v in moved.cameras[COUNT // 2].project(torch.zeros(1, 3, dtype=torch.float64))[0][0])
    assert made.masks[COUNT // 2, y, x] == 255
    assert moved.health is solution.health


def test_a_path_without_turning_goes_through_the_middles_of_the_masks():
    made = film(0.0)
    # From far enough to the sides that it is seen from different ones.
    cameras = []
    for k, camera in enumerate(made.cameras):
        angle = math.radians(60 * (0.5 - k / COUNT))
        cameras.append(replace(camera, cam_from_world=camera.cam_from_world @ pose([0, 0, angle], [0, 0, 0])))
    made = replace(made, cameras=cameras)
    masks = []
    for camera, body in zip(cameras, made.world_from_body, strict=True):
        x, y = (int(v) for v in camera.project(body[None, :3, 3])[0][0])
        mask = np.zeros(made.masks.shape[1:], np.uint8)
        mask[y - 6 : y + 7, x - 5 : x + 6] = 255
        masks.append(mask)
    path = placing.standing_path(CLIP, np.stack(masks), solved(cameras, points=floor()))
    assert path is not None
    rotations, places = path.at(torch.from_numpy(TIMES))
    assert (rotations[:, 0].abs() > 0.9999).all()
    for k, camera in enumerate(cameras):
        middle = np.argwhere(masks[k]).mean(0)[::-1] + 0.5
        assert np.abs(camera.project(places[k : k + 1].double())[0][0].numpy() - middle).max() < 1.5
    assert (
        placing.standing_path(CLIP, film(0.0).masks[:1].repeat(COUNT, 0), solved(cameras[:1] * COUNT, points=floor()))
        is None
    )
