"""Normals of depth maps, their consistency with blended normals, and distortion."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from recon4d.losses import distortion_error, normal_consistency, normals_from_depth

WIDTH, HEIGHT = 17, 13


def intrinsics() -> torch.Tensor:
    return torch.tensor([[30.0, 0.0, 8.0], [0.0, 25.0, 7.0], [0.0, 0.0, 1.0]], dtype=torch.float64)


def plane_depth(normal: torch.Tensor, distance: float = 3.0) -> torch.Tensor:
    """Camera z of the plane normal . x = -distance along every pixel's ray; the normal faces the camera."""
    K = intrinsics()
    x = (torch.arange(WIDTH, dtype=torch.float64) + 0.5 - K[0, 2]) / K[0, 0]
    y = (torch.arange(HEIGHT, dtype=torch.float64) + 0.5 - K[1, 2]) / K[1, 1]
    rays = torch.stack([x.expand(HEIGHT, WIDTH), y[:, None].expand(HEIGHT, WIDTH), torch.ones(HEIGHT, WIDTH)], -1)
    return (-distance / (rays @ normal))[..., None]


@st.composite
def plane_normals(draw: st.DrawFn) -> torch.Tensor:
    tilt, turn = draw(st.floats(0, 0.9)), draw(st.floats(0, 6.3))
    return torch.tensor(
        [math.sin(tilt) * math.cos(turn), math.sin(tilt) * math.sin(turn), -math.cos(tilt)], dtype=torch.float64
    )


@settings(deadline=None, max_examples=40)
@given(normal=plane_normals(), length=st.floats(0.05, 1.0))
def test_planes_have_their_normal_and_are_consistent(normal: torch.Tensor, length: float):
    depth = plane_depth(normal)
    found = normals_from_depth(depth, intrinsics())
    assert found.shape == (HEIGHT - 2, WIDTH - 2, 3)
    torch.testing.assert_close(found, normal.expand_as(found), atol=1e-9, rtol=0)
    blended = (length * normal).expand(HEIGHT, WIDTH, 3)
    loss = normal_consistency(blended, torch.ones(HEIGHT, WIDTH, 1, dtype=torch.float64), depth, intrinsics())
    assert abs(loss.item()) < 1e-9


@pytest.mark.parametrize("degrees", [10.0, 45.0, 90.0, 180.0])
@pytest.mark.parametrize("length", [1.0, 0.3])
def test_it_is_one_minus_the_cosine(degrees: float, length: float):
    angle = math.radians(degrees)
    facing = torch.tensor([0.0, 0.0, -1.0], dtype=torch.float64)
    turned = length * torch.tensor([math.sin(angle), 0.0, -math.cos(angle)], dtype=torch.float64)
    alpha = torch.full((HEIGHT, WIDTH, 1), 0.8, dtype=torch.float64)
    loss = normal_consistency(turned.expand(HEIGHT, WIDTH, 3), alpha, plane_depth(facing), intrinsics())
    assert loss.item() == pytest.approx(1 - math.cos(angle), abs=1e-9)


def test_pixels_beside_the_background_do_not_count():
    facing = torch.tensor([0.0, 0.0, -1.0], dtype=torch.float64)
    depth, alpha = plane_depth(facing), torch.ones(HEIGHT, WIDTH, 1, dtype=torch.float64)
    alpha[:, 9:] = 0.0
    depth[:, 9:] = 0.0
    blended = facing.expand(HEIGHT, WIDTH, 3)
    assert abs(normal_consistency(blended, alpha, depth, intrinsics()).item()) < 1e-9
    assert normal_consistency(blended, torch.zeros_like(alpha), depth * 0, intrinsics()).item() == 0.0


def test_coverage_is_a_constant():
    depth = plane_depth(torch.tensor([0.0, 0.0, -1.0], dtype=torch.float64))
    alpha = torch.full((HEIGHT, WIDTH, 1), 0.9, dtype=torch.float64, requires_grad=True)
    normal = torch.rand(HEIGHT, WIDTH, 3, dtype=torch.float64, requires_grad=True)
    normal_consistency(normal, alpha, depth, intrinsics()).backward()
    assert alpha.grad is None
    assert normal.grad is not None
    assert bool(normal.grad.isfinite().all())


def test_gradients():
    generator = torch.Generator().manual_seed(4)
    depth = plane_depth(torch.tensor([0.3, -0.2, -0.9327], dtype=torch.float64))
    depth = (depth + 0.05 * torch.rand(depth.shape, generator=generator, dtype=torch.float64)).requires_grad_()
    normal = torch.randn(HEIGHT, WIDTH, 3, generator=generator, dtype=torch.float64, requires_grad=True)
    alpha = 0.5 + 0.5 * torch.rand(HEIGHT, WIDTH, 1, generator=generator, dtype=torch.float64)
    assert torch.autograd.gradcheck(lambda n, d: normal_consistency(n, alpha, d, intrinsics()), (normal, depth))


def test_gradients_are_finite_where_nothing_is():
    depth = torch.zeros(5, 5, 1, requires_grad=True)
    normal = torch.zeros(5, 5, 3, requires_grad=True)
    loss = normal_consistency(normal, torch.ones(5, 5, 1), depth, intrinsics().float())
    loss.backward()
    assert loss.item() == 1.0
    assert depth.grad is not None
    assert normal.grad is not None
    assert bool(depth.grad.isfinite().all())
    assert bool(normal.grad.isfinite().all())


def test_distortion_by_hand():
    # Two surfels of weight 1/2 at z = 2 and z = 4: half the double sum is 1/2 * 2 * 1/4 * (1/2 - 1/4)^2.
    spread = torch.full((2, 2, 1), 0.25 * 0.25**2)
    assert distortion_error(spread, 8.0).item() == pytest.approx(0.25 * 0.25**2 * 64)
    assert distortion_error(torch.zeros(2, 2, 1), 8.0).item() == 0.0
    assert torch.autograd.gradcheck(lambda d: distortion_error(d, 3.0), (spread.double().requires_grad_(),))
