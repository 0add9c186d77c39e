"""What may be changed without changing the image."""

from __future__ import annotations

import pytest
import torch

from recon4d import Camera, RasterOutput, Surfels
from recon4d.core import quaternion, rigid
from tests.render.helpers import IMAGES, Backend, camera, random_surfels

# Its rotation is one to the last digit of float64.
VIEW = Camera(
    camera(31, 22, aspect=1.2, shift=(2.0, -1.0), dtype=torch.float64).K,
    Camera.look_at((0.7, -3.0, 1.1), dtype=torch.float64).cam_from_world,
    31,
    22,
)


def surfels(count: int = 120, **options: object) -> Surfels:
    return random_surfels(count, seed=21, sh_degree=2, warped=True, dtype=torch.float64, **options)


def assert_same(first: RasterOutput, second: RasterOutput, *, atol: float = 1e-9) -> None:
    for name in IMAGES:
        torch.testing.assert_close(getattr(first, name), getattr(second, name), rtol=0, atol=atol)
    assert first.alpha.max() > 0.5


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_moving_the_world_and_the_camera_together(backend: Backend, seed: int):
    generator = torch.Generator().manual_seed(seed)
    turn = quaternion.normalize(torch.randn(4, generator=generator, dtype=torch.float64))
    new_from_old = rigid.from_rotation_translation(turn, 3 * torch.randn(3, generator=generator).double())
    old = surfels()
    new = old.replace(
        centers=rigid.transform_points(new_from_old, old.centers),
        rotations_wxyz=quaternion.multiply(turn, old.rotations_wxyz),
        # Colours turn with the surfels.
        world_from_canonical_wxyz=quaternion.multiply(turn, old.world_from_canonical_wxyz),
    )
    moved = Camera(VIEW.K, VIEW.cam_from_world @ rigid.invert(new_from_old), VIEW.width, VIEW.height)
    assert_same(backend(new, moved), backend(old, VIEW))


def test_shuffling_the_surfels(backend: Backend):
    order = torch.randperm(120, generator=torch.Generator().manual_seed(0))
    shuffled = Surfels(**{name: array[order].contiguous() for name, array in surfels().tensors().items()})
    first, second = backend(shuffled, VIEW), backend(surfels(), VIEW)
    for name in IMAGES:
        assert torch.equal(getattr(first, name), getattr(second, name)), name
    assert torch.equal(first.radii, second.radii[order])


def test_changing_the_unit_of_length(backend: Backend):
    """Twice as large and twice as far: the same picture, depths doubled."""
    old = surfels()
    new = old.replace(centers=2 * old.centers, scales=2 * old.scales)
    pose = VIEW.cam_from_world.clone()
    pose[:3, 3] *= 2
    first = backend(new, Camera(VIEW.K, pose, VIEW.width, VIEW.height), near=0.02)
    second = backend(old, VIEW)
    for name, factor in {
        "color": 1,
        "alpha": 1,
        "normal": 1,
        "depth": 2,
        "depth_median": 2,
        "distortion": 0.25,
    }.items():
        torch.testing.assert_close(getattr(first, name), factor * getattr(second, name), rtol=0, atol=1e-9)


def test_turning_a_surfel_about_its_normal_by_a_right_angle(backend: Backend):
    """Its axes trade places, its normal stays."""
    old = surfels()
    quarter = torch.tensor([1.0, 0.0, 0.0, 1.0], dtype=torch.float64)
    new = old.replace(
        rotations_wxyz=quaternion.multiply(old.rotations_wxyz, quarter), scales=old.scales.flip(1).contiguous()
    )
    assert_same(backend(new, VIEW), backend(old, VIEW))


@pytest.mark.parametrize("half_turn", [(0.0, 1.0, 0.0, 0.0), (0.0, 0.0, 1.0, 0.0), (0.0, 0.0, 0.0, 1.0)])
def test_turning_a_surfel_over(backend: Backend, half_turn: tuple[float, ...]):
    """It has two sides that look the same."""
    turn = torch.tensor(half_turn, dtype=torch.float64)
    old = surfels()
    new = old.replace(rotations_wxyz=quaternion.multiply(old.rotations_wxyz, turn))
    assert_same(backend(new, VIEW), backend(old, VIEW))


@pytest.mark.parametrize("factor", [-1.0, 1e-3, 1e4])
def test_the_length_and_sign_of_quaternions(backend: Backend, factor: float):
    old = surfels()
    new = old.replace(
        rotations_wxyz=factor * old.rotations_wxyz, world_from_canonical_wxyz=factor * old.world_from_canonical_wxyz
    )
    assert_same(backend(new, VIEW), backend(old, VIEW))


def test_the_background_is_added_behind(backend: Backend):
    background = torch.tensor([0.9, 0.5, 0.1], dtype=torch.float64)
    black = backend(surfels(), VIEW)
    torch.testing.assert_close(
        backend(surfels(), VIEW, background=background).color,
        black.color + (1 - black.alpha) * background,
        rtol=0,
        atol=1e-12,
    )


def test_features_are_blended_linearly(backend: Backend):
    generator = torch.Generator().manual_seed(0)
    plain = surfels()
    first, second = (torch.randn(120, 4, generator=generator, dtype=torch.float64) for _ in range(2))

    def colors(features: torch.Tensor) -> torch.Tensor:
        return backend(plain.replace(sh=None, features=features), VIEW).color

    torch.testing.assert_close(colors(2 * first - second), 2 * colors(first) - colors(second), rtol=0, atol=1e-12)
    ones = colors(torch.ones(120, 1, dtype=torch.float64))
    torch.testing.assert_close(ones, backend(plain, VIEW).alpha, rtol=0, atol=1e-12)


def test_depth_as_a_feature_of_frontal_surfels(backend: Backend):
    """Where every plane is parallel to the image, depth is the blended depth of centres."""
    facing = quaternion.from_matrix(VIEW.cam_from_world[:3, :3].T.contiguous())
    flat = surfels().replace(rotations_wxyz=facing.expand(120, 4).contiguous(), sh=None)
    z = (flat.centers @ VIEW.cam_from_world[2, :3] + VIEW.cam_from_world[2, 3])[:, None]
    output = backend(flat.replace(features=torch.cat([z, 1 / z, 1 / z**2], 1)), VIEW)
    blended, s, s2 = output.color.split(1, -1)
    torch.testing.assert_close(output.depth * output.alpha, blended, rtol=0, atol=1e-10)
    torch.testing.assert_close(output.distortion, output.alpha * s2 - s**2, rtol=0, atol=1e-10)


def test_a_crop_is_part_of_the_whole(backend: Backend):
    left, top = 9, 4
    K = VIEW.K.clone()
    K[0, 2] -= left
    K[1, 2] -= top
    crop = backend(surfels(), Camera(K, VIEW.cam_from_world, 13, 11))
    whole = backend(surfels(), VIEW)
    for name in IMAGES:
        part = getattr(whole, name)[top : top + 11, left : left + 13]
        torch.testing.assert_close(getattr(crop, name), part, rtol=0, atol=1e-9)


def test_mirror_images(backend: Backend):
    """A world reflected in x, seen by a reflected camera, is the reflected picture."""
    plain = random_surfels(80, seed=4, dtype=torch.float64)
    identity = Camera(VIEW.K, torch.eye(4, dtype=torch.float64), VIEW.width, VIEW.height)
    placed = plain.replace(centers=plain.centers + torch.tensor([0.0, 0.0, 3.0], dtype=torch.float64))
    w, x, y, z = plain.rotations_wxyz.unbind(1)
    # Reflection F R F: rotations about x keep their sense, those about y and z reverse it.
    mirrored = placed.replace(
        centers=placed.centers * torch.tensor([-1.0, 1.0, 1.0], dtype=torch.float64),
        rotations_wxyz=torch.stack([w, x, -y, -z], 1),
    )
    K = VIEW.K.clone()
    K[0, 2] = VIEW.width - K[0, 2]
    first = backend(mirrored, Camera(K, identity.cam_from_world, VIEW.width, VIEW.height))
    second = backend(placed, identity)
    for name in ("color", "alpha", "depth", "depth_median", "distortion"):
        torch.testing.assert_close(getattr(first, name).flip(1), getattr(second, name), rtol=0, atol=1e-9)
    signs = torch.tensor([-1.0, 1.0, 1.0], dtype=torch.float64)
    torch.testing.assert_close(first.normal.flip(1) * signs, second.normal, rtol=0, atol=1e-9)


def test_what_is_behind_a_full_pixel_does_not_matter(backend: Backend):
    wall = random_surfels(400, seed=6, opacity=(0.97, 1.0), size=(0.6, 0.9), reach=0.8, dtype=torch.float64)
    behind = random_surfels(50, seed=7, dtype=torch.float64)
    behind = behind.replace(centers=behind.centers + torch.tensor([-2.0, 9.0, -3.0], dtype=torch.float64))
    both = Surfels(**{n: torch.cat([behind.tensors()[n], array]) for n, array in wall.tensors().items()})
    alone = backend(wall, VIEW)
    full = alone.alpha[..., 0] > 1 - 1e-4
    assert full.double().mean() > 0.3
    for name in IMAGES:
        assert torch.equal(getattr(backend(both, VIEW), name)[full], getattr(alone, name)[full])
