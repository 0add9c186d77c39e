"""The scalar functions under the rotations, against their definitions in 50-digit arithmetic."""

from __future__ import annotations

from decimal import Decimal, getcontext

import pytest
import torch

from recon4d.core._smooth import arctangent_ratio, stumpff

getcontext().prec = 50


def stumpff_exact(x: float | Decimal, order: int) -> Decimal:
    """The defining series, summed until nothing changes."""
    term = Decimal(1)
    for i in range(1, order + 1):
        term /= i
    total = Decimal(0)
    j = 0
    while abs(term) > Decimal(10) ** -45:
        total += term
        j += 1
        term *= -Decimal(x) / ((2 * j + order - 1) * (2 * j + order))
    return total


def arctangent_ratio_exact(sine_squared: float, cosine: float) -> Decimal:
    """Euler's series of the arctangent, which converges for every argument; `cosine` > 0."""
    tangent_squared = Decimal(sine_squared) / Decimal(cosine) ** 2
    part = tangent_squared / (1 + tangent_squared)
    term = 1 / ((1 + tangent_squared) * Decimal(cosine))
    total = Decimal(0)
    n = 0
    while abs(term) > Decimal(10) ** -45:
        total += term
        n += 1
        term *= part * 2 * n / (2 * n + 1)
    return total


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("order", [0, 1, 2, 3])
@pytest.mark.parametrize("x", [0.0, 1e-30, 1e-12, 1e-4, 0.5, 1.0 - 2**-20, 1.0, 1.0 + 2**-20, 2.0, 9.0, 40.0])
def test_stumpff_is_its_series(x: float, order: int, dtype: torch.dtype):
    value = stumpff(torch.tensor([x], dtype=dtype), order).item()
    # Worst observed: 1.3 eps.
    assert abs(value - float(stumpff_exact(x, order))) <= 2 * torch.finfo(dtype).eps


@pytest.mark.parametrize("order", [0, 1, 2, 3])
@pytest.mark.parametrize("x", [0.0, 1e-20, 1e-4, 0.999, 1.0, 1.001, 9.0])
def test_stumpff_derivatives_are_those_of_the_series(x: float, order: int):
    argument = torch.tensor([x], dtype=torch.float64, requires_grad=True)
    (first,) = torch.autograd.grad(stumpff(argument, order).sum(), argument, create_graph=True)
    (second,) = torch.autograd.grad(first.sum(), argument)
    step = Decimal("1e-12")
    low, middle, high = (stumpff_exact(Decimal(x) + i * step, order) for i in (-1, 0, 1))
    # Worst observed: 1.4e-16 and 1.3e-15.
    assert abs(first.item() - float((high - low) / (2 * step))) < 3e-16
    assert abs(second.item() - float((high - 2 * middle + low) / step**2)) < 3e-15


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("cosine", [1.0, 0.5, 0.2])
@pytest.mark.parametrize("sine_squared", [0.0, 1e-30, 1e-8, 0.0099, 0.0101, 0.3, 1.0])
def test_arctangent_ratio_is_its_series(sine_squared: float, cosine: float, dtype: torch.dtype):
    rounded = torch.tensor([sine_squared, cosine], dtype=dtype)
    value = arctangent_ratio(rounded[:1], rounded[1:]).item()
    exact = float(arctangent_ratio_exact(*rounded.tolist()))
    # Worst observed: 1.6 eps.
    assert abs(value / exact - 1) <= 3 * torch.finfo(dtype).eps


def test_arctangent_ratio_at_a_right_angle():
    value = arctangent_ratio(torch.ones(1, dtype=torch.float64), torch.zeros(1, dtype=torch.float64))
    assert value.item() == torch.pi / 2
