"""Pose splines: smooth, equivariant, exact for rest and steady motion, with velocities and gradients that are right."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from recon4d.core import InputError, SE3Spline, quaternion, rigid
from recon4d.core._cubic_curve import cubic_weight_rates, cubic_weights

EXAMPLES = settings(deadline=None, max_examples=60)


def randn(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def random_spline(*batch: int, count: int = 7, seed: int = 0, start: float = 0.7, step: float = 0.25) -> SE3Spline:
    """Neighbouring controls up to about 1.5 radians apart."""
    rotation = quaternion.exp(randn(*batch, 3, seed=seed))
    rotations = [rotation]
    for i in range(count - 1):
        turn = randn(*batch, 3, seed=1000 * seed + i + 1)
        turn = turn * (1.5 / turn.norm(dim=-1, keepdim=True).clamp(min=1.5))
        rotations.append(quaternion.multiply(rotations[-1], quaternion.exp(turn)))
    return SE3Spline(torch.stack(rotations, -2), randn(*batch, count, 3, seed=seed + 1), start, step)


def inside(spline: SE3Spline, count: int = 23) -> Tensor:
    """Times in the domain, ends included, that fall on and between control times."""
    return torch.linspace(spline.start, spline.end, count, dtype=torch.float64)


def matrices(spline: SE3Spline, times: Tensor) -> Tensor:
    return rigid.from_rotation_translation(*spline.at(times))


# -------------------------------------------------------------------------------------------------------------- weights


def test_weights_are_a_partition_of_unity_and_not_negative():
    u = torch.linspace(0, 1, 1001, dtype=torch.float64)
    weights = cubic_weights(u)
    torch.testing.assert_close(weights.sum(-1), torch.ones_like(u), rtol=0, atol=5e-16)
    assert (weights >= 0).all()
    torch.testing.assert_close(cubic_weight_rates(u).sum(-1), torch.zeros_like(u), rtol=0, atol=5e-16)


def test_weights_reproduce_straight_lines():
    u = torch.linspace(0, 1, 101, dtype=torch.float64)
    line = cubic_weights(u) @ torch.tensor([-1.0, 0.0, 1.0, 2.0], dtype=torch.float64)
    torch.testing.assert_close(line, u, rtol=0, atol=5e-16)


def test_weight_rates_are_derivatives():
    u = torch.linspace(0, 1, 11, dtype=torch.float64)
    rates = torch.autograd.functional.jacobian(lambda x: cubic_weights(x).sum(0), u).T
    torch.testing.assert_close(cubic_weight_rates(u), rates, rtol=0, atol=1e-15)


# --------------------------------------------------------------------------------------------------------------- motion


@EXAMPLES
@given(st.integers(0, 50), st.floats(-100, 100), st.floats(1e-3, 100))
def test_constant_poses_stay_put(seed: int, start: float, step: float):
    rotation, translation = quaternion.exp(randn(3, seed=seed)), randn(3, seed=seed + 1)
    spline = SE3Spline.constant(rotation, translation, start=start, step=step, count=6)
    assert spline.count == 6
    assert spline.end == start + 3 * step
    times = torch.cat([inside(spline), torch.tensor([-1e9, 1e9], dtype=torch.float64)])
    rotations, translations = spline.at(times)
    torch.testing.assert_close(rotations, rotation.expand(25, 4), rtol=0, atol=1e-15)
    torch.testing.assert_close(translations, translation.expand(25, 3), rtol=1e-15, atol=1e-15)
    assert all(velocity.abs().max().item() * step < 1e-14 for velocity in spline.velocity_at(times))


@EXAMPLES
@given(st.integers(0, 50), st.floats(0, 3.1))
def test_steady_motion_is_exact(seed: int, turn_per_step: float):
    """Controls on a constant-velocity motion give that motion, reached one step later than their index."""
    axis = randn(3, seed=seed)
    angular = axis / axis.norm() * turn_per_step / 0.5
    linear, first, origin = randn(3, seed=seed + 1), quaternion.exp(randn(3, seed=seed + 2)), randn(3, seed=seed + 3)
    control_times = 2 + 0.5 * (torch.arange(7, dtype=torch.float64) - 1)

    def motion(times: Tensor) -> tuple[Tensor, Tensor]:
        turned = quaternion.exp((times - 2)[:, None] * angular)
        return quaternion.multiply(turned, first), origin + (times - 2)[:, None] * linear

    spline = SE3Spline(*motion(control_times), 2.0, 0.5)
    times = inside(spline)
    expected = rigid.from_rotation_translation(*motion(times))
    torch.testing.assert_close(matrices(spline, times), expected, rtol=0, atol=3e-14)
    found_angular, found_linear = spline.velocity_at(times)
    torch.testing.assert_close(found_angular, angular.expand_as(found_angular), rtol=0, atol=2e-14)
    torch.testing.assert_close(found_linear, linear.expand_as(found_linear), rtol=0, atol=2e-14)


@pytest.mark.parametrize("seed", range(3))
def test_twice_continuously_differentiable_across_knots(seed: int):
    """Value and first two derivatives agree from both sides of every inner knot; the third does not."""
    spline = random_spline(seed=seed)
    middle = spline.start + spline.step * torch.arange(1, spline.count - 3, dtype=torch.float64)
    offsets = 1e-3 * spline.step * torch.arange(5, dtype=torch.float64)

    def one_sided(sign: int) -> list[Tensor]:
        """Finite differences of orders 0 to 3 scaled to step^order, each accurate to about 1e-3 * its next one."""
        times = (middle[:, None] + sign * offsets).reshape(-1)
        values = matrices(spline, times).reshape(len(middle), 5, 16)
        h = sign * 1e-3
        first = (-25 * values[:, 0] + 48 * values[:, 1] - 36 * values[:, 2] + 16 * values[:, 3] - 3 * values[:, 4]) / (
            12 * h
        )
        second = (
            35 * values[:, 0] - 104 * values[:, 1] + 114 * values[:, 2] - 56 * values[:, 3] + 11 * values[:, 4]
        ) / (12 * h**2)
        third = (-5 * values[:, 0] + 18 * values[:, 1] - 24 * values[:, 2] + 14 * values[:, 3] - 3 * values[:, 4]) / (
            2 * h**3
        )
        return [values[:, 0], first, second, third]

    for order, (left, right) in enumerate(zip(one_sided(-1), one_sided(1), strict=True)):
        jump = (left - right).abs().max().item()
        if order < 3:
            assert jump < (0, 1e-9, 1e-6)[order] + 1e-15
        else:
            assert jump > 0.1


@EXAMPLES
@given(st.integers(0, 30), st.integers(0, 30))
def test_moves_with_its_controls(seed: int, transform_seed: int):
    """Transforming all control poses transforms the whole curve, and turns its velocities."""
    spline = random_spline(seed=seed)
    transform = rigid.se3_exp(randn(6, seed=transform_seed))
    rotation, _ = rigid.to_rotation_translation(transform)
    moved = SE3Spline(
        quaternion.multiply(rotation, spline.rotations_wxyz),
        rigid.transform_points(transform, spline.translations),
        spline.start,
        spline.step,
    )
    times = inside(spline)
    torch.testing.assert_close(matrices(moved, times), transform @ matrices(spline, times), rtol=0, atol=2e-14)
    for velocity, moved_velocity in zip(spline.velocity_at(times), moved.velocity_at(times), strict=True):
        torch.testing.assert_close(moved_velocity, quaternion.rotate(rotation, velocity), rtol=0, atol=1e-12)


@EXAMPLES
@given(st.integers(0, 30))
def test_sign_and_length_of_control_quaternions_do_not_matter(seed: int):
    spline = random_spline(seed=seed)
    factors = randn(spline.count, 1, seed=seed + 1)
    same = SE3Spline(spline.rotations_wxyz * factors, spline.translations, spline.start, spline.step)
    times = inside(spline)
    torch.testing.assert_close(matrices(same, times), matrices(spline, times), rtol=0, atol=1e-14)
    rotations, _ = same.at(times)
    torch.testing.assert_close(rotations.norm(dim=-1), torch.ones_like(times), rtol=0, atol=2e-15)


@pytest.mark.parametrize("seed", range(3))
def test_velocities_match_finite_differences(seed: int):
    spline = random_spline(2, seed=seed)
    times = inside(spline)[1:-1] + 1e-3
    h = 1e-5
    (before, behind), (after, ahead) = spline.at(times - h), spline.at(times + h)
    angular, linear = spline.velocity_at(times)
    assert angular.shape == linear.shape == (2, len(times), 3)
    turned = quaternion.log(quaternion.multiply(after, quaternion.conjugate(before)))
    # The differences themselves are off by about h^2 times the third derivative, here 1e3 to 1e4.
    torch.testing.assert_close(turned / (2 * h), angular, rtol=0, atol=1e-6)
    torch.testing.assert_close((ahead - behind) / (2 * h), linear, rtol=0, atol=1e-6)


def test_a_local_change_stays_local():
    """Control i acts on the four segments around it only."""
    spline = random_spline(count=10)
    translations = spline.translations.clone()
    translations[4] += 1
    rotations = spline.rotations_wxyz.clone()
    rotations[4] = quaternion.multiply(rotations[4], quaternion.exp(randn(3) * 0.1))
    changed = SE3Spline(rotations, translations, spline.start, spline.step)
    position = torch.linspace(0, 7, 141, dtype=torch.float64)
    times = spline.start + spline.step * position
    difference = (matrices(changed, times) - matrices(spline, times)).abs().amax((-1, -2))
    affected = (position > 1.01) & (position < 4.99)
    assert (difference[affected] > 1e-9).all()
    assert (difference[(position < 0.99) | (position > 5.01)] < 1e-15).all()


# ------------------------------------------------------------------------------------------------------ times and types


def test_times_outside_are_clamped_and_stand_still():
    spline = random_spline()
    ends = matrices(spline, torch.tensor([spline.start, spline.end], dtype=torch.float64))
    outside = torch.tensor([spline.start - 1e-9, spline.end + 1e-9, -1e6, 1e6], dtype=torch.float64)
    assert torch.equal(matrices(spline, outside), ends[[0, 1, 0, 1]])
    assert all(torch.equal(v, torch.zeros_like(v)) for v in spline.velocity_at(outside))
    at_the_ends = spline.velocity_at(torch.tensor([spline.start, spline.end], dtype=torch.float64))
    assert all((v.norm(dim=-1) > 1e-3).all() for v in at_the_ends)


@EXAMPLES
@given(st.lists(st.floats(-1e12, 1e12), min_size=1, max_size=5))
def test_any_finite_time_gives_a_pose(times: list[float]):
    rotations, translations = random_spline().at(torch.tensor(times, dtype=torch.float64))
    assert translations.isfinite().all()
    torch.testing.assert_close(rotations.norm(dim=-1), torch.ones(len(times), dtype=torch.float64), rtol=0, atol=2e-15)


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_times_that_are_not_finite_are_refused(bad: float):
    times = torch.tensor([0.0, 1.0, bad], dtype=torch.float64)
    for query in (random_spline().at, random_spline().velocity_at):
        with pytest.raises(InputError, match=r"times: expected finite numbers, got 1 .* the first at index \[2\]"):
            query(times)


def test_batches_are_many_splines():
    batch = random_spline(2, 3)
    times = inside(batch, 5)
    rotations, translations = batch.at(times)
    assert rotations.shape == (2, 3, 5, 4)
    assert translations.shape == (2, 3, 5, 3)
    one = SE3Spline(batch.rotations_wxyz[1, 2], batch.translations[1, 2], batch.start, batch.step)
    torch.testing.assert_close(matrices(one, times), matrices(batch, times)[1, 2], rtol=0, atol=1e-15)
    assert batch.at(times[:0])[0].shape == (2, 3, 0, 4)


def test_float32_controls_keep_exact_times():
    """An hour into a clip, float32 would blur times by 0.2 ms; the controls' type must not touch them."""
    exact = random_spline(start=3600.0, step=0.01)
    single = exact.to(torch.float32)
    times = inside(exact)
    rotations, translations = single.at(times)
    assert rotations.dtype == translations.dtype == torch.float32
    torch.testing.assert_close(translations.double(), exact.at(times)[1], rtol=0, atol=1e-6)
    torch.testing.assert_close(rotations.double(), exact.at(times)[0], rtol=0, atol=2e-6)


# ------------------------------------------------------------------------------------------------------------ gradients


@pytest.mark.parametrize("still", [False, True])
def test_gradients(still: bool):
    """Also where all controls coincide, as at the start of every fit."""
    spline = random_spline(count=5)
    rotations, translations = spline.rotations_wxyz, spline.translations
    if still:
        rotations, translations = rotations[:1].expand(5, 4).clone(), translations[:1].expand(5, 3).clone()
    times = torch.tensor([spline.start + 0.013, spline.end - 0.021], dtype=torch.float64, requires_grad=True)

    def poses(q: Tensor, t: Tensor, when: Tensor) -> tuple[Tensor, ...]:
        changed = SE3Spline(q, t, spline.start, spline.step)
        return *changed.at(when), *changed.velocity_at(when)

    assert torch.autograd.gradcheck(poses, (rotations.requires_grad_(), translations.requires_grad_(), times))


def test_the_time_derivative_by_autograd_is_the_velocity():
    spline = random_spline()
    times = inside(spline)[1:-1].requires_grad_()
    _, translations = spline.at(times)
    linear = torch.stack([torch.autograd.grad(translations[:, i].sum(), times, retain_graph=True)[0] for i in range(3)])
    torch.testing.assert_close(linear.T, spline.velocity_at(times)[1].detach(), rtol=0, atol=1e-13)


@pytest.mark.parametrize("gap", [1e-3, 1e-6, 0.0])
def test_gradients_are_finite_with_neighbours_half_a_turn_apart(gap: float):
    axis = torch.tensor([0.6, 0.0, 0.8])
    turns = torch.arange(5.0)[:, None] * (math.pi - gap) * axis
    rotations = quaternion.exp(turns).requires_grad_()
    spline = SE3Spline(rotations, torch.zeros(5, 3), 0.0, 1.0)
    poses, _ = spline.at(torch.linspace(0, 2, 9, dtype=torch.float64))
    assert poses.isfinite().all()
    (gradient,) = torch.autograd.grad(poses.square().sum() + poses.sum(), rotations)
    assert gradient.isfinite().all()
