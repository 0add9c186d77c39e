"""Quaternions: the group axioms, exp and log at every angle, all branches of the matrix form, gradients everywhere."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from recon4d.core import quaternion

EXAMPLES = settings(deadline=None, max_examples=60)

DTYPES = [torch.float32, torch.float64]
TINY_ANGLES = [0.0, 1e-30, 1e-12, 1e-9, 1e-6, 1e-4, 1e-3]
COORDINATES = st.floats(-1, 1, width=32)
AXES = (
    st.tuples(COORDINATES, COORDINATES, COORDINATES)
    .filter(lambda axis: math.hypot(*axis) > 0.1)
    .map(lambda axis: torch.tensor(axis, dtype=torch.float64) / math.hypot(*axis))
)
ROTATION_VECTORS = st.builds(
    lambda axis, angle: axis * angle, AXES, st.floats(0, math.pi) | st.sampled_from([*TINY_ANGLES, math.pi])
)
ROTATIONS = ROTATION_VECTORS.map(quaternion.exp)
VECTORS = st.tuples(COORDINATES, COORDINATES, COORDINATES).map(lambda v: torch.tensor(v, dtype=torch.float64))


def angle_between(a: Tensor, b: Tensor) -> Tensor:
    """Angle of the rotation from a to b, computed without the functions under test: 2 asin of half the chord x 2."""
    a, b = a / a.norm(dim=-1, keepdim=True), b / b.norm(dim=-1, keepdim=True)
    chord = torch.minimum((a - b).norm(dim=-1), (a + b).norm(dim=-1))
    return 4 * torch.asin((chord / 2).clamp(max=1))


def matrix_exponential(matrix: Tensor) -> Tensor:
    """The defining power series (torch.linalg.matrix_exp is off by 1e-11 for some small matrices)."""
    term = total = torch.eye(len(matrix), dtype=matrix.dtype)
    for k in range(1, 50):
        term = term @ matrix / k
        total = total + term
    return total


def random_rotations(count: int, dtype: torch.dtype = torch.float64) -> Tensor:
    q = torch.randn(count, 4, generator=torch.Generator().manual_seed(count), dtype=torch.float64)
    return (q / q.norm(dim=-1, keepdim=True)).to(dtype)


# ------------------------------------------------------------------------------------------------------------ algebra


@EXAMPLES
@given(ROTATIONS, ROTATIONS, ROTATIONS)
def test_group_axioms(a: Tensor, b: Tensor, c: Tensor):
    one = torch.tensor([1.0, 0, 0, 0], dtype=torch.float64)
    product = quaternion.multiply(a, b)
    assert abs(product.norm().item() - 1) < 1e-15 * 4
    assert torch.equal(quaternion.multiply(a, one), a)
    assert torch.equal(quaternion.multiply(one, a), a)
    torch.testing.assert_close(quaternion.multiply(a, quaternion.conjugate(a)), one, rtol=0, atol=1e-15)
    torch.testing.assert_close(
        quaternion.multiply(product, c), quaternion.multiply(a, quaternion.multiply(b, c)), rtol=0, atol=1e-15
    )


@EXAMPLES
@given(ROTATIONS, ROTATIONS, VECTORS)
def test_product_is_composition_and_matches_matrices(a: Tensor, b: Tensor, v: Tensor):
    matrices = quaternion.to_matrix(a) @ quaternion.to_matrix(b)
    torch.testing.assert_close(quaternion.to_matrix(quaternion.multiply(a, b)), matrices, rtol=0, atol=3e-15)
    turned = quaternion.rotate(a, quaternion.rotate(b, v))
    torch.testing.assert_close(turned, matrices @ v, rtol=0, atol=3e-15)
    torch.testing.assert_close(turned, quaternion.rotate(quaternion.multiply(a, b), v), rtol=0, atol=3e-15)


def test_a_positive_quarter_turn_about_z_takes_x_to_y():
    q = torch.tensor([math.sqrt(0.5), 0, 0, math.sqrt(0.5)], dtype=torch.float64)
    x, y, z = torch.eye(3, dtype=torch.float64)
    torch.testing.assert_close(quaternion.rotate(q, x), y, rtol=0, atol=1e-15)
    torch.testing.assert_close(quaternion.rotate(q, y), -x, rtol=0, atol=1e-15)
    torch.testing.assert_close(quaternion.to_matrix(q), torch.stack([y, -x, z], -1), rtol=0, atol=1e-15)
    torch.testing.assert_close(quaternion.exp(z * (math.pi / 2)), q, rtol=0, atol=1e-15)


@EXAMPLES
@given(ROTATIONS, st.floats(-11, 30), st.sampled_from([-1.0, 1.0]))
def test_length_and_sign_do_not_matter(q: Tensor, exponent: float, sign: float):
    scaled = sign * 10.0**exponent * q
    torch.testing.assert_close(quaternion.normalize(scaled), sign * q, rtol=0, atol=1e-15)
    torch.testing.assert_close(quaternion.to_matrix(scaled), quaternion.to_matrix(q), rtol=0, atol=2e-15)
    v = torch.tensor([0.3, -0.5, 0.8], dtype=torch.float64)
    torch.testing.assert_close(quaternion.rotate(scaled, v), quaternion.rotate(q, v), rtol=0, atol=2e-15)


@pytest.mark.parametrize("dtype", DTYPES)
def test_normalize_survives_extreme_lengths(dtype: torch.dtype):
    q = random_rotations(200, dtype)
    lengths = torch.logspace(-11, 37, 200, dtype=dtype)[:, None]
    result = quaternion.normalize(q * lengths)
    assert result.dtype == dtype
    torch.testing.assert_close(result, q, rtol=0, atol=3 * torch.finfo(dtype).eps)


@pytest.mark.parametrize("dtype", DTYPES)
def test_a_zero_quaternion_is_the_identity_without_gradient(dtype: torch.dtype):
    q = torch.zeros(4, dtype=dtype, requires_grad=True)
    unit = quaternion.normalize(q)
    assert unit.tolist() == [1, 0, 0, 0]
    (gradient,) = torch.autograd.grad(unit.sum() + quaternion.to_matrix(q).sum() + quaternion.log(q).sum(), q)
    assert gradient.tolist() == [0, 0, 0, 0]


def test_nan_is_not_hidden():
    q = torch.tensor([math.nan, 0, 0, 1])
    assert quaternion.normalize(q).isnan().all()
    assert quaternion.to_matrix(q).isnan().all()
    assert quaternion.log(q).isnan().all()


def test_leading_dimensions_broadcast():
    a, b = random_rotations(6).reshape(2, 3, 1, 4), random_rotations(5)
    v = torch.randn(5, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    product, turned, between = quaternion.multiply(a, b), quaternion.rotate(a, v), quaternion.slerp(a, b, 0.3)
    assert product.shape == between.shape == (2, 3, 5, 4)
    assert turned.shape == (2, 3, 5, 3)
    assert torch.equal(product[1, 2, 3], quaternion.multiply(a[1, 2, 0], b[3]))
    assert torch.equal(turned[1, 2, 3], quaternion.rotate(a[1, 2, 0], v[3]))
    assert torch.equal(between[1, 2, 3], quaternion.slerp(a[1, 2, 0], b[3], 0.3))
    assert quaternion.from_matrix(quaternion.to_matrix(a)).shape == a.shape
    assert quaternion.exp(quaternion.log(a)).shape == a.shape


# ------------------------------------------------------------------------------------------------------------- matrices


@EXAMPLES
@given(ROTATIONS)
def test_to_matrix_gives_proper_rotations(q: Tensor):
    matrix = quaternion.to_matrix(q)
    torch.testing.assert_close(matrix @ matrix.T, torch.eye(3, dtype=torch.float64), rtol=0, atol=2e-15)
    assert abs(torch.linalg.det(matrix).item() - 1) < 2e-15


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("largest", [0, 1, 2, 3])
@pytest.mark.parametrize("margin", [1.0, 1e-6, 0.0])
def test_every_branch_of_from_matrix(largest: int, margin: float, dtype: torch.dtype):
    """Each component largest by far, by a hair, and in a tie with all others; every pattern of signs."""
    others = torch.cartesian_prod(*[torch.tensor([-1.0, 1.0], dtype=torch.float64)] * 4)
    q = others.clone()
    q[:, largest] *= 1 + margin
    q = (q / q.norm(dim=-1, keepdim=True)).to(dtype)
    back = quaternion.from_matrix(quaternion.to_matrix(q))
    torch.testing.assert_close(back, q * q[:, :1].sign(), rtol=0, atol=4 * torch.finfo(dtype).eps)


@EXAMPLES
@given(ROTATIONS)
def test_matrix_round_trip(q: Tensor):
    matrix = quaternion.to_matrix(q)
    back = quaternion.from_matrix(matrix)
    assert back[0].item() >= 0
    assert abs(back.norm().item() - 1) < 4e-16
    assert angle_between(back, q).item() < 4e-15
    torch.testing.assert_close(quaternion.to_matrix(back), matrix, rtol=0, atol=2e-15)


@pytest.mark.parametrize("axis", [[1, 0, 0], [0, 1, 0], [0, 0, 1], [0.6, -0.8, 0], [0, 0.6, -0.8], [-0.8, 0, 0.6]])
def test_half_turns_have_their_largest_component_positive(axis: list[float]):
    axis = torch.tensor(axis, dtype=torch.float64)
    matrix = 2 * torch.outer(axis, axis) - torch.eye(3, dtype=torch.float64)
    q = quaternion.from_matrix(matrix)
    expected = axis * axis[axis.abs().argmax()].sign()
    torch.testing.assert_close(q, torch.cat([torch.zeros(1, dtype=torch.float64), expected]), rtol=0, atol=1e-15)


# ------------------------------------------------------------------------------------------------------------- exp, log


@EXAMPLES
@given(ROTATION_VECTORS)
def test_exp_is_the_matrix_exponential(v: Tensor):
    x, y, z = v.tolist()
    generator = torch.tensor([[0, -z, y], [z, 0, -x], [-y, x, 0]], dtype=torch.float64)
    expected = matrix_exponential(generator)
    torch.testing.assert_close(quaternion.to_matrix(quaternion.exp(v)), expected, rtol=0, atol=1e-14)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("angle", [*TINY_ANGLES, 0.01, 0.1, 0.19, 0.21, 1.0, 2.0, 3.0])
@EXAMPLES
@given(axis=AXES)
def test_log_undoes_exp_to_relative_precision(angle: float, dtype: torch.dtype, axis: Tensor):
    v = (axis * angle).to(dtype)
    error = (quaternion.log(quaternion.exp(v)) - v).norm().item()
    # Worst observed: 2.1 eps.
    assert error <= 4 * torch.finfo(dtype).eps * angle


@pytest.mark.parametrize("gap", [1e-2, 1e-4, 1e-8, 1e-12, 1e-14])
@EXAMPLES
@given(axis=AXES)
def test_log_near_half_a_turn(gap: float, axis: Tensor):
    """On this side of a half turn the vector comes back; beyond it, the shorter way round does."""
    near = quaternion.log(quaternion.exp(axis * (math.pi - gap)))
    torch.testing.assert_close(near, axis * (math.pi - gap), rtol=0, atol=2e-15)
    beyond = quaternion.log(quaternion.exp(axis * (math.pi + gap)))
    torch.testing.assert_close(beyond, -axis * (math.pi - gap), rtol=0, atol=2e-15)


def test_log_of_an_exact_half_turn_points_along_the_quaternion():
    q = torch.tensor([0, 0.6, 0, -0.8], dtype=torch.float64)
    expected = math.pi * q[1:]
    torch.testing.assert_close(quaternion.log(q), expected, rtol=0, atol=1e-15)
    torch.testing.assert_close(quaternion.log(-q), -expected, rtol=0, atol=1e-15)


@EXAMPLES
@given(ROTATIONS)
def test_log_is_shortest_and_ignores_sign(q: Tensor):
    v = quaternion.log(q)
    assert v.norm().item() <= math.pi + 1e-15
    assert angle_between(quaternion.exp(v), q).item() < 3e-15
    if q[0].item() != 0:
        assert torch.equal(quaternion.log(-q), v)


# ---------------------------------------------------------------------------------------------------------------- slerp


@EXAMPLES
@given(ROTATIONS, ROTATIONS, st.floats(0, 1))
def test_slerp_runs_from_end_to_end_at_constant_speed(a: Tensor, b: Tensor, s: float):
    angle = angle_between(a, b).item()
    assert angle_between(quaternion.slerp(a, b, 0.0), a).item() < 2e-15
    assert angle_between(quaternion.slerp(a, b, 1.0), b).item() < 2e-15
    middle = quaternion.slerp(a, b, s)
    assert abs(middle.norm().item() - 1) < 4e-16
    assert angle_between(a, middle).item() == pytest.approx(s * angle, abs=4e-15)
    assert angle_between(middle, b).item() == pytest.approx((1 - s) * angle, abs=4e-15)


@EXAMPLES
@given(ROTATIONS, ROTATIONS, st.floats(0, 1))
def test_slerp_is_symmetric_and_ignores_the_sign_of_the_end(a: Tensor, b: Tensor, s: float):
    middle = quaternion.slerp(a, b, s)
    if abs((a * b).sum().item()) > 1e-9:  # half a turn apart there are two shortest ways
        assert angle_between(quaternion.slerp(b, a, 1 - s), middle).item() < 4e-15
        assert torch.equal(quaternion.slerp(a, -b, s), middle)


def test_slerp_takes_one_fraction_per_rotation():
    a, b = random_rotations(5), random_rotations(6)[:5]
    s = torch.linspace(0, 1, 5, dtype=torch.float64)
    together = quaternion.slerp(a, b, s)
    for i in range(5):
        torch.testing.assert_close(together[i], quaternion.slerp(a[i], b[i], float(s[i])), rtol=0, atol=1e-15)


@EXAMPLES
@given(AXES, st.floats(-3, 3), st.floats(-2, 3))
def test_slerp_extrapolates_along_the_same_arc(axis: Tensor, angle: float, s: float):
    a = random_rotations(1)[0]
    result = quaternion.slerp(a, quaternion.multiply(a, quaternion.exp(axis * angle)), s)
    expected = quaternion.multiply(a, quaternion.exp(axis * angle * s))
    torch.testing.assert_close(result, expected, rtol=0, atol=5e-15)


# ------------------------------------------------------------------------------------------------------------ gradients

GRADIENT_ANGLES = [*TINY_ANGLES, 0.01, 0.2, 1.0, 1.999, 2.0, 3.0, math.pi - 1e-4, math.pi, math.pi + 1e-4, 2 * math.pi]
AXIS = torch.tensor([2.0, -3.0, 6.0], dtype=torch.float64) / 7


@pytest.mark.parametrize("angle", GRADIENT_ANGLES)
def test_gradients_of_exp(angle: float):
    v = (AXIS * angle).requires_grad_()
    assert torch.autograd.gradcheck(quaternion.exp, v)
    assert torch.autograd.gradgradcheck(quaternion.exp, v)


@pytest.mark.parametrize("angle", [a for a in GRADIENT_ANGLES if a != math.pi])
def test_gradients_of_log(angle: float):
    q = quaternion.exp(AXIS * angle).requires_grad_()
    assert torch.autograd.gradcheck(quaternion.log, q)
    assert torch.autograd.gradcheck(quaternion.log, (-q.detach()).requires_grad_())


def test_gradient_of_log_at_an_exact_half_turn_is_that_of_the_side_of_positive_w():
    at = torch.cat([torch.zeros(1, dtype=torch.float64), AXIS]).requires_grad_()
    beside = torch.cat([torch.full((1,), 1e-12, dtype=torch.float64), AXIS]).requires_grad_()
    jacobian_at = torch.autograd.functional.jacobian(quaternion.log, at)
    jacobian_beside = torch.autograd.functional.jacobian(quaternion.log, beside)
    assert jacobian_at.isfinite().all()
    torch.testing.assert_close(jacobian_at, jacobian_beside, rtol=0, atol=1e-10)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("angle", [a for a in GRADIENT_ANGLES if a <= math.pi])
def test_log_after_exp_has_the_identity_as_jacobian(angle: float, dtype: torch.dtype):
    v = (AXIS * (angle if angle < math.pi else math.pi - 1e-6)).to(dtype)
    jacobian = torch.autograd.functional.jacobian(lambda x: quaternion.log(quaternion.exp(x)), v)
    # Worst observed: 15 eps.
    torch.testing.assert_close(jacobian, torch.eye(3, dtype=dtype), rtol=0, atol=30 * torch.finfo(dtype).eps)


@pytest.mark.parametrize("angle", [0.0, 1e-9, 1.0, 3.0, math.pi])
def test_gradients_of_the_matrix_forms(angle: float):
    q = quaternion.exp(AXIS * angle).requires_grad_()
    assert torch.autograd.gradcheck(quaternion.to_matrix, q)
    v = torch.tensor([0.3, -0.5, 0.8], dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(quaternion.rotate, (q, v))
    # On rotations, from_matrix undoes to_matrix, so the composition projects on the directions that turn q.
    unit = q.detach()
    round_trip = torch.autograd.functional.jacobian(lambda x: quaternion.from_matrix(quaternion.to_matrix(x)), q)
    sign = (quaternion.from_matrix(quaternion.to_matrix(unit)) * unit).sum().sign()
    projection = torch.eye(4, dtype=torch.float64) - torch.outer(unit, unit)
    torch.testing.assert_close(round_trip, sign * projection, rtol=0, atol=1e-14)


@pytest.mark.parametrize("angle", [0.0, 1e-12, 1e-4, 0.5, 2.0, 3.0])
@pytest.mark.parametrize("s", [0.0, 0.3, 1.0, 1.5])
def test_gradients_of_slerp(angle: float, s: float):
    a = random_rotations(1)[0]
    b = quaternion.multiply(a, quaternion.exp(AXIS * angle))
    fraction = torch.tensor(s, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(quaternion.slerp, (a.requires_grad_(), b.detach().requires_grad_(), fraction))


@pytest.mark.parametrize("angle", [0.0, math.pi])
def test_gradients_are_finite_at_the_ends_in_float32(angle: float):
    q = quaternion.exp(AXIS * angle).float().requires_grad_()
    outputs = [quaternion.log(q), quaternion.slerp(q, q.detach(), 0.5), quaternion.from_matrix(quaternion.to_matrix(q))]
    for output in outputs:
        (gradient,) = torch.autograd.grad(output.sum(), q, retain_graph=True)
        assert gradient.isfinite().all()
