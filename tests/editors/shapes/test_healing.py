"""Healing: holes behind removed things are filled in place and colour; what was seen stays as it was."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from recon4d import rasterize
from recon4d.core import Camera, InputError, SE3Spline, Surfels, quaternion
from recon4d.core.spherical_harmonics import coefficients_from_color
from recon4d.editors.shapes import heal_background, heal_patch, place, similarity
from recon4d.editors.shapes.inpainting import fill_inverse_depth, inpaint_opencv
from recon4d.field import BonesWarp, Field, IdentityWarp, Refined, RigidWarp
from tests.editors.shapes.fields import field

TIMES = torch.arange(7, dtype=torch.float64) / 6
SIZE = (96, 72)


def _cameras(count: int = 7, degrees: float = 30.0) -> list[Camera]:
    angles = np.radians(np.linspace(-degrees / 2, degrees / 2, count))
    eyes = [(4 * np.sin(a), -4 * np.cos(a), 2.2) for a in angles]
    return [Camera.look_at(eye, (0, 0, 0.2), width=SIZE[0], height=SIZE[1]) for eye in eyes]


def _floor(side: int = 90) -> Field:
    """A floor with soft colours, finer than the images."""
    line = torch.linspace(-4.5, 4.5, side)
    x, y = (grid.reshape(-1) for grid in torch.meshgrid(line, line, indexing="ij"))
    color = torch.stack([0.5 + 0.1 * x, 0.5 + 0.1 * y, 0.5 + 0.15 * (x + y).sin()], -1).clamp(0, 1)
    count = len(x)
    surfels = Surfels(
        centers=torch.stack([x, y, torch.zeros(count)], -1),
        rotations_wxyz=torch.tensor([[1.0, 0, 0, 0]]).repeat(count, 1),
        scales=torch.full((count, 2), 0.07),
        opacities=torch.full((count,), 0.98),
        sh=coefficients_from_color(color, 1),
    )
    return Field(surfels, torch.arange(count) * 3, IdentityWarp())


def _ball(radius: float = 0.45, count: int = 600) -> Field:
    generator = torch.Generator().manual_seed(0)
    normal = torch.nn.functional.normalize(torch.randn(count, 3, generator=generator), dim=1)
    half = torch.stack([1 + normal[:, 2], -normal[:, 1], normal[:, 0], torch.zeros(count)], dim=1)
    surfels = Surfels(
        centers=radius * normal + torch.tensor([0.0, 0, radius]),
        rotations_wxyz=quaternion.normalize(half),
        scales=torch.full((count, 2), 0.05),
        opacities=torch.full((count,), 0.97),
        sh=coefficients_from_color(torch.tensor([[0.9, 0.1, 0.1]]).repeat(count, 1)),
    )
    return Field(surfels, torch.arange(count), IdentityWarp())


def _seen_only(floor: Field, ball: Field, cameras: list[Camera]) -> Field:
    """The floor as a reconstruction would have it: without what the ball hid in every frame."""
    seen = torch.zeros(len(floor), dtype=torch.bool)
    for camera, t in zip(cameras, TIMES.tolist(), strict=True):
        alpha = rasterize(ball.at(t), camera).alpha[..., 0]
        pixels, depth = camera.project(floor.at(t).centers)
        x, y = pixels.long().unbind(-1)
        inside = (depth > 0) & (x >= 0) & (x < SIZE[0]) & (y >= 0) & (y < SIZE[1])
        seen |= inside & (alpha[y.clamp(0, SIZE[1] - 1), x.clamp(0, SIZE[0] - 1)] < 0.5)
        seen |= ~inside
    return floor.select(seen)


def _picture(background: Field, camera: Camera, t: float = 0.0) -> np.ndarray:
    return rasterize(background.appearance_at(t), camera).color.numpy()


def _psnr(a: np.ndarray, b: np.ndarray) -> float:
    return float(-10 * np.log10(max(float(((a - b) ** 2).mean()), 1e-12)))


@pytest.mark.parametrize("kind", ["still", "rigid"])
def test_a_hole_that_no_frame_saw_is_filled_as_if_it_had_been_seen(kind: str) -> None:
    cameras, floor, ball = _cameras(), _floor(), _ball()
    known = _seen_only(floor, ball, cameras)
    assert len(floor) - len(known) > 40
    if kind == "rigid":
        # The same floor as a thing of its own frame that a motion puts there.
        pose = similarity(1.0, (0.9, 0.1, 0.3, 0.2), (1.0, 2.0, 3.0))
        path = SE3Spline.constant(pose.rotation_wxyz.float(), pose.translation.float())
        floor, known = (
            Field(place(each, pose.inverse()).canonical, each.ids, RigidWarp(path)) for each in (floor, known)
        )
    healed = heal_background(known, [ball], cameras, TIMES)
    new = healed.at(0.0).centers[len(known) :]
    assert len(new) > 100
    assert new[:, 2].abs().max() < 0.02
    assert torch.equal(healed.ids[: len(known)], known.ids)
    assert len(healed.ids.unique()) == len(healed)
    for name, tensor in known.canonical.tensors().items():
        assert torch.equal(healed.canonical.tensors()[name][: len(known)], tensor)
    for i in (0, 3, 6):
        true, before, after = (_picture(each, cameras[i]) for each in (floor, known, healed))
        hole = (np.abs(true - before) > 0.05).any(-1)
        assert hole.sum() > 50
        assert _psnr(after[hole], true[hole]) > 30
        assert _psnr(after[hole], true[hole]) > _psnr(before[hole], true[hole]) + 15
        far = rasterize(ball.at(0.0), cameras[i]).alpha[..., 0].numpy() < 0.03
        from scipy.ndimage import binary_erosion

        far = binary_erosion(far, iterations=6)
        assert far.sum() > 1000
        assert _psnr(after[far], before[far]) > 45
    # From a side that no frame had, too.
    aside = Camera.look_at((3.0, -3.0, 2.0), (0, 0, 0.2), width=SIZE[0], height=SIZE[1])
    true, before, after = (_picture(each, aside) for each in (floor, known, healed))
    hole = (np.abs(true - before) > 0.05).any(-1)
    assert _psnr(after[hole], true[hole]) > 26


def test_what_other_frames_saw_is_not_invented() -> None:
    floor, ball = _floor(), _ball()
    times = TIMES
    places = torch.stack([torch.linspace(-1.2, 1.2, 7), torch.zeros(7), torch.zeros(7)], -1).double()
    still = torch.tensor([[1.0, 0, 0, 0]], dtype=torch.float64).repeat(7, 1)
    path = SE3Spline.fit(times, still, places, step=0.2).to(torch.float32)
    rolling = Field(ball.canonical, ball.ids, RigidWarp(path))
    cameras = _cameras()
    known = _seen_only(floor, rolling, cameras)
    assert len(heal_patch(known, [rolling], cameras, times)) == 0
    assert heal_background(known, [rolling], cameras, times) is known


def test_nothing_is_put_before_what_a_frame_saw_nor_in_the_sky() -> None:
    cameras, floor = _cameras(), _floor()
    high = place(_ball(), similarity(1.0, translation=(0.0, 3.0, 2.5)))  # before the sky alone
    assert len(heal_patch(floor, [high], cameras, TIMES)) == 0
    known = _seen_only(floor, _ball(), cameras)
    patch = heal_patch(known, [_ball()], cameras, TIMES)
    for camera in cameras:
        out = rasterize(known.at(0.0), camera)
        hidden = rasterize(_ball().at(0.0), camera).alpha[..., 0] > 0.03
        pixels, depth = camera.project(patch.at(0.0).centers)
        x, y = pixels.long().unbind(-1)
        seen = (out.alpha[y, x, 0] > 0.6) & ~hidden[y, x]
        assert bool((depth[seen] > 0.97 * out.depth[y, x, 0][seen]).all())


def test_a_refined_background_and_another_way_of_inventing() -> None:
    cameras, ball = _cameras(), _ball()
    known = _seen_only(_floor(), ball, cameras)
    known = Field(known.canonical, known.ids, known.warp, Refined.like(known.canonical))

    def green(image: np.ndarray, hole: np.ndarray) -> np.ndarray:
        return np.where(hole[..., None], np.array([0.0, 1.0, 0.0]), image)

    healed = heal_background(known, [ball], cameras, TIMES, inpaint=green)
    assert healed.refined is not None
    assert len(healed.refined) == len(healed)
    invented = healed.canonical.sh[len(known) :, 0]
    wanted = coefficients_from_color(torch.tensor([0.0, 1.0, 0.0]))[0]
    # All but the rim, where the background still shows its own colours.
    assert 0.6 < (invented == wanted).all(-1).float().mean() < 1
    again = heal_background(known, [ball], cameras, TIMES, inpaint=green)
    assert torch.equal(again.canonical.centers, healed.canonical.centers)


def test_depth_of_a_plane_is_continued_exactly_and_lonely_holes_stay_empty() -> None:
    y, x = np.mgrid[0:40, 0:50]
    true = 1 / (0.2 + 0.003 * x + 0.002 * y)
    hole = (x - 20) ** 2 + (y - 20) ** 2 < 100
    np.testing.assert_allclose(fill_inverse_depth(true * ~hole, ~hole, hole), true, rtol=1e-9)
    lonely = hole & ~hole
    lonely[2, 2] = True
    known = (x > 10) & ~hole
    filled = fill_inverse_depth(true, known, hole | lonely)
    assert filled[2, 2] == 0
    assert bool((filled[hole & (x > 12)] > 0).all())
    assert bool((fill_inverse_depth(true, known, lonely)[known] == true[known]).all())


def test_inpainted_colours_stay_between_those_around() -> None:
    image = np.tile(np.linspace(0.2, 0.8, 40)[None, :, None], (30, 1, 3))
    hole = np.zeros((30, 40), bool)
    hole[10:20, 12:26] = True
    filled = inpaint_opencv(np.where(hole[..., None], 0.0, image), hole)
    assert np.array_equal(filled[~hole], image[~hole])
    assert np.abs(filled - image).max() < 0.2


def test_what_cannot_be_healed_is_refused() -> None:
    with pytest.raises(InputError, match="does not bend"):
        heal_background(field("bones"), [], _cameras(), TIMES)
    assert isinstance(field("bones").warp, BonesWarp)
    with pytest.raises(InputError, match="a camera for every time"):
        heal_background(_floor(), [], _cameras()[:3], TIMES)
    with pytest.raises(InputError, match="at least 1 view"):
        heal_background(_floor(), [], _cameras(), TIMES, views=0)
