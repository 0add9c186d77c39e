"""Scenes at the ends of what there is: nothing, one pixel, behind the camera, through it, beside the image."""

from __future__ import annotations

import math

import pytest
import torch

from recon4d.core import quaternion
from recon4d.render.constants import ALPHA_MIN, EDGE_ON_COSINE
from tests.render.helpers import (
    IMAGES,
    Backend,
    Inputs,
    assert_gradients_agree,
    assert_images_close,
    camera,
    frontal_camera,
    random_surfels,
    run,
    surfel_row,
)

REFERENCE = Backend("reference")


def assert_as_reference(backend: Backend, inputs: Inputs, **options: object) -> None:
    """Images and gradients are those of the float64 reference, in float64 to the last digits."""
    expected = run(REFERENCE, inputs, torch.float64, **options)
    # Observed: 1.3e-3 of a gradient in float32 (a grazing surfel).
    for dtype, atol, relative in ((torch.float32, 5e-5, 2e-3), (torch.float64, 1e-9, 1e-7)):
        found = run(backend, inputs, dtype, **options)
        for name in IMAGES:
            size = max(1.0, float(expected.images[name].abs().max()))
            assert_images_close(found.images[name], expected.images[name], atol=atol * size)
        for name, gradient in expected.gradients.items():
            if gradient.abs().max() > 0:
                bounds = {"angle": relative, "l1": relative, "l2": relative, "bias": relative}
                assert_gradients_agree(found.gradients[name], gradient, **bounds)
            else:
                assert found.gradients[name].abs().max() == 0, name


@pytest.mark.parametrize("background", [None, (0.2, 0.4, 0.6)])
def test_an_empty_scene_is_the_background(backend: Backend, background: tuple[float, ...] | None):
    color = None if background is None else torch.tensor(background, requires_grad=True)
    empty = random_surfels(0)
    output = backend(empty, camera(19, 7), background=color)
    expected = torch.zeros(3) if background is None else torch.tensor(background)
    assert torch.equal(output.color, expected.expand(7, 19, 3))
    assert output.radii.shape == (0,)
    for name in IMAGES[1:]:
        assert getattr(output, name).abs().max() == 0
    if color is not None:
        output.color.sum().backward()
        assert torch.equal(color.grad, torch.full((3,), 7.0 * 19))


def test_an_empty_scene_has_empty_gradients(backend: Backend):
    for surfels in (random_surfels(0), random_surfels(0, sh_degree=2, warped=True)):
        leaves = Inputs.of(surfels, camera()).fresh(torch.float32)
        leaves.draw(backend).color.sum().backward()
        for name, leaf in leaves.leaves().items():
            if name != "background":
                assert leaf.grad is None or leaf.grad.abs().sum() == 0


@pytest.mark.parametrize("size", [(1, 1), (1, 40), (40, 1), (15, 17), (16, 16), (17, 15), (33, 31), (64, 2)])
def test_images_of_any_size(backend: Backend, size: tuple[int, int]):
    assert_as_reference(backend, Inputs.of(random_surfels(60, seed=sum(size)), camera(*size)))


@pytest.mark.parametrize("count", [1, 2, 7, 8, 9, 15, 16, 17, 31, 33])
def test_any_number_of_surfels(backend: Backend, count: int):
    assert_as_reference(backend, Inputs.of(random_surfels(count, seed=count, size=(0.2, 0.6)), camera(18, 17)))


def test_surfels_behind_the_camera_are_not_drawn(backend: Backend):
    surfels = surfel_row(*({"centers": (0.1 * i, 0.0, z)} for i, z in enumerate((-5.0, -0.01, 0.0, 0.005, 0.01))))
    output = backend(surfels, frontal_camera(12, 10))
    assert output.alpha.abs().max() == 0
    assert output.radii.abs().max() == 0
    just_in_front = backend(surfel_row({"centers": (0.0, 0.0, 0.0101), "scales": (1e-3, 1e-3)}), frontal_camera(11, 11))
    assert just_in_front.alpha.max() > 0.4
    moved = backend(surfels, frontal_camera(12, 10), near=0.004)
    assert int((moved.radii > 0).sum()) == 2


def test_a_surfel_through_the_camera_plane_is_cut_at_the_near_plane(backend: Backend):
    """A floor that reaches from before the camera to behind it: seen from the near plane on, at its true depth."""
    view = frontal_camera(16, 16, focal=8.0)
    # The plane y = 1, normal along y; its centre 2 in front, so wide that it is all over the lower half.
    floor = surfel_row(
        {
            "centers": (0.0, 1.0, 2.0),
            "rotations_wxyz": (math.sqrt(0.5), math.sqrt(0.5), 0.0, 0.0),
            "scales": (50.0, 50.0),
            "opacities": 0.9,
        }
    )
    for near in (0.01, 1.5):
        output = backend(floor, view, near=near)
        y = (torch.arange(16, dtype=torch.float64) + 0.5 - 8) / 8
        z = 1 / y.clamp_min(1e-9)
        seen = (y > 0) & (z > near)
        depth = torch.where(seen, z, 0)[:, None].expand(16, 16)
        # Around its projected centre the low-pass disc is drawn as well.
        x_grid, y_grid = torch.meshgrid(*(torch.arange(16).double() + 0.5,) * 2, indexing="xy")
        in_disc = (x_grid - 8) ** 2 + (y_grid - 12) ** 2 < 8
        torch.testing.assert_close(output.depth[..., 0][~in_disc], depth[~in_disc], rtol=1e-9, atol=0)
        assert (output.alpha[..., 0][seen] > 0.8).all()
    assert_as_reference(backend, Inputs.of(floor, view))


@pytest.mark.parametrize("scale", [0.5, 2.0, 8.0, 100.0])
@pytest.mark.parametrize("tilt", [20.0, 60.0, 85.0, 89.0])
def test_discs_that_cross_the_camera_plane(backend: Backend, scale: float, tilt: float):
    half = math.radians(tilt) / 2
    surfels = surfel_row(
        *(
            {
                "centers": (x, y, 0.6),
                "scales": (scale, 0.7 * scale),
                "rotations_wxyz": (
                    math.cos(half),
                    math.sin(half) * math.cos(spin),
                    math.sin(half) * math.sin(spin),
                    0.1,
                ),
                "opacities": 0.4,
                "features": (0.2 + x, 0.5, y),
            }
            for x, y, spin in ((0.4, 0.1, 0.3), (-0.7, 0.5, 2.0), (0.1, -0.9, 4.0), (3.0, 0.2, 5.5))
        )
    )
    view = frontal_camera(21, 18, focal=9.0)
    expected = run(REFERENCE, Inputs.of(surfels, view), torch.float64)
    assert float(expected.images["alpha"].max()) > 0.1
    # Gradients in float32 are compared on the gallery; a plane seen at 1 degree has few digits left.
    for dtype, atol in ((torch.float32, 2e-4), (torch.float64, 1e-9)):
        images = run(backend, Inputs.of(surfels, view), dtype).images
        for name in IMAGES:
            size = max(1.0, float(expected.images[name].abs().max()))
            assert_images_close(images[name], expected.images[name], atol=atol * size)
    double = run(backend, Inputs.of(surfels, view), torch.float64)
    for name, gradient in expected.gradients.items():
        assert_gradients_agree(double.gradients[name], gradient, angle=1e-9, l1=1e-6, l2=1e-6, bias=1e-6)


def test_an_edge_on_surfel_is_a_dot(backend: Backend):
    """Seen exactly edge-on, and within the limit of it, there is no plane: the low-pass disc at the centre's depth."""
    view = frontal_camera(13, 13)
    for lean in (0.0, 0.5 * EDGE_ON_COSINE):
        half = (math.pi / 2 - lean) / 2
        edge = {"rotations_wxyz": (math.cos(half), math.sin(half), 0.0, 0.0), "scales": (3.0, 2.0), "opacities": 0.8}
        output = backend(surfel_row(edge), view)
        x, y = torch.meshgrid(*(torch.arange(13).double() - 6,) * 2, indexing="xy")
        alpha = 0.8 * torch.exp(-(x**2 + y**2))
        alpha = torch.where(alpha >= ALPHA_MIN, alpha, 0)
        torch.testing.assert_close(output.alpha[..., 0], alpha, rtol=0, atol=1e-12)
        torch.testing.assert_close(output.depth[..., 0], torch.where(alpha > 0, 5.0, 0.0).double(), rtol=1e-12, atol=0)
        gradients = run(backend, Inputs.of(surfel_row(edge), view), torch.float64).gradients
        assert gradients["scales"].abs().max() == 0
        assert gradients["opacities"].abs().min() > 0


@pytest.mark.parametrize("scale", [10.0, 1e3, 1e6])
def test_a_surfel_larger_than_the_screen(backend: Backend, scale: float):
    rows = (
        {"scales": (scale, 2 * scale), "opacities": 0.3, "rotations_wxyz": (0.98, 0.1, -0.1, 0.1)},
        {"scales": (scale, scale), "opacities": 0.6, "centers": (0.5, 0.2, 9.0)},
    )
    surfels, view = surfel_row(*rows), frontal_camera(37, 22)
    output = backend(surfels, view)
    if scale > 10:
        assert output.alpha.min() > 0.7
        assert torch.equal(output.radii, torch.full((2,), 37.0, dtype=torch.float64))
    # Past 1e3 the slopes are too small to be compared with anything.
    if scale <= 1e3:
        assert_as_reference(backend, Inputs.of(surfels, view))


def test_surfels_of_no_size_are_low_pass_discs(backend: Backend):
    surfels = random_surfels(30, size=(1e-5, 1e-3))
    pointed = surfels.replace(scales=torch.zeros_like(surfels.scales))
    view = camera(40, 30)
    torch.testing.assert_close(backend(pointed, view).alpha, backend(surfels, view).alpha, rtol=0, atol=1e-6)
    assert backend(pointed, view).alpha.max() > 0.5
    assert_as_reference(backend, Inputs.of(pointed, view))


def test_a_needle(backend: Backend):
    """No width, but a length: drawn as wide as the low pass."""
    surfels = random_surfels(30, seed=1)
    scales = torch.stack([surfels.scales[:, 0], torch.zeros(30)], 1)
    assert_as_reference(backend, Inputs.of(surfels.replace(scales=scales), camera(30, 20)))


@pytest.mark.parametrize("shift", [(0.0, 0.0), (-9.0, 4.5), (400.0, 0.0), (-1e5, 1e5)])
@pytest.mark.parametrize("aspect", [0.2, 1.0, 7.0])
def test_cameras_off_center_with_pixels_of_any_shape(backend: Backend, shift: tuple[float, float], aspect: float):
    view = camera(23, 14, shift=shift, aspect=aspect)
    surfels = random_surfels(60, seed=9)
    if shift == (400.0, 0.0):  # look where the surfels are
        view = camera(23, 14, shift=shift, aspect=aspect, focal=400 * 3 / 23)
        surfels = surfels.replace(centers=surfels.centers + torch.tensor([-0.9, 0.0, 0.0]))
    assert_as_reference(backend, Inputs.of(surfels, view))


@pytest.mark.parametrize("channels", [1, 2, 3, 4, 5, 8, 16, 31, 64])
def test_any_number_of_channels(backend: Backend, channels: int):
    surfels = random_surfels(40, channels=channels, seed=channels)
    wide = backend(surfels, camera())
    for first in (0, channels - 1):
        alone = backend(surfels.replace(features=surfels.features[:, first : first + 1].contiguous()), camera())
        torch.testing.assert_close(wide.color[..., first : first + 1], alone.color, rtol=1e-5, atol=1e-6)
    assert_as_reference(backend, Inputs.of(surfels, camera()))


@pytest.mark.parametrize("channels", [1, 2, 29, 30, 40])
def test_any_number_of_channels_beside_sh(backend: Backend, channels: int):
    surfels = random_surfels(40, sh_degree=2, warped=True, channels=channels, both=True, seed=channels)
    mixed = backend(surfels, camera())
    assert mixed.color.shape[-1] == 3 + channels
    for part, alone in ((slice(0, 3), {"features": None}), (slice(3, None), {"sh": None})):
        expected = backend(surfels.replace(**alone), camera())
        torch.testing.assert_close(mixed.color[..., part], expected.color, rtol=1e-5, atol=1e-6)
        torch.testing.assert_close(mixed.depth, expected.depth)
    assert_as_reference(backend, Inputs.of(surfels, camera()))


def test_many_surfels_in_one_tile(backend: Backend):
    """More than any fixed list would hold, none of them opaque."""
    surfels = random_surfels(6000, seed=5, reach=0.3, size=(0.05, 0.1), opacity=(0.004, 0.02))
    view = camera(9, 7)
    expected = REFERENCE(surfels.to(torch.float64), camera(9, 7, dtype=torch.float64))
    found = backend(surfels, view)
    assert float(expected.alpha.max()) > 0.99
    for name in IMAGES:
        size = 10.0 if "depth" in name else 1.0
        # 1000 terms per pixel, each on one side or the other of the least alpha by rounding.
        assert_images_close(getattr(found, name).double(), getattr(expected, name), atol=2e-4 * size, band=0.05)


@pytest.mark.parametrize("seed", range(4))
def test_every_pixel_of_a_footprint_is_drawn(backend: Backend, seed: int):
    """One surfel at a time: exactly the reference's pixels, whatever bounds a kernel works with."""
    view = frontal_camera(64, 64, focal=60.0)
    for i in range(12):
        surfels = random_surfels(1, seed=100 * seed + i, reach=0.2, size=(0.01, 0.3), opacity=(0.01, 1.0))
        surfels = surfels.replace(centers=surfels.centers + torch.tensor([0.0, 0.0, 2.0])).to(torch.float64)
        drawn = REFERENCE(surfels, view).alpha[..., 0] > 0
        assert torch.equal(backend(surfels, view).alpha[..., 0] > 0, drawn)
        pixels = drawn.nonzero()
        assert float((pixels.amax(0) - pixels.amin(0)).max()) <= 2 * float(backend(surfels, view).radii[0])


@pytest.mark.parametrize("near", [0.01, 0.3])
def test_radii_are_those_of_the_projected_outline(backend: Backend, near: float):
    """Against an outline of many points, cut where it passes the near plane."""
    surfels = random_surfels(300, seed=17, size=(0.01, 2.0), dtype=torch.float64)
    view = camera(64, 48, eye=(0.3, -1.6, 0.2), focal=0.3, dtype=torch.float64)
    radii = backend(surfels, view, near=near).radii

    R, t = view.cam_from_world[:3, :3], view.cam_from_world[:3, 3]
    m = surfels.centers @ R.T + t
    axes = R @ quaternion.to_matrix(surfels.rotations_wxyz)
    r = (2 * torch.log(surfels.opacities / ALPHA_MIN)).sqrt()
    angle = torch.linspace(0, 2 * math.pi, 20001, dtype=torch.float64)
    u, v = (r * surfels.scales[:, 0])[:, None], (r * surfels.scales[:, 1])[:, None]
    points = m + angle.cos()[:, None, None] * (u * axes[:, :, 0]) + angle.sin()[:, None, None] * (v * axes[:, :, 1])
    there = points[..., 2:] > near
    image = torch.stack([view.K[0, 0], view.K[1, 1]]) * points[..., :2] / points[..., 2:]
    center = torch.stack([view.K[0, 0], view.K[1, 1]]) * m[:, :2] / m[:, 2:]
    circle = (r / math.sqrt(2))[:, None]
    low = torch.minimum(torch.where(there, image, math.inf).amin(0), center - circle)
    high = torch.maximum(torch.where(there, image, -math.inf).amax(0), center + circle)
    expected = (high - low).amax(1) / 2
    on_screen = ((high + view.K[:2, 2] > 1) & (low + view.K[:2, 2] < torch.tensor([63, 47]))).all(1)
    checked = on_screen & (m[:, 2] > near) & (expected < 63)
    crossing = checked & ~there.all(0)[:, 0]
    assert int(checked.sum()) > 150
    assert int(crossing.sum()) > 5 or near < 0.1  # what reaches the very camera fills the image
    # Compiled boxes are wider by a hair, and around what crosses the near plane by a pixel.
    excess = (radii - expected)[checked]
    assert float((excess / expected[checked]).min()) > -1e-3
    assert (excess < 0.05 + 3e-3 * expected[checked] + 1.1 * crossing[checked]).all()


def test_nothing_is_left_behind_an_alpha_of_one(backend: Backend):
    """The ray through the very centre of an opaque surfel: what divides by 1 - alpha must not."""
    rows = ({"opacities": 1.0, "centers": (0.0, 0.0, 3.0)}, {"opacities": 1.0, "features": (0.2,)})
    inputs = Inputs.of(surfel_row(*rows), frontal_camera(5, 5))
    options = {"alpha_max": 1.0, "min_transmittance": 0.0}
    expected = run(REFERENCE, inputs, torch.float64, **options)
    for dtype in (torch.float32, torch.float64):
        found = run(backend, inputs, dtype, **options)
        assert float(found.images["alpha"][2, 2]) == float(found.images["color"][2, 2]) == 1.0
        for name in IMAGES:
            assert_images_close(found.images[name], expected.images[name], atol=1e-5)
        for name, gradient in found.gradients.items():
            assert torch.isfinite(gradient).all(), name
        # The colour behind that pixel is seen by others only.
        torch.testing.assert_close(found.gradients["features"], expected.gradients["features"], rtol=1e-4, atol=1e-6)


def test_a_surfel_at_the_camera(backend: Backend):
    """The direction from a camera to itself is none; such a surfel is not drawn and has no colour to compute."""
    surfels = random_surfels(8, sh_degree=2)
    view = camera()
    centers = surfels.centers.clone()
    centers[3] = view.center_in_world
    inputs = Inputs.of(surfels.replace(centers=centers), view)
    assert_as_reference(backend, inputs)
    assert run(backend, inputs, torch.float32).gradients["sh"][3].abs().max() == 0


def test_an_image_as_background(backend: Backend):
    generator = torch.Generator().manual_seed(0)
    image = torch.rand(18, 24, 3, generator=generator).requires_grad_()
    surfels, view = random_surfels(60), camera()
    output = backend(surfels, view, background=image)
    plain = backend(surfels, view)
    torch.testing.assert_close(output.color, plain.color + (1 - plain.alpha) * image, rtol=0, atol=1e-6)
    output.color.sum().backward()
    torch.testing.assert_close(image.grad, (1 - plain.alpha).expand(18, 24, 3))
    uniform = torch.tensor([0.3, 0.6, 0.9])
    torch.testing.assert_close(
        backend(surfels, view, background=uniform.expand(18, 24, 3).contiguous()).color,
        backend(surfels, view, background=uniform).color,
        rtol=0,
        atol=1e-6,
    )


def test_surfels_out_of_sight_get_zeros(backend: Backend):
    """Not drawn, not hit: zero gradients, not garbage."""
    surfels = random_surfels(40, seed=3)
    centers = surfels.centers.clone()
    centers[10:20] += torch.tensor([50.0, 0.0, 0.0])  # beside
    centers[20:30] += torch.tensor([0.0, -20.0, 0.0])  # behind
    opacities = surfels.opacities.clone()
    opacities[30:] = 0.5 * ALPHA_MIN
    result = run(backend, Inputs.of(surfels.replace(centers=centers, opacities=opacities), camera()), torch.float32)
    assert (result.radii[:10] > 0).all()
    assert (result.radii[10:] == 0).all()
    for name in surfels.tensors():
        assert (result.gradients[name][10:] == 0).all()
        assert (result.gradients[name][:10] != 0).any(), name
