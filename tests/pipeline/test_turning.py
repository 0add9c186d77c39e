"""How a subject turns before a camera that moves, from two solutions of the cameras whose truth is known."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from recon4d.core import quaternion
from recon4d.data.motion import StageCache
from recon4d.pipeline import turning
from tests.pipeline.driving import CLIP, COUNT, TIMES, WIDTH, film, floor, pose, solved


@pytest.fixture
def find(monkeypatch, tmp_path):
    """Run `subject_path` with a given solution on the subject; the settings it asked for are in `find.asked`."""

    def run(masks, solution, against):
        def solve(clip, given, settings, **_):
            run.asked = settings
            assert clip is CLIP
            assert given is masks
            return against

        monkeypatch.setattr(turning, "solve_cameras", solve)
        return turning.subject_path(CLIP, masks, solution, StageCache(tmp_path), lambda *_: None, 3)

    return run


def turned(path, times=TIMES) -> torch.Tensor:
    """[T, 3, 3] orientations along a path."""
    return quaternion.to_matrix(path.at(torch.from_numpy(np.asarray(times)))[0].double())


def worst_degrees(found: torch.Tensor, wanted: torch.Tensor) -> float:
    """Largest angle between turns since the first frame: the subject's own axes are not known."""
    one, other = (turns @ turns[0].T for turns in (found, wanted))
    trace = (one * other).sum((1, 2))
    return float(torch.rad2deg(torch.arccos(((trace - 1) / 2).clamp(-1, 1))).max())


def test_the_turn_comes_out_and_pictures_stay_what_they_are(find):
    made = film(80.0)
    path, record = find(made.masks, solved(made.cameras, points=floor()), solved(made.relative, "object"))
    assert path is not None
    assert worst_degrees(turned(path), made.world_from_body[:, :3, :3]) < 0.5
    # Whatever its size is taken for, the body's points are seen where they were seen.
    own = torch.tensor(np.random.default_rng(0).normal(0, 1, (30, 3)))
    rotations, places = (x.double() for x in path.at(torch.from_numpy(TIMES)))
    first = made.relative[0].cam_from_world[:3, 3]
    size = float((made.cameras[0].cam_from_world[:3, :3] @ places[0] + made.cameras[0].cam_from_world[:3, 3]).norm())
    size /= float(first.norm())
    for k, (camera, relative) in enumerate(zip(made.cameras, made.relative, strict=True)):
        in_world = quaternion.rotate(rotations[k], size * own) + places[k]
        torch.testing.assert_close(camera.project(in_world)[0], relative.project(own)[0], atol=0.3, rtol=0)
    assert record.confident
    assert dict(record.facts)["it turns in the world by"] == "80 degrees"
    assert record.details[1][-1] == "accepted"


def test_it_stands_on_the_floor(find):
    made = film(80.0)
    path, _ = find(made.masks, solved(made.cameras, points=floor()), solved(made.relative, "object"))
    places = path.at(torch.from_numpy(TIMES))[1].double()
    gauge = torch.tensor([0.2, 0.1, -0.3], dtype=torch.float64)
    wanted = made.world_from_body[:, :3, :3] @ gauge + made.world_from_body[:, :3, 3]
    eyes = torch.stack([camera.center_in_world for camera in made.cameras])
    nearer = (places - eyes).norm(dim=1) / (wanted - eyes).norm(dim=1)
    # Rather too near, where nothing can hide it, than too far.
    assert 0.88 < float(nearer.min()) < float(nearer.max()) < 1.0


def test_the_focal_length_and_the_seed_are_passed_on(find):
    made = film(80.0)
    find(made.masks, solved(made.cameras, points=floor()), solved(made.relative, "object"))
    assert find.asked.mode == "object"
    assert find.asked.seed == 3
    assert find.asked.focal == pytest.approx(float(made.cameras[0].K[0, 0]) / WIDTH)


@pytest.mark.parametrize("degrees", [0.0, 10.0])
def test_what_keeps_facing_the_same_way_does_not_turn(find, degrees):
    made = film(degrees)
    path, record = find(made.masks, solved(made.cameras, points=floor()), solved(made.relative, "object", degrees=90.0))
    assert path is None
    assert record.chosen == "no turn"
    assert record.why == "it keeps facing the same way"
    assert record.confident


@pytest.mark.parametrize(("chosen", "confident"), [("static", True), ("object", False)])
def test_a_subject_that_was_not_solved_tells_nothing(find, chosen, confident):
    made = film(80.0)
    against = solved(made.relative, chosen, confident=confident)
    path, record = find(made.masks, solved(made.cameras, points=floor()), against)
    assert path is None
    assert record.why == "the subject's own points do not tell"
    assert not record.confident
    assert len(record.details) == 2


def test_without_a_floor_nobody_knows_how_far_it_is(find):
    made = film(80.0)
    path, record = find(made.masks, solved(made.cameras), solved(made.relative, "object"))
    assert path is None
    assert "how far" in record.why


def test_before_a_camera_that_only_turns_it_is_put_where_the_world_begins(find):
    made = film(80.0)
    still = made.cameras[0].center_in_world
    panned = []
    for camera in made.cameras:
        moved = camera.cam_from_world.clone()
        moved[:3, 3] = -moved[:3, :3] @ still
        panned.append(replace(camera, cam_from_world=moved))
    made = replace(made, cameras=panned)
    path, record = find(made.masks, solved(panned, "rotation", degrees=0.0), solved(made.relative, "object"))
    assert worst_degrees(turned(path), made.world_from_body[:, :3, :3]) < 0.5
    away = (path.at(torch.from_numpy(TIMES))[1].double() - still).norm(dim=1)
    assert float(away.median()) == pytest.approx(float(still.norm()), rel=0.05)
    assert record.confident


def test_poses_that_were_not_measured_are_left_out(find):
    made = film(80.0)
    relative = made.relative
    known = np.arange(COUNT) % 3 != 1
    spoiled = [
        camera if known[k] else replace(camera, cam_from_world=pose([0.0, 1.0, 0.0], [0.0, 0.0, 5.0]))
        for k, camera in enumerate(relative)
    ]
    solution = solved(made.cameras, points=floor())
    path, _ = find(made.masks, solution, solved(spoiled, "object", known=known))
    assert worst_degrees(turned(path), made.world_from_body[:, :3, :3]) < 0.5
    assert turning.turn_degrees(solution, solved(spoiled, "object", known=known)) == pytest.approx(80.0, abs=3.0)


def test_poses_that_shake_are_smoothed(find):
    made = film(80.0)
    chance = np.random.default_rng(1)
    shaken = []
    for camera in made.relative:
        shake = pose(chance.normal(0, math.radians(1.0), 3).tolist(), [0.0, 0.0, 0.0])
        middle = camera.cam_from_world.clone()
        middle[:3, :3] = shake[:3, :3] @ middle[:3, :3]
        shaken.append(replace(camera, cam_from_world=middle))
    path, _ = find(made.masks, solved(made.cameras, points=floor()), solved(shaken, "object"))
    wanted = made.world_from_body[:, :3, :3]
    found = turned(path)
    # Aligned as a whole, since the first frame shakes as well.
    u, _, vt = torch.linalg.svd((wanted.transpose(1, 2) @ found).sum(0))
    trace = torch.einsum("tij,jk,tik->t", wanted, u @ vt, found)
    errors = torch.rad2deg(torch.arccos(((trace - 1) / 2).clamp(-1, 1)))
    assert float(errors.mean()) < 1.0
