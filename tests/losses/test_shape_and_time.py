"""Losses without images: rigidity, smoothness in time, opacity, size and anisotropy."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from recon4d.core import quaternion
from recon4d.losses import (
    acceleration,
    angular_acceleration,
    anisotropy_excess,
    as_rigid_as_possible,
    opacity_entropy,
    scale_excess,
)


def ring(count: int) -> torch.Tensor:
    return (torch.arange(count)[:, None] + torch.tensor([1, 2])) % count


@settings(deadline=None, max_examples=30)
@given(seed=st.integers(0, 2**20))
def test_rigid_motion_is_free(seed: int):
    generator = torch.Generator().manual_seed(seed)
    rest = torch.randn(9, 3, generator=generator, dtype=torch.float64)
    turns = torch.randn(4, 1, 4, generator=generator, dtype=torch.float64)
    moved = quaternion.rotate(turns, rest[None]) + torch.randn(4, 1, 3, generator=generator, dtype=torch.float64)
    assert as_rigid_as_possible(rest, moved, turns.expand(4, 9, 4), ring(9)).item() < 1e-20
    # Turning the points without turning their frames, or the other way around, is not free.
    still = torch.tensor([1.0, 0, 0, 0], dtype=torch.float64).expand(4, 9, 4)
    angle = quaternion.log(turns).norm(dim=-1).min().item()
    if angle > 0.1:
        assert as_rigid_as_possible(rest, moved, still, ring(9)).item() > 1e-6


def test_stretching_by_hand():
    rest = torch.tensor([[0.0, 0.0, 0.0], [1.0, 0.0, 0.0], [0.0, 2.0, 0.0]])
    still = torch.tensor([1.0, 0.0, 0.0, 0.0]).repeat(3, 1)
    edges = torch.tensor([[1], [0], [0]])
    # Twice as large: every edge is off by its own length.
    assert as_rigid_as_possible(rest, 2 * rest, still, edges).item() == pytest.approx(1.0)
    # The last edge alone is off by one: 1 / (1 + 1 + 4).
    moved = rest + torch.tensor([[0.0, 0, 0], [0, 0, 0], [0, 1.0, 0]])
    assert as_rigid_as_possible(rest, moved, still, edges).item() == pytest.approx(1 / 6)
    weights = torch.tensor([[1.0], [1.0], [0.0]])
    assert as_rigid_as_possible(rest, moved, still, edges, weights).item() == 0.0


def test_rigidity_gradients():
    generator = torch.Generator().manual_seed(7)
    rest, moved, turns = (torch.randn(5, k, generator=generator, dtype=torch.float64) for k in (3, 3, 4))
    inputs = tuple(x.requires_grad_() for x in (rest, moved, turns))
    assert torch.autograd.gradcheck(lambda r, p, q: as_rigid_as_possible(r, p, q, ring(5)), inputs)


def test_acceleration_by_hand():
    path = torch.tensor([[0.0, 0, 0], [1.0, 0, 0], [4.0, 0, 0], [9.0, 0, 0]])
    assert acceleration(path).item() == pytest.approx(4.0)
    assert acceleration(path[:2]).item() == 0.0


@settings(deadline=None, max_examples=30)
@given(seed=st.integers(0, 2**20), signs=st.lists(st.booleans(), min_size=6, max_size=6))
def test_even_motion_is_free(seed: int, signs: list[bool]):
    generator = torch.Generator().manual_seed(seed)
    start, rate = torch.randn(2, 3, 1, 3, generator=generator, dtype=torch.float64)
    steps = torch.arange(6, dtype=torch.float64)[:, None]
    assert acceleration(start + steps * rate).item() < 1e-24
    spin = torch.nn.functional.normalize(rate, dim=-1)
    turns = quaternion.multiply(quaternion.exp(start), quaternion.exp(0.5 * steps * spin))
    flips = torch.where(torch.tensor(signs), 1.0, -1.0)[:, None]
    assert angular_acceleration(turns * flips).item() < 1e-20


def test_angular_acceleration_by_hand():
    angles = torch.tensor([0.0, 0.1, 0.4], dtype=torch.float64)
    turns = quaternion.exp(torch.stack([angles, 0 * angles, 0 * angles], -1))
    assert angular_acceleration(turns).item() == pytest.approx(0.2**2)
    assert angular_acceleration(turns[:2]).item() == 0.0


def test_temporal_gradients():
    generator = torch.Generator().manual_seed(1)
    places = torch.randn(2, 5, 3, generator=generator, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(acceleration, (places,))
    turns = torch.tensor([1.0, 0, 0, 0], dtype=torch.float64) + 0.2 * torch.randn(2, 5, 4, generator=generator).double()
    assert torch.autograd.gradcheck(angular_acceleration, (turns.requires_grad_(),))
    # Standing still is where second derivatives of angles like to be NaN.
    still = torch.tensor([1.0, 0, 0, 0]).repeat(5, 1).requires_grad_()
    angular_acceleration(still).backward()
    assert still.grad is not None
    assert bool((still.grad == 0).all())


def test_entropy_by_hand():
    assert opacity_entropy(torch.tensor([0.5, 0.0, 1.0])).item() == pytest.approx(1 / 3)
    expected = -(0.25 * math.log2(0.25) + 0.75 * math.log2(0.75))
    assert opacity_entropy(torch.tensor([0.25])).item() == pytest.approx(expected)
    assert opacity_entropy(torch.zeros(0)).item() == 0.0


@settings(deadline=None, max_examples=30)
@given(values=st.lists(st.floats(0, 1), min_size=1, max_size=8))
def test_entropy_is_bounded_symmetric_and_zero_at_decisions(values: list[float]):
    p = torch.tensor(values, dtype=torch.float64, requires_grad=True)
    entropy = opacity_entropy(p)
    entropy.backward()
    assert 0 <= entropy.item() <= 1
    assert entropy.item() == pytest.approx(opacity_entropy(1 - p.detach()).item(), abs=1e-9)
    assert opacity_entropy(p.detach().round()).item() == 0.0
    assert p.grad is not None
    assert bool(p.grad.isfinite().all())


def test_bounds_by_hand():
    scales = torch.tensor([[0.1, 0.4], [0.3, 0.2], [0.1, 0.1], [0.05, 0.05]])
    assert scale_excess(scales, 0.2).item() == pytest.approx((1.0 + 0.5) / 4)
    assert scale_excess(scales, 0.4).item() == 0.0
    assert anisotropy_excess(scales, 2.0).item() == pytest.approx(math.log(2) / 4)
    assert anisotropy_excess(scales, 4.001).item() == 0.0
    assert scale_excess(torch.zeros(0, 2), 1.0).item() == 0.0
    assert anisotropy_excess(torch.zeros(0, 2), 1.0).item() == 0.0


def test_bound_gradients():
    generator = torch.Generator().manual_seed(3)
    scales = (0.05 + torch.rand(6, 2, generator=generator, dtype=torch.float64)).requires_grad_()
    assert torch.autograd.gradcheck(lambda s: scale_excess(s, 0.5), (scales,))
    assert torch.autograd.gradcheck(lambda s: anisotropy_excess(s, 1.5), (scales,))
    p = torch.rand(6, generator=generator, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(opacity_entropy, (p,))
