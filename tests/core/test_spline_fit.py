"""Fitting pose splines: recovers splines, smooths noise, continues evenly where nothing is known, refuses bad input."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from recon4d.core import InputError, SE3Spline, quaternion

EXAMPLES = settings(deadline=None, max_examples=6)


def randn(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def random_spline(*batch: int, count: int, radians_per_step: float, seed: int = 0) -> SE3Spline:
    rotations = [quaternion.exp(randn(*batch, 3, seed=seed))]
    for i in range(count - 1):
        turn = randn(*batch, 3, seed=1000 * seed + i + 1)
        turn = turn * (radians_per_step / turn.norm(dim=-1, keepdim=True))
        rotations.append(quaternion.multiply(rotations[-1], quaternion.exp(turn)))
    return SE3Spline(torch.stack(rotations, -2), randn(*batch, count, 3, seed=seed + 1), 0.7, 0.25)


def angles(a: Tensor, b: Tensor) -> Tensor:
    return quaternion.log(quaternion.multiply(a, quaternion.conjugate(b))).norm(dim=-1)


@pytest.mark.parametrize("radians_per_step", [0.0, 0.01, 0.5, 1.5])
@EXAMPLES
@given(seed=st.integers(0, 1000), count=st.integers(4, 12))
def test_recovers_a_spline_from_samples(radians_per_step: float, seed: int, count: int):
    truth = random_spline(count=count, radians_per_step=radians_per_step, seed=seed)
    times = torch.linspace(truth.start, truth.end, 5 * count, dtype=torch.float64)
    fitted = SE3Spline.fit(times, *truth.at(times), step=truth.step)
    assert fitted.count == count
    assert fitted.start == truth.start
    # Worst observed: 1e-7; the outermost controls act by a sixth of the last sample only.
    assert angles(fitted.rotations_wxyz, truth.rotations_wxyz).max().item() < 1e-6
    torch.testing.assert_close(fitted.translations, truth.translations, rtol=0, atol=1e-7)


def test_recovers_batches_from_times_in_any_order():
    truth = random_spline(2, 3, count=6, radians_per_step=0.7)
    times = torch.linspace(truth.start, truth.end, 25, dtype=torch.float64)
    shuffled = times[torch.randperm(25, generator=torch.Generator().manual_seed(1))]
    fitted = SE3Spline.fit(shuffled, *truth.at(shuffled), step=truth.step)
    assert fitted.rotations_wxyz.shape == (2, 3, 6, 4)
    assert angles(fitted.rotations_wxyz, truth.rotations_wxyz).max().item() < 1e-7
    torch.testing.assert_close(fitted.translations, truth.translations, rtol=0, atol=1e-7)


def test_smooths_noise():
    truth = random_spline(count=9, radians_per_step=0.6)
    times = torch.linspace(truth.start, truth.end, 400, dtype=torch.float64)
    rotations, translations = truth.at(times)
    noise = 0.05
    noisy_rotations = quaternion.multiply(quaternion.exp(noise * randn(400, 3, seed=8)), rotations)
    fitted = SE3Spline.fit(times, noisy_rotations, translations + noise * randn(400, 3, seed=9), step=truth.step)
    fitted_rotations, fitted_translations = fitted.at(times)
    # 9 controls from 400 poses leave a share of sqrt(9/400) = 0.15 of the noise.
    assert (fitted_translations - translations).square().mean().sqrt().item() < 0.2 * noise
    assert angles(fitted_rotations, rotations).square().mean().sqrt().item() < 0.2 * noise * math.sqrt(3)


def test_translations_are_the_least_squares_optimum():
    times = torch.linspace(0, 1, 30, dtype=torch.float64)
    rotations, translations = quaternion.exp(randn(30, 3)), randn(30, 3, seed=1)
    fitted = SE3Spline.fit(times, rotations, translations, step=0.25)
    controls = fitted.translations.clone().requires_grad_()
    curve = SE3Spline(fitted.rotations_wxyz, controls, fitted.start, fitted.step)
    (curve.at(times)[1] - translations).square().sum().backward()
    assert controls.grad is not None
    assert controls.grad.abs().max().item() < 1e-9


def test_passes_through_few_poses_and_moves_evenly_between():
    times = torch.tensor([0.0, 1.0], dtype=torch.float64)
    turn = torch.tensor([0.0, 0.0, 2.0], dtype=torch.float64)
    rotations = quaternion.exp(times[:, None] * turn)
    translations = times[:, None] * torch.tensor([1.0, 2.0, 3.0], dtype=torch.float64)
    fitted = SE3Spline.fit(times, rotations, translations, step=0.1)
    assert fitted.count == 13
    between = torch.linspace(0, 1, 11, dtype=torch.float64)
    found_rotations, found_translations = fitted.at(between)
    assert angles(found_rotations, quaternion.exp(between[:, None] * turn)).max().item() < 1e-8
    torch.testing.assert_close(found_translations, between[:, None] * translations[1], rtol=0, atol=1e-8)


@pytest.mark.parametrize("repeats", [1, 3])
def test_poses_at_a_single_time_give_rest(repeats: int):
    rotation, translation = quaternion.exp(randn(3)), randn(3, seed=1)
    times = torch.full((repeats,), 5.0, dtype=torch.float64)
    fitted = SE3Spline.fit(times, rotation.expand(repeats, 4), translation.expand(repeats, 3), step=0.5)
    assert (fitted.count, fitted.start) == (4, 5.0)
    assert angles(fitted.rotations_wxyz, rotation).max().item() < 1e-10
    torch.testing.assert_close(fitted.translations, translation.expand(4, 3), rtol=0, atol=1e-10)


@pytest.mark.parametrize(("step", "count"), [(10.0, 4), (1.0, 4), (0.5, 5), (0.3, 7), (0.1, 13)])
def test_the_domain_just_covers_the_times(step: float, count: int):
    times = torch.linspace(2, 3, 21, dtype=torch.float64)
    fitted = SE3Spline.fit(times, quaternion.exp(torch.zeros(21, 3).double()), torch.zeros(21, 3).double(), step=step)
    assert fitted.count == count
    assert fitted.start == 2
    assert fitted.end >= 3 - 1e-12


def test_float32_poses_give_float32_controls_without_gradients():
    truth = random_spline(count=6, radians_per_step=0.5).to(torch.float32)
    times = torch.linspace(truth.start, truth.end, 40, dtype=torch.float64)
    rotations, translations = truth.at(times)
    fitted = SE3Spline.fit(times, rotations.requires_grad_(), translations, step=truth.step)
    assert fitted.rotations_wxyz.dtype == fitted.translations.dtype == torch.float32
    assert not fitted.rotations_wxyz.requires_grad
    torch.testing.assert_close(fitted.translations, truth.translations, rtol=0, atol=1e-4)


@pytest.mark.parametrize("step", [0.0, -1.0, math.nan, math.inf, 1e-9])
def test_unusable_steps_are_refused(step: float):
    with pytest.raises(InputError, match=r"SE3Spline\.fit: step: expected seconds > 0"):
        SE3Spline.fit(torch.linspace(0, 1, 5), quaternion.exp(torch.zeros(5, 3)), torch.zeros(5, 3), step=step)


@pytest.mark.parametrize("which", ["times", "rotations", "translations"])
def test_values_that_are_not_finite_are_refused(which: str):
    poses = {"times": torch.linspace(0, 1, 5), "rotations": torch.ones(5, 4), "translations": torch.zeros(5, 3)}
    poses[which][3] = math.nan
    with pytest.raises(InputError, match=f"SE3Spline: {which}: expected finite numbers, got . that are not"):
        SE3Spline.fit(*poses.values(), step=0.5)


def test_zero_rotations_are_refused():
    rotations = torch.ones(5, 4)
    rotations[2] = 0
    with pytest.raises(InputError, match=r"1 zero quaternions, the first at index \[2\]"):
        SE3Spline.fit(torch.linspace(0, 1, 5), rotations, torch.zeros(5, 3), step=0.5)
