"""Before the first step: the root's path, the visual hull, bones, and the model they make."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from recon4d.core import Camera, InputError, SE3Spline, quaternion
from recon4d.train import FitConfig
from recon4d.train.fit import start
from recon4d.train.frames import Frame, Frames
from recon4d.train.hull import Hull, carve, facing
from recon4d.train.model import create_model, nearest_bones, place_bones
from recon4d.train.root import control_count, root_path
from tests.train.moving import DRIFT, camera

RADIUS = 0.6


def ball_frames(centers: torch.Tensor, cameras: list[Camera]) -> tuple[Frame, ...]:
    """Images of a white ball at one place for each time."""
    frames = []
    for index, (center, seen_from) in enumerate(zip(centers, cameras, strict=True)):
        origin, rays = seen_from.rays()
        unit = torch.nn.functional.normalize(rays, dim=-1)
        along = ((center - origin) * unit).sum(-1)
        inside = (center - origin).square().sum() - along.square() < RADIUS**2
        pixels = (255 * inside)[..., None].to(torch.uint8).repeat(1, 1, 4)
        box = (0, 0, seen_from.width, seen_from.height)
        frames.append(Frame(0.1 * index, seen_from, pixels, box))
    return tuple(frames)


def orbit(count: int) -> list[Camera]:
    return [camera(2 * math.pi * i / count, 0.4 * math.sin(3 * i), 64) for i in range(count)]


def test_the_root_follows_a_moving_ball():
    count = 30
    share = torch.arange(count)[:, None] / (count - 1)
    centers = torch.cat([0.5 * share, 0.3 * torch.sin(3 * share), 0.1 * share], -1)
    path = root_path(ball_frames(centers, orbit(count)), 8.0)
    found = path.at(torch.arange(count, dtype=torch.float64) * 0.1)[1]
    # Observed: see below; a smooth path is asked for, so the curve of half a wave is cut a little.
    assert float((found - centers).norm(dim=-1).mean()) < 0.12
    straight = share * torch.tensor([0.6, -0.2, 0.1])
    path = root_path(ball_frames(straight, orbit(count)), 8.0)
    found = path.at(torch.arange(count, dtype=torch.float64) * 0.1)[1]
    assert float((found - straight).norm(dim=-1).max()) < 0.04


def test_one_place_alone_knows_no_distance():
    seen_from = camera(0.0, 0.2, 64)
    with pytest.raises(InputError, match="views of the subject from different places"):
        root_path(ball_frames(torch.zeros(9, 3), [seen_from] * 9), 4.0)


def test_controls_cover_the_times():
    assert control_count([0.0], 4.0) == (1.0, 4)
    step, count = control_count([0.1 * i for i in range(21)], 4.0)
    assert (step, count) == (pytest.approx(0.4), 8)


def carved(frames: tuple[Frame, ...], root: SE3Spline) -> Hull:
    generator = torch.Generator().manual_seed(1)
    return carve(frames, root, 1.2, voxels=40, window=0.3, count=800, generator=generator)


def still(position: torch.Tensor) -> SE3Spline:
    return SE3Spline.constant(torch.tensor([1.0, 0, 0, 0]), position)


def test_the_hull_of_a_ball_is_a_ball():
    center = torch.tensor([0.2, -0.1, 0.1])
    hull = carved(ball_frames(center.repeat(24, 1), orbit(24)), still(center))
    away = hull.centers - center
    # Observed: mean 0.63, deviation 0.03; pixels and voxels are 0.04.
    assert float(away.norm(dim=-1).mean()) == pytest.approx(RADIUS, abs=0.05)
    assert float(away.norm(dim=-1).std()) < 0.06
    outward = torch.nn.functional.normalize(away, dim=-1)
    normals = quaternion.rotate(hull.rotations_wxyz, torch.tensor([0.0, 0.0, 1.0]))
    assert float((normals * outward).sum(-1).mean()) > 0.95
    assert hull.coverage > 0.97
    assert hull.size == pytest.approx(2 * RADIUS, rel=0.12)
    # White as far as the window's images show it, gray elsewhere.
    white = hull.colors[:, 0] > 0.9
    assert float(white.float().mean()) > 0.6
    torch.testing.assert_close(hull.colors[~white], torch.full_like(hull.colors[~white], 0.5), atol=0.4, rtol=0)
    # Discs of that deviation cover the sphere about once: 800 * (2 s)^2 against 4 pi r^2.
    assert 800 * (2 * hull.scale) ** 2 == pytest.approx(4 * math.pi * RADIUS**2, rel=0.6)


def test_a_moving_ball_is_carved_in_its_own_frame():
    count = 24
    centers = torch.linspace(-0.5, 0.5, count)[:, None] * torch.tensor([1.0, 0.4, 0.0])
    frames = ball_frames(centers, orbit(count))
    root = SE3Spline.fit(
        torch.arange(count, dtype=torch.float64) * 0.1,
        torch.tensor([1.0, 0, 0, 0]).repeat(count, 1),
        centers,
        step=0.3,
    )
    hull = carved(frames, root)
    assert hull.share >= 0.94
    middle = root.at(torch.tensor([1.2], dtype=torch.float64))[1][0]
    assert float((hull.centers - middle).norm(dim=-1).mean()) == pytest.approx(RADIUS, abs=0.06)


def test_masks_that_contradict_the_cameras():
    frames = ball_frames(torch.zeros(12, 3), orbit(12))
    apart = [Frame(f.time, f.camera, f.pixels.roll(16 * (-1) ** i, 0), f.box) for i, f in enumerate(frames)]
    with pytest.raises(InputError, match="masks and cameras that agree"):
        carved(tuple(apart), still(torch.zeros(3)))


@settings(deadline=None, max_examples=50)
@given(x=st.floats(-1, 1), y=st.floats(-1, 1), z=st.floats(-1, 1))
def test_facing_turns_up_to_the_normal(x: float, y: float, z: float):
    normal = torch.tensor([[x, y, z]], dtype=torch.float64)
    if normal.norm() > 1e-3:
        normal = normal / normal.norm()
        up = torch.tensor([0.0, 0.0, 1.0], dtype=torch.float64)
        torch.testing.assert_close(quaternion.rotate(facing(normal), up[None]), normal, atol=3e-3, rtol=0)
    assert facing(torch.tensor([[0.0, 0.0, -1.0]])).tolist() == [[0.0, 1.0, 0.0, 0.0]]


def test_bones_spread_evenly():
    points = torch.rand(500, 3, generator=torch.Generator().manual_seed(2))
    places = place_bones(points, 8)
    assert places.shape == (8, 3)
    # The middles of the octants are 0.5 apart.
    assert float(torch.cdist(places, places).fill_diagonal_(9).min()) > 0.25
    assert place_bones(points[:3], 8).shape == (3, 3)
    assert place_bones(torch.zeros(5, 3), 8).shape == (1, 3)
    assert nearest_bones(points, places[:2]).shape == (500, 4)


def test_the_model_starts_as_the_hull_and_moves_as_the_root(frames: Frames, quick: FitConfig):
    state = start(frames, quick)
    model = state.model
    field = model.field()
    now = field.at(state.canonical_time)
    torch.testing.assert_close(now.centers, field.canonical.centers, atol=1e-5, rtol=0)
    assert torch.equal(model.ids, torch.arange(len(model)))
    moved = (field.at(1.0).centers.mean(0) - field.at(0.0).centers.mean(0)).detach()
    # It drifts by DRIFT along x; the nod moves the silhouette's middle too.
    assert float(moved[0]) == pytest.approx(DRIFT, abs=0.12)
    # The capsule is 1.8 long and 0.7 thick.
    extent = now.centers.amax(0) - now.centers.amin(0)
    assert float(extent[0]) == pytest.approx(1.8, abs=0.3)
    assert float(extent[1]) == pytest.approx(0.7, abs=0.25)


@pytest.mark.parametrize("bones", [1, 3, 9])
def test_what_is_trained_is_what_is_saved(frames: Frames, bones: int):
    hull = Hull(torch.randn(60, 3), torch.randn(60, 4), torch.rand(60, 3), 0.05, 2.0, 1.0, 1.0)
    root = root_path(frames.levels[2], 8.0)
    model = create_model(hull, root, 0.5, frames.times, bones=bones, sh_degree=2, per_control=4.0)
    generator = torch.Generator().manual_seed(3)
    for parameter in model.parameters.values():
        parameter.data += 0.1 * torch.randn(parameter.shape, generator=generator)
    trained, frozen = model.state_at(0.37)[0], model.frozen_field()
    saved = frozen.at(0.37)
    for name, tensor in trained.tensors().items():
        if name == "rotations_wxyz":
            tensor = quaternion.normalize(tensor)
        torch.testing.assert_close(saved.tensors()[name], tensor, atol=2e-6, rtol=0)
    torch.testing.assert_close(model.weights().sum(-1), torch.ones(60))
    if bones < 4:
        assert float(model.weights()[:, bones:].abs().max()) == 0.0
    before = frozen.canonical.centers.clone()
    model.parameters["centers"].data += 1
    model.parameters["bone_translations"].data += 1
    assert torch.equal(frozen.canonical.centers, before)
    assert torch.equal(frozen.at(0.37).centers, saved.centers)
