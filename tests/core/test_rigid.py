"""Rigid transforms: the group axioms, exp and log at every angle, agreement with plain matrix algebra, gradients."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from recon4d.core import quaternion, rigid

EXAMPLES = settings(deadline=None, max_examples=60)

DTYPES = [torch.float32, torch.float64]
TINY_ANGLES = [0.0, 1e-30, 1e-12, 1e-9, 1e-6, 1e-4, 1e-3]
COORDINATES = st.floats(-1, 1, width=32)
VECTORS = st.tuples(COORDINATES, COORDINATES, COORDINATES).map(lambda v: torch.tensor(v, dtype=torch.float64))
AXES = VECTORS.filter(lambda v: v.norm().item() > 0.1).map(lambda v: v / v.norm())
# Rotations stay clear of half a turn, where the logarithm jumps; that place has a test of its own.
ANGLES = st.floats(0, 3.14) | st.sampled_from(TINY_ANGLES)
TWISTS = st.builds(lambda v, axis, angle: torch.cat([3 * v, axis * angle]), VECTORS, AXES, ANGLES)
TRANSFORMS = TWISTS.map(rigid.se3_exp)
IDENTITY = torch.eye(4, dtype=torch.float64)
AXIS = torch.tensor([2.0, -3.0, 6.0], dtype=torch.float64) / 7
SLIDE = torch.tensor([0.5, -2.0, 1.5], dtype=torch.float64)


def generator(twist: Tensor) -> Tensor:
    """The 4x4 matrix whose matrix exponential the screw motion is."""
    a, b, c, x, y, z = twist.tolist()
    return torch.tensor([[0, -z, y, a], [z, 0, -x, b], [-y, x, 0, c], [0, 0, 0, 0]], dtype=torch.float64)


def matrix_exponential(matrix: Tensor) -> Tensor:
    """The defining power series (torch.linalg.matrix_exp is off by 1e-11 for some small matrices)."""
    term = total = torch.eye(len(matrix), dtype=matrix.dtype)
    for k in range(1, 50):
        term = term @ matrix / k
        total = total + term
    return total


@EXAMPLES
@given(TRANSFORMS, TRANSFORMS, TRANSFORMS)
def test_group_axioms(a: Tensor, b: Tensor, c: Tensor):
    for transform in (a, a @ b, rigid.invert(a)):
        rotation = transform[:3, :3]
        torch.testing.assert_close(rotation @ rotation.T, IDENTITY[:3, :3], rtol=0, atol=3e-15)
        assert abs(torch.linalg.det(rotation).item() - 1) < 3e-15
        assert transform[3].tolist() == [0, 0, 0, 1]
    torch.testing.assert_close(a @ rigid.invert(a), IDENTITY, rtol=0, atol=5e-15)
    torch.testing.assert_close(rigid.invert(a) @ a, IDENTITY, rtol=0, atol=5e-15)
    torch.testing.assert_close(rigid.invert(a @ b), rigid.invert(b) @ rigid.invert(a), rtol=0, atol=2e-14)
    torch.testing.assert_close((a @ b) @ c, a @ (b @ c), rtol=0, atol=2e-14)
    assert torch.equal(rigid.se3_exp(torch.zeros(6, dtype=torch.float64)), IDENTITY)


@EXAMPLES
@given(TRANSFORMS, TRANSFORMS, VECTORS)
def test_points_and_directions(a: Tensor, b: Tensor, x: Tensor):
    homogeneous = torch.cat([x, torch.ones(1, dtype=torch.float64)])
    torch.testing.assert_close(rigid.transform_points(a, x), (a @ homogeneous)[:3], rtol=0, atol=3e-15)
    torch.testing.assert_close(rigid.transform_directions(a, x), a[:3, :3] @ x, rtol=0, atol=1e-15)
    composed = rigid.transform_points(a @ b, x)
    torch.testing.assert_close(composed, rigid.transform_points(a, rigid.transform_points(b, x)), rtol=0, atol=1e-14)


@EXAMPLES
@given(TRANSFORMS)
def test_rotation_and_translation_round_trip(transform: Tensor):
    rotation_wxyz, translation = rigid.to_rotation_translation(transform)
    assert rotation_wxyz[0].item() >= 0
    assert torch.equal(translation, transform[:3, 3])
    back = rigid.from_rotation_translation(rotation_wxyz, translation)
    torch.testing.assert_close(back, transform, rtol=0, atol=2e-15)


def test_the_rotation_comes_before_the_translation():
    quarter_turn_about_z = torch.tensor([math.sqrt(0.5), 0, 0, math.sqrt(0.5)], dtype=torch.float64)
    x, y, z = IDENTITY[:3, :3]
    transform = rigid.from_rotation_translation(quarter_turn_about_z, 5 * z)
    torch.testing.assert_close(rigid.transform_points(transform, x), y + 5 * z, rtol=0, atol=1e-15)
    torch.testing.assert_close(rigid.transform_directions(transform, x), y, rtol=0, atol=1e-15)


@EXAMPLES
@given(TWISTS)
def test_exp_is_the_matrix_exponential(twist: Tensor):
    torch.testing.assert_close(rigid.se3_exp(twist), matrix_exponential(generator(twist)), rtol=0, atol=2e-14)


@EXAMPLES
@given(TWISTS, st.floats(-2, 2), st.floats(-2, 2))
def test_screw_motions_about_one_axis_add_up(twist: Tensor, s: float, t: float):
    product = rigid.se3_exp(s * twist) @ rigid.se3_exp(t * twist)
    torch.testing.assert_close(product, rigid.se3_exp((s + t) * twist), rtol=0, atol=3e-14)


@pytest.mark.parametrize("dtype", DTYPES)
@EXAMPLES
@given(twist=TWISTS)
def test_log_undoes_exp(dtype: torch.dtype, twist: Tensor):
    twist = twist.to(dtype)
    back = rigid.se3_log(rigid.se3_exp(twist))
    assert back.dtype == dtype
    # Worst observed: 19 eps.
    torch.testing.assert_close(back, twist, rtol=0, atol=40 * torch.finfo(dtype).eps)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("angle", TINY_ANGLES)
def test_log_of_tiny_rotations_keeps_relative_precision(angle: float, dtype: torch.dtype):
    twist = torch.cat([SLIDE, AXIS * angle]).to(dtype)
    rotation = rigid.se3_log(rigid.se3_exp(twist))[3:]
    torch.testing.assert_close(rotation, twist[3:], rtol=3 * torch.finfo(dtype).eps, atol=0)


@pytest.mark.parametrize("gap", [1e-3, 1e-6, 1e-9, 1e-12])
def test_log_near_half_a_turn(gap: float):
    twist = torch.cat([SLIDE, AXIS * (math.pi - gap)])
    torch.testing.assert_close(rigid.se3_log(rigid.se3_exp(twist)), twist, rtol=0, atol=1e-14)
    beyond = rigid.se3_log(rigid.se3_exp(torch.cat([SLIDE, AXIS * (math.pi + gap)])))
    torch.testing.assert_close(beyond[3:], -AXIS * (math.pi - gap), rtol=0, atol=1e-14)


def test_log_of_an_exact_half_turn():
    rotation = 2 * torch.outer(AXIS, AXIS) - IDENTITY[:3, :3]
    transform = IDENTITY.clone()
    transform[:3, :3], transform[:3, 3] = rotation, SLIDE
    twist = rigid.se3_log(transform)
    # AXIS has its largest component positive.
    torch.testing.assert_close(twist[3:], math.pi * AXIS, rtol=0, atol=1e-14)
    torch.testing.assert_close(rigid.se3_exp(twist), transform, rtol=0, atol=1e-14)


def test_leading_dimensions_broadcast():
    noise = torch.Generator().manual_seed(3)
    twists = torch.randn(2, 3, 6, dtype=torch.float64, generator=noise)
    points = torch.randn(5, 3, dtype=torch.float64, generator=noise)
    transforms = rigid.se3_exp(twists)
    assert transforms.shape == rigid.invert(transforms).shape == (2, 3, 4, 4)
    assert rigid.se3_log(transforms).shape == (2, 3, 6)
    moved = rigid.transform_points(transforms[:, :, None], points)
    assert moved.shape == (2, 3, 5, 3)
    assert torch.equal(moved[1, 2], rigid.transform_points(transforms[1, 2], points))
    rotations, translations = rigid.to_rotation_translation(transforms)
    mixed = rigid.from_rotation_translation(rotations[:, :1], translations[0])
    assert mixed.shape == (2, 3, 4, 4)
    torch.testing.assert_close(mixed[1, 2, :3, :3], transforms[1, 0, :3, :3], rtol=0, atol=2e-15)
    assert torch.equal(mixed[1, 2, :3, 3], translations[0, 2])


@pytest.mark.parametrize("angle", [0.0, 1e-30, 1e-12, 1e-6, 1e-3, 0.5, 2.0, 3.0, math.pi, 4.0])
def test_gradients_of_exp(angle: float):
    twist = torch.cat([SLIDE, AXIS * angle]).requires_grad_()
    assert torch.autograd.gradcheck(rigid.se3_exp, twist)
    assert torch.autograd.gradgradcheck(rigid.se3_exp, twist)


@pytest.mark.parametrize("angle", [0.0, 1e-12, 1e-6, 1e-3, 0.5, 2.0, 3.0, math.pi - 1e-3])
def test_gradients_of_log(angle: float):
    transform = rigid.se3_exp(torch.cat([SLIDE, AXIS * angle])).requires_grad_()
    assert torch.autograd.gradcheck(rigid.se3_log, transform)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("angle", [0.0, 1e-12, 1e-4, 0.5, 2.0, 3.0, math.pi - 1e-5])
def test_log_after_exp_has_the_identity_as_jacobian(angle: float, dtype: torch.dtype):
    twist = torch.cat([SLIDE, AXIS * angle]).to(dtype)
    jacobian = torch.autograd.functional.jacobian(lambda x: rigid.se3_log(rigid.se3_exp(x)), twist)
    # Worst observed: 12 eps.
    torch.testing.assert_close(jacobian, torch.eye(6, dtype=dtype), rtol=0, atol=30 * torch.finfo(dtype).eps)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_gradients_are_finite_at_exact_half_turns(sign: float, dtype: torch.dtype):
    transform = torch.diag(torch.tensor([sign, -1.0, -sign, 1.0], dtype=dtype)).requires_grad_()
    (gradient,) = torch.autograd.grad(rigid.se3_log(transform).sum(), transform)
    assert gradient.isfinite().all()


def test_gradients_of_the_rest():
    twist = torch.cat([SLIDE, AXIS])
    transform = rigid.se3_exp(twist).requires_grad_()
    rotation_wxyz = quaternion.exp(AXIS).requires_grad_()
    translation, points = SLIDE.clone().requires_grad_(), torch.stack([AXIS, SLIDE]).requires_grad_()
    assert torch.autograd.gradcheck(rigid.invert, transform)
    assert torch.autograd.gradcheck(rigid.transform_points, (transform, points))
    assert torch.autograd.gradcheck(rigid.transform_directions, (transform, points))
    assert torch.autograd.gradcheck(rigid.from_rotation_translation, (rotation_wxyz, translation))
    assert torch.autograd.gradcheck(rigid.to_rotation_translation, transform)
