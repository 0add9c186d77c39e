"""Losses of motions of few modes, and of surfaces without bumps."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from recon4d.core import quaternion
from recon4d.losses import motion_rank, surface_roughness


def test_rank_by_hand():
    # One mode: deviations -1, 0, 1 in one coordinate, of root mean square sqrt(2 / 3).
    one = torch.tensor([[4.0, 7.0], [5.0, 7.0], [6.0, 7.0]], dtype=torch.float64)
    assert motion_rank(one).item() == pytest.approx(math.sqrt(2 / 3))
    # A second coordinate that goes along is the same mode, longer; singular values add up for one that does not.
    along = torch.tensor([[-1.0, -1.0], [0.0, 0.0], [1.0, 1.0]], dtype=torch.float64)
    assert motion_rank(along).item() == pytest.approx(math.sqrt(4 / 3))
    across = torch.tensor([[-1.0, 0.0], [1.0, 0.0], [0.0, -1.0], [0.0, 1.0]], dtype=torch.float64)
    assert motion_rank(across).item() == pytest.approx(2 * math.sqrt(2) / 2)


def test_standing_still_has_no_rank_and_a_gradient():
    places = torch.full((5, 6), 3.0, requires_grad=True)
    rank = motion_rank(places)
    assert rank.item() == 0.0
    rank.backward()
    assert places.grad is not None
    assert bool(places.grad.isfinite().all())
    assert motion_rank(torch.ones(1, 4)).item() == 0.0


@settings(deadline=None, max_examples=30)
@given(seed=st.integers(0, 2**20))
def test_rank_does_not_know_place_or_axes_and_prefers_few_modes(seed: int):
    generator = torch.Generator().manual_seed(seed)
    places = torch.randn(7, 4, generator=generator, dtype=torch.float64)
    turn = torch.linalg.qr(torch.randn(4, 4, generator=generator, dtype=torch.float64)).Q
    assert motion_rank(places @ turn + 5).item() == pytest.approx(motion_rank(places).item(), rel=1e-9)
    assert motion_rank(3 * places).item() == pytest.approx(3 * motion_rank(places).item(), rel=1e-9)
    # A motion of several modes costs more than one of one mode that is as large.
    large = (places - places.mean(0)).norm().item() / math.sqrt(7)
    assert large < motion_rank(places).item() <= 2 * large + 1e-9


def test_rank_gradients():
    generator = torch.Generator().manual_seed(2)
    places = torch.randn(6, 4, generator=generator, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(motion_rank, (places,))


UP = (0.0, 0.0, 1.0)


def test_roughness_by_hand():
    # The second point is a step of 3 along and 4 up from the first: d / r is 0.8 from the plane of the first.
    centers = torch.tensor([[0.0, 0.0, 0.0], [3.0, 0.0, 4.0]], dtype=torch.float64)
    rows, neighbours = torch.tensor([0]), torch.tensor([[1]])
    normals = torch.tensor([UP, UP], dtype=torch.float64)
    pull = 0.64 / (0.64 + 0.25)
    assert surface_roughness(centers, normals, rows, neighbours).item() == pytest.approx(pull)
    assert surface_roughness(centers, normals, rows, neighbours, thickness=2.0).item() == pytest.approx(0.64 / 4.64)
    # Turned by 60 degrees: 1 - 1/4 more; with the sign the other way it is the same.
    tilted = torch.tensor([UP, (math.sqrt(0.75), 0.0, -0.5)], dtype=torch.float64)
    assert surface_roughness(centers, tilted, rows, neighbours).item() == pytest.approx(pull + 0.75)
    # The mean over pairs; whoever names itself adds nothing.
    both = torch.tensor([[1, 0]])
    assert surface_roughness(centers, tilted, rows, both).item() == pytest.approx((pull + 0.75) / 2)


@settings(deadline=None, max_examples=30)
@given(seed=st.integers(0, 2**20), size=st.floats(0.01, 100))
def test_a_plane_is_smooth_however_it_lies_and_scale_does_not_matter(seed: int, size: float):
    generator = torch.Generator().manual_seed(seed)
    flat = torch.rand(8, 3, generator=generator, dtype=torch.float64) * torch.tensor([1.0, 1.0, 0.0])
    turn = torch.randn(4, generator=generator, dtype=torch.float64)
    centers = quaternion.rotate(turn, flat)
    signs = torch.where(torch.rand(8, 1, generator=generator) < 0.5, -1.0, 1.0)
    normals = quaternion.rotate(turn, torch.tensor(UP, dtype=torch.float64)) * signs
    rows = torch.arange(8)
    neighbours = (rows[:, None] + torch.tensor([1, 3])) % 8
    assert surface_roughness(centers, normals, rows, neighbours).item() < 1e-12
    bumpy = centers + 0.2 * torch.randn(8, 3, generator=generator, dtype=torch.float64)
    rough = surface_roughness(bumpy, normals, rows, neighbours).item()
    assert 0 < rough <= 2
    assert surface_roughness(size * bumpy, normals, rows, neighbours).item() == pytest.approx(rough, rel=1e-6)


def test_no_surfels_no_neighbours_and_one_place():
    nobody = torch.zeros(0, dtype=torch.int64)
    centers = torch.zeros(3, 3, requires_grad=True)
    normals = torch.tensor(UP).repeat(3, 1)
    empty = surface_roughness(centers, normals, nobody, torch.zeros(0, 6, dtype=torch.int64))
    assert empty.item() == 0.0
    empty.backward()
    # Neighbours at one place have no direction from each other.
    same = surface_roughness(centers, normals, torch.arange(3), torch.tensor([[1], [2], [0]]))
    assert same.item() == 0.0
    same.backward()
    assert centers.grad is not None
    assert bool((centers.grad == 0).all())


def test_roughness_gradients():
    """The distance between neighbours is a constant, so the check holds it: steps along no neighbour's direction."""
    generator = torch.Generator().manual_seed(4)
    centers = torch.randn(5, 3, generator=generator, dtype=torch.float64)
    normals = torch.nn.functional.normalize(torch.randn(5, 3, generator=generator, dtype=torch.float64), dim=-1)
    rows, neighbours = torch.tensor([0, 2, 4]), torch.tensor([[1, 2], [3, 0], [2, 4]])
    assert torch.autograd.gradcheck(
        lambda n: surface_roughness(centers, n, rows, neighbours), (normals.clone().requires_grad_(),)
    )
    # By hand: with u = (d / r)^2, the derivative of u / (u + t^2) is t^2 / (u + t^2)^2, and that of u is 2 d / r^2.
    pair = torch.tensor([[0.0, 0.0, 0.0], [3.0, 0.0, 4.0]], dtype=torch.float64, requires_grad=True)
    ups = torch.tensor([UP, UP], dtype=torch.float64)
    surface_roughness(pair, ups, torch.tensor([0]), torch.tensor([[1]])).backward()
    assert pair.grad is not None
    lift = 0.25 / (0.64 + 0.25) ** 2 * 2 * 4 / 25
    torch.testing.assert_close(pair.grad, torch.tensor([[0.0, 0, -lift], [0.0, 0, lift]], dtype=torch.float64))
