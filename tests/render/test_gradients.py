"""Gradients are the derivatives of the images: finite differences in float64, and identities that gradients obey.

The hard edges of an image (alpha below 1/255 is nothing, a full pixel takes no more) make finite differences
meaningless, so these tests push the limits out to where no edge can be seen: same code, smooth image.
"""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.autograd.gradcheck import GradcheckError

from recon4d import Camera, Surfels
from tests.render.helpers import (
    IMAGES,
    SMOOTH,
    Backend,
    Inputs,
    camera,
    cotangent,
    frontal_camera,
    random_surfels,
    run,
    surfel_row,
)


def before_a_wall(surfels: Surfels) -> Surfels:
    """The same and a wide, faint surfel behind them, so that no pixel is almost empty.

    In a pixel with an alpha of 1e-13, depth divides noise by noise.
    """
    row = surfel_row({"scales": (4.0, 5.0), "opacities": 0.3, "centers": (0.1, 1.5, 0.05)}).tensors()
    row["rotations_wxyz"] = torch.tensor([[0.77, 0.64, 0.02, -0.03]], dtype=torch.float64)
    row["features"] = torch.full_like(surfels.tensors().get("features", surfels.centers)[:1], 0.4)
    row["sh"] = torch.full_like(surfels.tensors().get("sh", surfels.centers)[:1], 0.2)
    row["world_from_canonical_wxyz"] = row["rotations_wxyz"]
    return Surfels(**{name: torch.cat([array, row[name]]) for name, array in surfels.tensors().items()})


def check(
    backend: Backend, surfels: Surfels, view: Camera, *, each_entry: bool = False, constant: tuple[str, ...] = ()
) -> None:
    """Compare gradients of every image with finite differences, in every input at once.

    Every image is weighed with random numbers and summed: six functions, whose gradients are wrong in some entry if any
    part of the backward pass is.  Each input is moved along one random direction, or entry by entry.  All inputs but
    the `constant` ones must matter.
    """
    inputs = Inputs.of(before_a_wall(surfels), view)
    names = list(inputs.surfels.tensors())
    leaves = [inputs.surfels.tensors()[name] for name in names]
    intrinsics = torch.stack([view.K[0, 0], view.K[1, 1], view.K[0, 2], view.K[1, 2]])
    zeros, last_row = torch.zeros(3, dtype=torch.float64), torch.tensor([[0.0, 0.0, 0.0, 1.0]], dtype=torch.float64)

    def weighed_images(
        fxfycxcy: Tensor, pose: Tensor, background: Tensor, screen_offsets: Tensor, *arrays: Tensor
    ) -> tuple[Tensor, ...]:
        fx, fy, cx, cy = fxfycxcy
        K = torch.stack([fx, zeros[0], cx, zeros[0], fy, cy, *zeros[:2], zeros[0] + 1]).reshape(3, 3)
        output = backend(
            Surfels(**dict(zip(names, arrays, strict=True))),
            Camera(K, torch.cat([pose, last_row]), view.width, view.height),
            background=background,
            screen_offsets=screen_offsets,
            **SMOOTH,
        )
        images = {name: getattr(output, name) for name in IMAGES}
        return tuple((image * cotangent(name, image)).sum() for name, image in images.items())

    arguments = [intrinsics, view.cam_from_world[:3], inputs.background, inputs.screen_offsets, *leaves]
    arguments = [leaf.detach().clone().requires_grad_() for leaf in arguments]
    # Nothing to differentiate would pass anything.
    gradients = run(backend, inputs, torch.float64, **SMOOTH).gradients
    assert all(float(gradient.abs().max()) > 1e-3 for name, gradient in gradients.items() if name not in constant)
    # A step of 1e-6 leaves errors of about 1e-9; gradients here are of size 0.01 to 100.
    assert torch.autograd.gradcheck(weighed_images, arguments, eps=1e-6, atol=2e-6, rtol=1e-6, fast_mode=not each_entry)


VIEW = {"aspect": 1.3, "shift": (0.8, -1.1), "dtype": torch.float64}


@pytest.mark.parametrize("degree", [0, 1, 2, 3])
def test_all_inputs_with_spherical_harmonics(backend: Backend, degree: int):
    surfels = random_surfels(4, seed=degree, sh_degree=degree, warped=True, size=(0.2, 0.6), dtype=torch.float64)
    surfels = surfels.replace(sh=0.5 * surfels.sh)  # no colour near its clamp at 0
    # One colour for all directions does not care how it was turned.
    check(backend, surfels, camera(6, 5, **VIEW), constant=("world_from_canonical_wxyz",) if degree == 0 else ())


@pytest.mark.parametrize("channels", [1, 4, 7])
def test_all_inputs_with_features(backend: Backend, channels: int):
    surfels = random_surfels(5, seed=10 + channels, channels=channels, size=(0.2, 0.8), dtype=torch.float64)
    check(backend, surfels, camera(7, 4, **VIEW), each_entry=channels == 1)


def test_where_the_low_pass_decides(backend: Backend):
    surfels = random_surfels(8, seed=3, size=(1e-3, 2e-2), reach=0.4, dtype=torch.float64)
    check(backend, surfels, camera(6, 5, focal=2.0, **VIEW), constant=("scales",))


def test_scales_on_the_floor_have_no_gradient(backend: Backend):
    surfels = random_surfels(5, seed=4, size=(3e-6, 5e-6), reach=0.4, dtype=torch.float64)
    check(backend, surfels, camera(6, 5, **VIEW), constant=("scales",))
    assert run(backend, Inputs.of(surfels, camera(6, 5)), torch.float64).gradients["scales"].abs().max() == 0


def test_surfels_that_pass_through_the_camera_plane(backend: Backend):
    # Wide discs beside the camera, their centres in front of it.
    surfels = random_surfels(6, seed=6, reach=0.5, size=(1.0, 3.0), dtype=torch.float64)
    view = camera(6, 5, eye=(0.1, -0.9, 0.2), focal=0.7, **VIEW)
    depths = view.project(surfels.centers)[1]
    assert int((depths > 0.05).sum()) >= 4
    check(backend, surfels, view)


def test_a_dense_stack(backend: Backend):
    surfels = random_surfels(24, seed=8, size=(0.3, 1.5), reach=0.6, opacity=(0.2, 0.9), dtype=torch.float64)
    check(backend, surfels, camera(4, 3, **VIEW))


def test_finite_differences_catch_a_mistake(monkeypatch: pytest.MonkeyPatch):
    """The check above has teeth: it fails for a gradient that is 1 % wrong in one surfel."""
    draw = Backend.__call__

    def with_a_mistake(self: Backend, surfels: Surfels, cameras: Camera, **options: object) -> object:
        scale = torch.ones_like(surfels.scales)
        scale[1, 0] = 1.01
        surfels.scales.register_hook(lambda gradient: gradient * scale)
        return draw(self, surfels, cameras, **options)

    monkeypatch.setattr(Backend, "__call__", with_a_mistake)
    surfels = random_surfels(3, seed=1, size=(0.2, 0.6), dtype=torch.float64)
    with pytest.raises(GradcheckError):
        check(Backend("reference"), surfels, camera(5, 4, **VIEW))


def test_gradient_of_the_offsets_is_the_sum_over_pixels(backend: Backend):
    """Finite differences of one surfel's position on screen, pixel by pixel."""
    surfels, view = surfel_row({"scales": (0.7, 0.4), "opacities": 0.8}), frontal_camera(9, 8)
    offsets = torch.zeros(1, 2, dtype=torch.float64, requires_grad=True)
    color = backend(surfels, view, screen_offsets=offsets, **SMOOTH).color
    weights = cotangent("color", color)
    (color * weights).sum().backward()

    def shifted(x: float, y: float) -> Tensor:
        step = torch.tensor([[x, y]], dtype=torch.float64)
        return backend(surfels, view, screen_offsets=step, **SMOOTH).color

    eps = 1e-5
    by_pixel = [
        weights * (shifted(eps, 0) - shifted(-eps, 0)) / (2 * eps),
        weights * (shifted(0, eps) - shifted(0, -eps)) / (2 * eps),
    ]
    expected = torch.stack([image.sum() for image in by_pixel])[None]
    torch.testing.assert_close(offsets.grad, expected, rtol=1e-7, atol=1e-9)
    assert offsets.grad.abs().min() > 1e-3


@pytest.mark.parametrize("limits", [{}, SMOOTH], ids=["default", "smooth"])
def test_moving_the_principal_point_is_moving_all_surfels(backend: Backend, limits: dict[str, float]):
    surfels = random_surfels(40, seed=2, dtype=torch.float64)
    gradients = run(backend, Inputs.of(surfels, camera(20, 17, dtype=torch.float64)), torch.float64, **limits).gradients
    expected = gradients["screen_offsets"].sum(0)
    torch.testing.assert_close(gradients["K"][:2, 2], expected, rtol=1e-9, atol=1e-9)
    assert expected.abs().min() > 1e-3


def test_a_longer_quaternion_is_the_same_rotation(backend: Backend):
    surfels = random_surfels(10, seed=5, sh_degree=1, warped=True, dtype=torch.float64)
    gradients = run(backend, Inputs.of(surfels, camera(12, 9, dtype=torch.float64)), torch.float64).gradients
    for name in ("rotations_wxyz", "world_from_canonical_wxyz"):
        along = (gradients[name] * surfels.tensors()[name]).sum(-1)
        assert along.abs().max() < 1e-10 * gradients[name].abs().max()
        longer = surfels.replace(**{name: 3 * surfels.tensors()[name]})
        again = run(backend, Inputs.of(longer, camera(12, 9, dtype=torch.float64)), torch.float64).gradients
        torch.testing.assert_close(3 * again[name], gradients[name], rtol=1e-8, atol=1e-10)


def test_turning_the_world_turns_nothing_in_sum(backend: Backend):
    """A rigid motion of surfels and camera together changes no image, so the gradients along it cancel."""
    surfels = random_surfels(30, seed=7, sh_degree=2, dtype=torch.float64)
    view = camera(16, 12, dtype=torch.float64)
    gradients = run(backend, Inputs.of(surfels, view), torch.float64, **SMOOTH).gradients
    # World translation d: centres move by d, and t by -R d.
    R = view.cam_from_world[:3, :3]
    camera_part = R.T @ gradients["cam_from_world"][:3, 3]
    # Colours follow the camera centre -R^T t, which moves with the rest, so they need no special care.
    torch.testing.assert_close(gradients["centers"].sum(0), camera_part, rtol=1e-9, atol=1e-9)
    assert camera_part.abs().min() > 1e-4
