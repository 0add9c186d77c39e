"""The depth losses: the one that leaves scale and shift open, and those that know more."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from recon4d.losses import inverse_depth_error, relative_depth_error

HEIGHT, WIDTH = 24, 32


def relief(seed: int = 0, dtype: torch.dtype = torch.float64) -> torch.Tensor:
    """[H, W, 1] smooth depth between 2 and 4."""
    generator = torch.Generator().manual_seed(seed)
    coarse = torch.rand(1, 1, 5, 6, generator=generator, dtype=dtype)
    fine = torch.nn.functional.interpolate(coarse, (HEIGHT, WIDTH), mode="bicubic", align_corners=True)
    return 3 + (fine[0, 0, ..., None] - 0.5).clamp(-1, 1)


@settings(deadline=None, max_examples=40)
@given(scale=st.floats(1e-3, 1e3), shift=st.floats(-10, 10), unit=st.floats(1e-2, 1e2), seed=st.integers(0, 99))
def test_scale_and_shift_do_not_count(scale: float, shift: float, unit: float, seed: int):
    depth, other = relief(seed), relief(seed + 1)
    assert relative_depth_error(depth, scale * (1 / depth + shift)).item() == pytest.approx(0, abs=1e-12)
    expected = relative_depth_error(depth, 1 / other).item()
    assert expected > 0.01
    assert relative_depth_error(unit * depth, scale * (1 / other + shift)).item() == pytest.approx(expected, rel=1e-6)


def test_by_hand():
    """Inverse depth steps from 1 to 2; in the target 8 of 64 pixels are on the wrong side of the step."""
    inverse = torch.ones(1, 64, 1, dtype=torch.float64)
    inverse[:, 32:] = 2
    target = inverse.clone()
    target[:, :4], target[:, 60:] = 2, 1
    # Mean 1.5 and deviation 0.5 on both sides: the misplaced pixels are 2 deviations off.
    assert relative_depth_error(1 / inverse, target, delta=0.2).item() == pytest.approx(8 / 64 * 0.2 * (2 - 0.1))
    assert relative_depth_error(1 / inverse, 9 * target - 4, delta=3).item() == pytest.approx(8 / 64 * 2**2 / 2)
    weight = torch.ones_like(target)
    weight[:, 60:], weight[:, :4] = 3, 3
    mean_off = 24 / (56 + 24)
    assert relative_depth_error(1 / inverse, target, weight, delta=3).item() == pytest.approx(mean_off * 2**2 / 2)


def test_inside_out_costs_more_than_flat():
    depth = relief()
    inverse = 1 / depth
    flat = torch.full_like(depth, 3.0)
    turned = 1 / (inverse.max() + inverse.min() - inverse)
    losses = [relative_depth_error(shape, inverse).item() for shape in (depth, flat, turned)]
    assert losses[0] == pytest.approx(0, abs=1e-12)
    assert losses[0] < losses[1] < losses[2]


@pytest.mark.parametrize("value", [9.0, -5.0, 1e6])
def test_wild_pixels_do_not_count(value: float):
    wild = torch.rand(HEIGHT, WIDTH, 1, generator=torch.Generator().manual_seed(3)) < 0.08
    depth = relief()
    assert relative_depth_error(depth, torch.where(wild, value, 1 / depth)).item() == pytest.approx(0, abs=1e-12)
    without = relative_depth_error(depth, torch.where(wild, torch.nan, 1 / relief(1)))
    assert relative_depth_error(depth, torch.where(wild, value, 1 / relief(1))).item() == pytest.approx(without.item())


@pytest.mark.parametrize("delta", [0.2, 10.0])
def test_gradients(delta: float):
    rows, columns = slice(0, HEIGHT, 4), slice(0, WIDTH, 5)
    depth = relief()[rows, columns].clone().requires_grad_()
    target = (1 / relief(5))[rows, columns].clone()
    target[2, 1:4] = torch.nan
    weight = torch.rand(depth.shape, dtype=torch.float64, generator=torch.Generator().manual_seed(0)) + 0.5
    assert torch.autograd.gradcheck(lambda z: relative_depth_error(z, target, weight, delta=delta), (depth,))
    (gradient,) = torch.autograd.grad(relative_depth_error(depth, target, weight, delta=delta), depth)
    assert (gradient[2, 1:4] == 0).all()


def test_descent_brings_the_relief_back():
    target = 1 / relief(2)
    depth = torch.full_like(target, 3.0) + 0.1 * (relief(7) - 3)
    depth.requires_grad_()
    optimizer = torch.optim.Adam([depth], lr=0.02)
    for _ in range(300):
        optimizer.zero_grad()
        loss = relative_depth_error(depth, 5 * target - 1)
        loss.backward()
        optimizer.step()
    found = (1 / depth.detach()).flatten()
    assert torch.corrcoef(torch.stack([found, target.flatten()]))[0, 1] > 0.99


def test_inside_out_is_left_by_descent():
    target = 1 / relief(2)
    depth = (1 / (target.max() + target.min() - target)).requires_grad_()
    (gradient,) = torch.autograd.grad(relative_depth_error(depth, target), depth)
    # A step down the gradient lowers depth where the target is nearer.
    stepped = 1 / (depth - 1e-3 * gradient / gradient.abs().max()) - 1 / depth
    assert (stepped * (target - target.mean())).sum() > 0


@pytest.mark.parametrize(
    "inverse",
    [torch.full((4, 5, 1), torch.nan), torch.full((4, 5, 1), 0.7), torch.zeros(4, 5, 1), torch.rand(4, 5, 1)],
)
@pytest.mark.parametrize("value", [0.0, 2.0])
def test_nothing_to_compare_is_zero_with_zero_gradient(inverse: torch.Tensor, value: float):
    depth = torch.full((4, 5, 1), value, requires_grad=True)
    weight = torch.ones(4, 5, 1)
    weight[1:] = 0  # Five pixels are too few.
    loss = relative_depth_error(depth, inverse, weight)
    loss.backward()
    assert loss.item() == 0
    assert depth.grad is not None
    assert (depth.grad == 0).all()


@pytest.mark.parametrize("value", [0.7, 0.0, 1e4])
def test_a_flat_target_says_nothing(value: float):
    depth = relief(dtype=torch.float32).requires_grad_()
    loss = relative_depth_error(depth, torch.full_like(depth, value))
    loss.backward()
    assert loss.item() == 0
    assert depth.grad is not None
    assert (depth.grad == 0).all()


def test_single_precision_with_a_large_shift():
    depth = relief(dtype=torch.float32)
    assert relative_depth_error(depth, 30 / depth + 20).item() < 1e-6


def test_the_weight_is_a_constant_and_chooses_pixels():
    depth, inverse = relief(), 1 / relief()
    inverse[:, 16:] = relief(3)[:, 16:]
    weight = torch.zeros(HEIGHT, WIDTH, 1, dtype=torch.float64)
    weight[:, :16] = 0.3
    weight.requires_grad_()
    loss = relative_depth_error(depth.requires_grad_(), inverse, weight)
    assert loss.item() == pytest.approx(0, abs=1e-12)
    loss.backward()
    assert weight.grad is None


@settings(deadline=None, max_examples=40)
@given(scale=st.floats(1e-3, 1e3), seed=st.integers(0, 99))
def test_what_is_known_of_units_counts(scale: float, seed: int):
    depth, other = relief(seed), relief(seed + 1)
    for units_known in (False, True):
        assert inverse_depth_error(depth, 1 / depth, units_known=units_known).item() == pytest.approx(0, abs=1e-12)
    assert inverse_depth_error(depth, scale / depth, units_known=False).item() == pytest.approx(0, abs=1e-12)
    assert inverse_depth_error(depth, 1.2 / depth, units_known=True).item() > 0.1
    # A shift is what only the relative loss leaves open: it changes how deep the relief is.
    assert relative_depth_error(depth, 1 / depth + 0.3).item() == pytest.approx(0, abs=1e-12)
    assert inverse_depth_error(depth, 1 / depth + 0.3, units_known=False).item() > 1e-3
    expected = inverse_depth_error(depth, 1 / other, units_known=False).item()
    assert inverse_depth_error(depth, scale / other, units_known=False).item() == pytest.approx(expected, rel=1e-6)


def test_known_units_by_hand():
    inverse = torch.ones(1, 64, 1, dtype=torch.float64)
    inverse[:, 32:] = 2
    # Deviation .5: all of the pixels are .2 of it too near.
    assert inverse_depth_error(1 / (inverse + 0.1), inverse, units_known=True).item() == pytest.approx(0.2**2 / 2)
    flat = torch.ones_like(inverse)
    assert inverse_depth_error(1 / (flat + 0.001), flat, units_known=True).item() == pytest.approx(0.1**2 / 2)
    assert inverse_depth_error(1 / flat, 7 * flat, units_known=False).item() == pytest.approx(0, abs=1e-12)


@pytest.mark.parametrize("units_known", [False, True])
def test_gradients_where_units_are_known(units_known: bool):
    rows, columns = slice(0, HEIGHT, 4), slice(0, WIDTH, 5)
    depth = relief()[rows, columns].clone().requires_grad_()
    target = (1 / relief(5))[rows, columns].clone()
    target[2, 1:4] = torch.nan

    def loss(z: torch.Tensor) -> torch.Tensor:
        return inverse_depth_error(z, target, units_known=units_known, delta=10.0)

    (gradient,) = torch.autograd.grad(loss(depth), depth)
    assert (gradient[2, 1:4] == 0).all()
    if units_known:
        assert torch.autograd.gradcheck(loss, (depth,))


@pytest.mark.parametrize("units_known", [False, True])
def test_descent_brings_back_how_deep_the_relief_is(units_known: bool):
    target = 1 / relief(2)
    depth = (3 + 0.1 * (relief(7) - 3)).requires_grad_()
    optimizer = torch.optim.Adam([depth], lr=0.02)
    for _ in range(300):
        optimizer.zero_grad()
        inverse_depth_error(depth, target if units_known else 5 * target, units_known=units_known).backward()
        optimizer.step()
    ratio = depth.detach() * target
    assert float(ratio.std() / ratio.mean()) < 0.01
    assert not units_known or float(ratio.mean()) == pytest.approx(1, abs=0.01)


@pytest.mark.parametrize("inverse", [torch.full((4, 5, 1), torch.nan), torch.zeros(4, 5, 1)])
@pytest.mark.parametrize("units_known", [False, True])
def test_nothing_known_is_finite(inverse: torch.Tensor, units_known: bool):
    depth = torch.full((4, 5, 1), 2.0, requires_grad=True)
    loss = inverse_depth_error(depth, inverse, units_known=units_known)
    loss.backward()
    assert loss.isfinite()
    assert depth.grad is not None
    assert depth.grad.isfinite().all()
