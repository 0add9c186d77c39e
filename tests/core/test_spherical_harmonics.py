"""Spherical harmonics: orthonormal, in the agreed order and signs, closed under rotation degree by degree."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from recon4d.core import InputError, quaternion
from recon4d.core import spherical_harmonics as sh

ROUNDING = 2e-14  # of sums of products of polynomials of the third degree, after a turn
EXAMPLES = settings(deadline=None, max_examples=60)

DTYPES = [torch.float32, torch.float64]
COORDINATES = st.floats(-1, 1, width=32)
DIRECTIONS = (
    st.tuples(COORDINATES, COORDINATES, COORDINATES)
    .filter(lambda v: math.hypot(*v) > 0.1)
    .map(lambda v: torch.tensor(v, dtype=torch.float64) / math.hypot(*v))
)


def quadrature() -> tuple[Tensor, Tensor]:
    """Directions and weights that integrate every polynomial up to degree 7 over the sphere exactly."""
    nodes, node_weights = np.polynomial.legendre.leggauss(4)
    azimuth = np.arange(8) * (2 * math.pi / 8)
    radius = np.sqrt(1 - nodes**2)
    directions = np.stack(
        [np.outer(radius, np.cos(azimuth)), np.outer(radius, np.sin(azimuth)), np.outer(nodes, np.ones(8))], -1
    )
    weights = np.outer(node_weights, np.full(8, 2 * math.pi / 8))
    return torch.from_numpy(directions.reshape(-1, 3)), torch.from_numpy(weights.reshape(-1))


def random_coefficients(*shape: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(7), dtype=torch.float64)


@pytest.mark.parametrize("degree", [0, 1, 2, 3])
def test_orthonormal_over_the_sphere(degree: int):
    directions, weights = quadrature()
    values = sh.basis(directions, degree)
    gram = values.T @ (weights[:, None] * values)
    torch.testing.assert_close(gram, torch.eye((degree + 1) ** 2, dtype=torch.float64), rtol=0, atol=3e-15)


@EXAMPLES
@given(DIRECTIONS)
def test_order_and_signs(direction: Tensor):
    """Each function, up to a positive factor, is the polynomial that the splat format prescribes."""
    x, y, z = direction.tolist()
    polynomials = [1, -y, z, -x]
    polynomials += [x * y, -y * z, 3 * z * z - 1, -x * z, x * x - y * y]
    polynomials += [
        -y * (3 * x * x - y * y),
        x * y * z,
        -y * (5 * z * z - 1),
        z * (5 * z * z - 3),
        -x * (5 * z * z - 1),
        z * (x * x - y * y),
        -x * (x * x - 3 * y * y),
    ]
    expected = torch.tensor(polynomials, dtype=torch.float64)
    # The factor makes each polynomial's square integrate to one.
    factors = torch.tensor(
        [
            0.28209479177387814,
            *[0.4886025119029199] * 3,
            1.0925484305920792,
            1.0925484305920792,
            0.31539156525252005,
            1.0925484305920792,
            0.5462742152960396,
            0.5900435899266435,
            2.890611442640554,
            0.4570457994644658,
            0.3731763325901154,
            0.4570457994644658,
            1.445305721320277,
            0.5900435899266435,
        ],
        dtype=torch.float64,
    )
    torch.testing.assert_close(sh.basis(direction, 3), factors * expected, rtol=0, atol=ROUNDING)


@EXAMPLES
@given(DIRECTIONS)
def test_lower_degrees_are_prefixes(direction: Tensor):
    full = sh.basis(direction, 3)
    for degree in range(3):
        assert torch.equal(sh.basis(direction, degree), full[: (degree + 1) ** 2])


@EXAMPLES
@given(DIRECTIONS, DIRECTIONS, st.floats(0, math.pi))
def test_rotation_keeps_the_energy_of_each_band_and_the_angle_between_directions(
    direction: Tensor, axis: Tensor, angle: float
):
    """Within a degree rotations act orthogonally: the sum of Y(a) Y(b) depends on the angle from a to b only."""
    turn = quaternion.exp(axis * angle)
    other = torch.tensor([0.6, 0.0, -0.8], dtype=torch.float64)
    before, before_other = sh.basis(direction, 3), sh.basis(other, 3)
    after, after_other = sh.basis(quaternion.rotate(turn, direction), 3), sh.basis(quaternion.rotate(turn, other), 3)
    for degree in range(4):
        band = slice(degree**2, (degree + 1) ** 2)
        energy = (2 * degree + 1) / (4 * math.pi)
        assert after[band].square().sum().item() == pytest.approx(energy, abs=ROUNDING)
        product = (before[band] * before_other[band]).sum().item()
        assert (after[band] * after_other[band]).sum().item() == pytest.approx(product, abs=ROUNDING)


@EXAMPLES
@given(DIRECTIONS, DIRECTIONS, st.floats(0, math.pi))
def test_a_turned_function_stays_in_its_band_with_its_energy(direction: Tensor, axis: Tensor, angle: float):
    """Projecting a rotated single-degree function gives coefficients of that degree only, of the same length."""
    grid, weights = quadrature()
    turned = sh.basis(quaternion.rotate(quaternion.exp(axis * angle), grid), 3)
    for degree in range(4):
        band = slice(degree**2, (degree + 1) ** 2)
        coefficients = random_coefficients(2 * degree + 1)
        projected = sh.basis(grid, 3).T @ (weights * (turned[:, band] @ coefficients))
        assert projected[band].norm().item() == pytest.approx(coefficients.norm().item(), abs=2e-14)
        projected[band] = 0
        assert projected.abs().max().item() < ROUNDING


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("degree", [0, 1, 2, 3])
def test_a_plain_colour_looks_the_same_from_everywhere(degree: int, dtype: torch.dtype):
    rgb = torch.tensor([[0.0, 0.25, 1.0], [0.5, 0.7, 0.1]], dtype=dtype)
    coefficients = sh.coefficients_from_color(rgb, degree)
    assert coefficients.shape == (2, (degree + 1) ** 2, 3)
    directions = quadrature()[0].to(dtype)
    colors = sh.evaluate(coefficients[:, None], directions)
    assert colors.shape == (2, 32, 3)
    assert colors.dtype == dtype
    torch.testing.assert_close(colors, rgb[:, None].expand_as(colors), rtol=0, atol=2 * torch.finfo(dtype).eps)


def test_evaluate_is_half_plus_the_sum_clamped_below_only():
    directions = quadrature()[0]
    coefficients = 3 * random_coefficients(32, 16, 3)
    expected = 0.5 + torch.einsum("nk,nkc->nc", sh.basis(directions, 3), coefficients)
    colors = sh.evaluate(coefficients, directions)
    torch.testing.assert_close(colors, expected.clamp(min=0), rtol=0, atol=1e-14)
    assert (colors == 0).any()
    assert (colors > 1).any()


def test_leading_dimensions_broadcast():
    directions = quadrature()[0][:5]
    coefficients = random_coefficients(2, 1, 9, 3)
    colors = sh.evaluate(coefficients, directions)
    assert colors.shape == (2, 5, 3)
    assert torch.equal(colors[1, 3], sh.evaluate(coefficients[1, 0], directions[3]))


@pytest.mark.parametrize("degree", [0, 1, 2, 3])
def test_gradients(degree: int):
    directions = quadrature()[0][:6].clone().requires_grad_()
    # Small enough that nothing is clamped, where the function has a corner.
    coefficients = (0.02 * random_coefficients(6, (degree + 1) ** 2, 3)).requires_grad_()
    assert (sh.evaluate(coefficients, directions) > 0.1).all()
    assert torch.autograd.gradcheck(lambda d: sh.basis(d, degree), directions)
    assert torch.autograd.gradcheck(sh.evaluate, (coefficients, directions))


def test_clamped_channels_get_no_gradient():
    coefficients = sh.coefficients_from_color(torch.tensor([-1.0, 0.5, 2.0])).requires_grad_()
    sh.evaluate(coefficients, torch.tensor([0.0, 0.0, 1.0])).sum().backward()
    assert coefficients.grad is not None
    assert (coefficients.grad != 0).tolist() == [[False, True, True]]


@pytest.mark.parametrize(("count", "degree"), [(1, 0), (4, 1), (9, 2), (16, 3)])
def test_degree_of(count: int, degree: int):
    assert sh.degree_of(count) == degree


@pytest.mark.parametrize("count", [-1, 0, 2, 3, 8, 25])
def test_other_counts_are_refused(count: int):
    with pytest.raises(InputError, match="1, 4, 9 or 16"):
        sh.degree_of(count)


@pytest.mark.parametrize("degree", [-1, 4])
def test_other_degrees_are_refused(degree: int):
    with pytest.raises(InputError, match="0, 1, 2 or 3"):
        sh.basis(torch.tensor([0.0, 0.0, 1.0]), degree)
    with pytest.raises(InputError, match="0, 1, 2 or 3"):
        sh.coefficients_from_color(torch.tensor([0.0, 0.0, 1.0]), degree)
