"""Images whose every pixel is known in closed form."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from recon4d import Camera, Surfels
from recon4d.core import quaternion, spherical_harmonics
from recon4d.render.constants import ALPHA_MIN
from tests.render.helpers import Backend, frontal_camera, surfel_row

FOCAL = 10.0


def rays(camera: Camera) -> Tensor:
    """[H, W, 3] camera-frame directions with z = 1."""
    return camera.rays()[1]


def about_x(degrees: float) -> tuple[float, ...]:
    half = math.radians(degrees) / 2
    return (math.cos(half), math.sin(half), 0.0, 0.0)


def about_z(degrees: float) -> tuple[float, ...]:
    half = math.radians(degrees) / 2
    return (math.cos(half), 0.0, 0.0, math.sin(half))


def one_pixel(*rows: dict[str, object]) -> tuple[Surfels, Camera]:
    """Wide surfels, and a camera whose single ray goes straight to their centres."""
    return surfel_row(*({"scales": (100.0, 100.0), **row} for row in rows)), frontal_camera(1, 1, focal=FOCAL)


@pytest.mark.parametrize("turn", [0.0, 35.0])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_surfel_parallel_to_the_image_is_a_plain_gaussian(backend: Backend, turn: float, dtype: torch.dtype):
    camera = frontal_camera(16, 13, focal=FOCAL, dtype=dtype)
    center, scales, opacity, color = (0.35, -0.2, 5.0), (1.0, 0.6), 0.8, (0.9, 0.2, 0.4)
    surfels = surfel_row(
        {
            "centers": center,
            "scales": scales,
            "opacities": opacity,
            "rotations_wxyz": about_z(turn),
            "features": color,
        },
        dtype=dtype,
    )
    background = torch.tensor([0.1, 0.5, 1.0], dtype=dtype)
    output = backend(surfels, camera, background=background)

    in_plane = center[2] * rays(camera)[..., :2] - torch.tensor(center[:2], dtype=dtype)
    angle = math.radians(turn)
    u = in_plane @ torch.tensor([math.cos(angle), math.sin(angle)], dtype=dtype) / scales[0]
    v = in_plane @ torch.tensor([-math.sin(angle), math.cos(angle)], dtype=dtype) / scales[1]
    alpha = opacity * torch.exp(-(u**2 + v**2) / 2)
    assert (alpha - ALPHA_MIN).abs().min() > 1e-5  # no pixel is so near the cut-off that rounding decides
    alpha = torch.where(alpha >= ALPHA_MIN, alpha, 0)[..., None]
    assert 20 < int((alpha > 0).sum()) < alpha.numel()

    # Observed in float32: 7e-6 of the depth, where little is left to divide by.
    tolerance = {"rtol": 1e-12, "atol": 1e-12} if dtype == torch.float64 else {"rtol": 1e-5, "atol": 2e-6}
    torch.testing.assert_close(output.alpha, alpha, **tolerance)
    expected_color = alpha * torch.tensor(color, dtype=dtype) + (1 - alpha) * background
    torch.testing.assert_close(output.color, expected_color, **tolerance)
    torch.testing.assert_close(output.depth, torch.where(alpha > 0, 5.0, 0.0).to(dtype), **tolerance)
    torch.testing.assert_close(output.depth_median, torch.where(alpha >= 0.5, 5.0, 0.0).to(dtype), **tolerance)
    torch.testing.assert_close(output.normal, alpha * torch.tensor([0.0, 0.0, -1.0], dtype=dtype), **tolerance)
    torch.testing.assert_close(output.distortion, torch.zeros_like(alpha), rtol=0, atol=1e-7)


def test_a_surfel_below_a_pixel_is_drawn_as_the_low_pass_disc(backend: Backend):
    camera = frontal_camera(9, 9, focal=FOCAL)
    surfels = surfel_row({"centers": (0.1, 0.05, 5.0), "scales": (1e-3, 2e-4), "opacities": 0.9})
    d = FOCAL * (rays(camera)[..., :2] - torch.tensor([0.1 / 5, 0.05 / 5], dtype=torch.float64))
    alpha = 0.9 * torch.exp(-(d**2).sum(-1, keepdim=True))
    alpha = torch.where(alpha >= ALPHA_MIN, alpha, 0)
    assert int((alpha > 0).sum()) > 10
    torch.testing.assert_close(backend(surfels, camera).alpha, alpha, rtol=0, atol=1e-12)


@pytest.mark.parametrize("tilt", [-80.0, -40.0, 0.0, 25.0, 60.0, 79.0])
def test_depth_is_where_the_ray_meets_the_plane(backend: Backend, tilt: float):
    camera = frontal_camera(15, 12, focal=FOCAL)
    center, scale = torch.tensor([0.2, -0.3, 5.0], dtype=torch.float64), 1.5
    surfels = surfel_row({"centers": tuple(center.tolist()), "scales": (scale, scale), "rotations_wxyz": about_x(tilt)})
    output = backend(surfels, camera)

    rotation = quaternion.to_matrix(surfels.rotations_wxyz[0])
    normal = rotation[:, 2]
    z = (normal @ center) / (rays(camera) @ normal)
    uv = (z[..., None] * rays(camera) - center) @ rotation[:, :2] / scale
    alpha = torch.where(z > 0.01, 0.5 * torch.exp(-(uv**2).sum(-1) / 2), 0)
    seen = alpha > 1.001 * ALPHA_MIN
    d = FOCAL * (rays(camera)[..., :2] - center[:2] / center[2])
    by_plane = seen & ((uv**2).sum(-1) <= 2 * (d**2).sum(-1))
    assert int(by_plane.sum()) >= 10
    torch.testing.assert_close(output.depth[..., 0][by_plane], z[by_plane], rtol=1e-12, atol=0)
    torch.testing.assert_close(output.alpha[..., 0][by_plane], alpha[by_plane], rtol=0, atol=1e-12)
    if abs(tilt) < 70:  # steeper ones are thinner than the low pass somewhere
        assert torch.equal(by_plane, output.alpha[..., 0] > 0)


def test_beside_a_steep_plane_the_depth_stays_near_the_center(backend: Backend):
    # Nearly edge-on: the low pass draws a disc whose rays meet the plane anywhere; depth is kept within a factor 2.
    camera = frontal_camera(9, 9, focal=FOCAL)
    surfels = surfel_row({"rotations_wxyz": about_x(89.5), "scales": (0.01, 0.01), "opacities": 0.9})
    depth = backend(surfels, camera).depth
    drawn = depth[depth > 0]
    assert len(drawn) > 10
    assert float(drawn.min()) == pytest.approx(2.5, rel=1e-12)
    assert float(drawn.max()) == pytest.approx(10.0, rel=1e-12)


@pytest.mark.parametrize("flip", [0.0, 180.0])
@pytest.mark.parametrize("tilt", [0.0, 30.0, -55.0])
def test_normals_face_the_camera_from_both_sides(backend: Backend, tilt: float, flip: float):
    surfels, camera = one_pixel({"rotations_wxyz": about_x(tilt + flip), "opacities": 0.7})
    angle = math.radians(tilt)
    facing = torch.tensor([0.0, math.sin(angle), -math.cos(angle)], dtype=torch.float64)
    torch.testing.assert_close(backend(surfels, camera).normal[0, 0], 0.7 * facing, rtol=0, atol=1e-12)


def test_two_layers_by_hand(backend: Backend):
    near = {"centers": (0.0, 0.0, 2.0), "opacities": 0.6, "features": (1.0, 0.0)}
    far = {"centers": (0.0, 0.0, 4.0), "opacities": 0.5, "features": (0.0, 1.0)}
    for rows in ((near, far), (far, near)):  # drawn by depth, not by index
        surfels, camera = one_pixel(*rows)
        output = backend(surfels, camera, background=torch.tensor([0.5, 0.25], dtype=torch.float64))
        # w = 0.6, 0.4 * 0.5 = 0.2; 0.2 is left for the background.
        expected = {
            "color": [0.6 + 0.2 * 0.5, 0.2 + 0.2 * 0.25],
            "alpha": [0.8],
            "depth": [(0.6 * 2 + 0.2 * 4) / 0.8],
            "depth_median": [2.0],
            "normal": [0.0, 0.0, -0.8],
            "distortion": [0.6 * 0.2 * (1 / 2 - 1 / 4) ** 2],
        }
        for name, value in expected.items():
            image = getattr(output, name)
            assert image.shape == (1, 1, len(value))
            torch.testing.assert_close(image[0, 0], torch.tensor(value, dtype=torch.float64), rtol=1e-11, atol=1e-13)


@pytest.mark.parametrize(
    ("opacities", "expected"),
    [
        ((0.4, 0.4, 0.4), 3.0),  # transmittance 0.6, 0.36
        ((0.5, 0.4, 0.4), 2.0),  # exactly one half counts
        ((0.2, 0.2, 0.2), 0.0),  # 0.8, 0.64, 0.512: never
        ((0.2, 0.2, 0.25), 4.0),  # 0.48
        ((0.3, 0.9, 0.9), 3.0),
    ],
)
def test_median_depth(backend: Backend, opacities: tuple[float, ...], expected: float):
    surfels, camera = one_pixel(
        *({"centers": (0.0, 0.0, 2.0 + i), "opacities": opacity} for i, opacity in enumerate(opacities))
    )
    assert float(backend(surfels, camera).depth_median) == pytest.approx(expected, rel=1e-12)


def test_distortion_is_half_the_double_sum(backend: Backend):
    depths, opacities = (1.0, 1.5, 2.5, 7.0, 7.01), (0.3, 0.5, 0.2, 0.6, 0.4)
    surfels, camera = one_pixel(
        *({"centers": (0.0, 0.0, z), "opacities": o} for z, o in zip(depths, opacities, strict=True))
    )
    weights, left = [], 1.0
    for o in opacities:
        weights.append(o * left)
        left *= 1 - o
    double_sum = sum(
        w * v * (1 / y - 1 / z) ** 2
        for w, y in zip(weights, depths, strict=True)
        for v, z in zip(weights, depths, strict=True)
    )
    assert float(backend(surfels, camera).distortion) == pytest.approx(double_sum / 2, rel=1e-11)


def test_distortion_of_a_thin_stack_keeps_its_digits_in_float32(backend: Backend):
    # Layers 1 mm apart at depth 2: W M2 - M1^2 of the bare s = 1/z has no correct digit left in float32.
    depths = [2.0 + 0.001 * i for i in range(10)]
    surfels, camera = one_pixel(*({"centers": (0.0, 0.0, z), "opacities": 0.3} for z in depths))
    exact = float(backend(surfels, camera).distortion)
    rounded = float(backend(surfels.to(torch.float32), camera.to(torch.float32)).distortion)
    assert exact == pytest.approx(4e-7, rel=0.5)
    assert rounded == pytest.approx(exact, rel=2e-3)


def test_alpha_is_clamped_and_a_clamped_alpha_has_no_gradient(backend: Backend):
    surfels, camera = one_pixel({"opacities": 1.0, "features": (0.7,)}, {"opacities": 0.5, "centers": (0.0, 0.0, 6.0)})
    surfels = surfels.replace(opacities=surfels.opacities.clone().requires_grad_())
    output = backend(surfels, camera, alpha_max=0.9)
    assert float(output.color.detach()) == pytest.approx(0.9 * 0.7 + 0.1 * 0.5, rel=1e-12)
    output.color.sum().backward()
    torch.testing.assert_close(surfels.opacities.grad, torch.tensor([0.0, 0.1], dtype=torch.float64))


def test_the_surfel_that_fills_the_pixel_is_the_last_one_blended(backend: Backend):
    surfels, camera = one_pixel(*({"centers": (0.0, 0.0, 2.0 + i), "opacities": 0.9} for i in range(4)))
    features = torch.ones(4, 1, dtype=torch.float64, requires_grad=True)
    # Transmittance 1, 0.1, 0.01: the second surfel crosses the limit and counts, the third does not.
    output = backend(surfels.replace(features=features), camera, min_transmittance=0.05)
    assert float(output.alpha.detach()) == pytest.approx(0.99, rel=1e-12)
    output.color.sum().backward()
    torch.testing.assert_close(features.grad[:, 0], torch.tensor([0.9, 0.09, 0, 0], dtype=torch.float64))


def test_a_full_pixel_lets_the_background_through_as_the_alpha_says(backend: Backend):
    surfels, camera = one_pixel(*({"centers": (0.0, 0.0, 2.0 + i), "opacities": 0.995} for i in range(4)))
    output = backend(surfels, camera, background=torch.tensor([0.5], dtype=torch.float64))
    left = 0.005**2  # below 1e-4, so that two of the four are drawn
    assert float(output.alpha) == pytest.approx(1 - left, rel=1e-12)
    assert float(output.color) == pytest.approx(1 - left * 0.5, rel=1e-12)


def test_nothing_below_the_least_alpha_is_drawn(backend: Backend):
    camera = frontal_camera(33, 1, focal=FOCAL)
    surfels = surfel_row({"opacities": 0.8, "scales": (2.0, 2.0)})
    x = FOCAL * rays(camera)[0, :, 0]
    expected = 0.8 * torch.exp(-((x / 4) ** 2) / 2)
    for alpha_min in (0.3, 0.05, 0.01):
        alpha = backend(surfels, camera, alpha_min=alpha_min).alpha[0, :, 0]
        torch.testing.assert_close(alpha, torch.where(expected >= alpha_min, expected, 0), rtol=0, atol=1e-12)
    faint, camera = one_pixel({"opacities": 0.25})
    assert float(backend(faint, camera, alpha_min=0.25).alpha) == 0.25
    assert float(backend(faint, camera, alpha_min=0.2501).alpha) == 0


def test_equal_depths_are_drawn_in_the_order_of_the_index(backend: Backend):
    camera = frontal_camera(3, 3, focal=FOCAL)
    count = 300
    order = torch.randperm(count, generator=torch.Generator().manual_seed(0))
    rows = [
        {
            "centers": (0.01 * float(i), -0.02 * float(i), 4.0 + float(i % 3)),
            "scales": (100.0, 100.0),
            "opacities": 0.2,
            "features": (float(i),),
        }
        for i in order
    ]
    output = backend(surfel_row(*rows), camera, min_transmittance=0.0)
    expected, left = 0.0, 1.0
    for i in sorted(range(count), key=lambda j: (int(order[j]) % 3, j)):
        expected += left * 0.2 * float(order[i])
        left *= 0.8
    # The surfels are so wide that the Gaussian's fall-off is below 2e-3 of one.
    assert float(output.color[1, 1]) == pytest.approx(expected, rel=2e-3)
    reverse = backend(surfel_row(*reversed(rows)), camera, min_transmittance=0.0)
    assert abs(float(reverse.color[1, 1]) - expected) > 0.05 * abs(expected)


def test_surfels_are_ordered_by_their_centers_even_where_planes_cross(backend: Backend):
    # The plane of the first cuts through the second; on the left it is behind, and yet drawn first.
    camera = frontal_camera(11, 1, focal=FOCAL)
    slanted = {
        "centers": (0.0, 0.0, 4.9),
        "rotations_wxyz": (math.cos(0.3), 0.0, math.sin(0.3), 0.0),
        "features": (1.0, 0.0),
    }
    wide = {"scales": (500.0, 500.0), "opacities": 0.6}
    output = backend(surfel_row({**slanted, **wide}, {"features": (0.0, 1.0), **wide}), camera)
    torch.testing.assert_close(output.color[..., 0], torch.full((1, 11), 0.6, dtype=torch.float64), rtol=0, atol=2e-3)
    torch.testing.assert_close(output.color[..., 1], torch.full((1, 11), 0.24, dtype=torch.float64), rtol=0, atol=2e-3)


@pytest.mark.parametrize("degree", [0, 1, 2, 3])
def test_color_follows_the_view_direction(backend: Backend, degree: int):
    generator = torch.Generator().manual_seed(degree)
    sh = 0.4 * torch.randn(1, (degree + 1) ** 2, 3, generator=generator, dtype=torch.float64)
    eye, center = torch.tensor([1.0, -2.0, 0.5], dtype=torch.float64), torch.tensor([0.3, 0.4, 0.6]).double()
    camera = Camera.look_at(eye, center, width=1, height=1, dtype=torch.float64)
    facing = quaternion.from_matrix(camera.cam_from_world[:3, :3].T.contiguous())[None]
    surfels = Surfels(
        centers=center[None],
        rotations_wxyz=facing,
        scales=torch.ones(1, 2, dtype=torch.float64),
        opacities=torch.full((1,), 0.5, dtype=torch.float64),
        sh=sh,
    )
    direction = (center - eye) / (center - eye).norm()
    expected = 0.5 * spherical_harmonics.evaluate(sh[0], direction)
    torch.testing.assert_close(backend(surfels, camera).color[0, 0], expected, rtol=1e-11, atol=1e-12)

    # A warp that has turned the surfel: its colour is that of the direction in the canonical frame.  Its quaternion
    # need not be normalised.
    turn = torch.tensor([[0.8, -0.3, 0.5, 1.2]], dtype=torch.float64)
    canonical = quaternion.to_matrix(turn[0]).T @ direction
    expected = 0.5 * spherical_harmonics.evaluate(sh[0], canonical)
    warped = surfels.replace(world_from_canonical_wxyz=turn)
    torch.testing.assert_close(backend(warped, camera).color[0, 0], expected, rtol=1e-11, atol=1e-12)


def test_negative_colors_of_sh_are_black_and_features_are_not(backend: Backend):
    surfels, camera = one_pixel({"opacities": 0.5})
    dark = torch.full((1, 1, 3), -10.0, dtype=torch.float64)
    assert backend(surfels.replace(features=None, sh=dark), camera).color.abs().max() == 0
    negative = backend(surfels.replace(features=dark[:, 0]), camera).color
    torch.testing.assert_close(negative, torch.full_like(negative, -5.0))


def test_screen_offsets_move_a_surfel_by_pixels(backend: Backend):
    camera = frontal_camera(12, 10, focal=FOCAL)
    surfels = surfel_row({"rotations_wxyz": about_x(50.0), "opacities": 0.9})
    moved = backend(surfels, camera, screen_offsets=torch.tensor([[3.0, -2.0]], dtype=torch.float64))
    still = backend(surfels, camera)
    for name in ("color", "alpha", "normal", "distortion"):
        image, expected = getattr(moved, name), getattr(still, name)
        torch.testing.assert_close(image[:-2, 3:], expected[2:, :-3], rtol=0, atol=1e-12)
        assert not torch.allclose(image, expected, atol=1e-3) or name == "distortion"


def test_radii_are_half_the_larger_side_of_the_footprint(backend: Backend):
    camera = frontal_camera(60, 50, focal=FOCAL)
    r = math.sqrt(2 * math.log(0.5 / ALPHA_MIN))
    surfels = surfel_row(
        {"scales": (1.0, 0.5)},  # sigma 2 and 1 pixels
        {"scales": (1.0, 3.0)},
        {"scales": (1e-6, 1e-6)},  # low pass: sigma sqrt(1/2) pixels
        {"centers": (0.0, 0.0, -5.0)},
        {"opacities": ALPHA_MIN / 2},
        {"centers": (100.0, 0.0, 5.0)},  # beside the image
        {"rotations_wxyz": about_z(45.0), "scales": (1.0, 1e-6)},
    )
    expected = torch.tensor([2 * r, 6 * r, r / math.sqrt(2), 0, 0, 0, 2 * r / math.sqrt(2)], dtype=torch.float64)
    # Compiled boxes are wider by a hair, so that rounding never cuts a pixel off.
    torch.testing.assert_close(backend(surfels, camera).radii, expected, rtol=3e-3, atol=0.02)
