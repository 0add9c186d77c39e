"""Real spherical harmonics of degree 0 to 3: colour that depends on the view direction.

Signs and order are those of the 3D Gaussian Splatting file format (the Condon-Shortley phase is kept, orders run from
-l to l): 1; -y, z, -x; xy, -yz, 3z^2-1, -xz, x^2-y^2; ..., each times its normalisation, so that the basis is
orthonormal over the unit sphere.  Does not turn coefficients: turn the direction instead.
"""

from __future__ import annotations

import math

import torch
from jaxtyping import Float
from torch import Tensor

from recon4d.core.errors import InputError

MAX_DEGREE = 3

_DEGREE_0 = math.sqrt(1 / math.pi) / 2
_DEGREE_1 = math.sqrt(3 / math.pi) / 2


def degree_of(coefficient_count: int) -> int:
    """Degree 0 to 3 that has this many coefficients: 1, 4, 9 or 16.

    Raises:
        InputError: for any other number.
    """
    for degree in range(MAX_DEGREE + 1):
        if (degree + 1) ** 2 == coefficient_count:
            return degree
    raise InputError(
        "spherical-harmonics coefficients",
        expected="1, 4, 9 or 16 of them (degree 0 to 3)",
        got=repr(coefficient_count),
        fix="pass coefficients of shape [..., K, 3] and cut or pad K",
    )


def basis(directions: Float[Tensor, "*batch 3"], degree: int) -> Float[Tensor, "*batch k"]:
    """Values [..., (degree + 1)^2] of the basis in unit directions [..., 3].

    Directions are not normalised here; any other length gives the polynomials' values, which mean nothing.

    Raises:
        InputError: unless degree is 0, 1, 2 or 3.
    """
    _check_degree(degree)
    x, y, z = directions.unbind(-1)
    values = [torch.full_like(x, _DEGREE_0)]
    if degree >= 1:
        values += [-_DEGREE_1 * y, _DEGREE_1 * z, -_DEGREE_1 * x]
    if degree >= 2:
        xx, yy, zz, xy, yz, xz = x * x, y * y, z * z, x * y, y * z, x * z
        side = math.sqrt(15 / math.pi) / 2
        values += [
            side * xy,
            -side * yz,
            math.sqrt(5 / math.pi) / 4 * (2 * zz - xx - yy),
            -side * xz,
            side / 2 * (xx - yy),
        ]
    if degree >= 3:
        outer = math.sqrt(35 / (2 * math.pi)) / 4
        middle = math.sqrt(105 / math.pi) / 2
        inner = math.sqrt(21 / (2 * math.pi)) / 4
        values += [
            -outer * y * (3 * xx - yy),
            middle * xy * z,
            -inner * y * (4 * zz - xx - yy),
            math.sqrt(7 / math.pi) / 4 * z * (2 * zz - 3 * xx - 3 * yy),
            -inner * x * (4 * zz - xx - yy),
            middle / 2 * z * (xx - yy),
            -outer * x * (xx - 3 * yy),
        ]
    return torch.stack(values, -1)


def evaluate(
    coefficients: Float[Tensor, "*#batch k 3"], directions: Float[Tensor, "*#batch 3"]
) -> Float[Tensor, "*#batch 3"]:
    """Display colours [..., 3]: max(0, 0.5 + sum of coefficients times basis), not clamped above.

    Args:
        coefficients: [..., K, 3] with K = 1, 4, 9 or 16.
        directions: [..., 3] unit vectors from the camera to the point, in the frame of the coefficients.

    Raises:
        InputError: for any other K.
    """
    values = basis(directions, degree_of(coefficients.shape[-2]))
    return (0.5 + (values[..., None] * coefficients).sum(-2)).clamp_min(0)


def coefficients_from_color(rgb: Float[Tensor, "*batch 3"], degree: int = 0) -> Float[Tensor, "*batch k 3"]:
    """Coefficients [..., (degree + 1)^2, 3] of surfaces that show the colour rgb [..., 3] from every side.

    Raises:
        InputError: unless degree is 0, 1, 2 or 3.
    """
    _check_degree(degree)
    constant = ((rgb - 0.5) / _DEGREE_0)[..., None, :]
    zeros = constant.new_zeros(*rgb.shape[:-1], (degree + 1) ** 2 - 1, 3)
    return torch.cat([constant, zeros], -2)


def _check_degree(degree: int) -> None:
    if degree not in range(MAX_DEGREE + 1):
        raise InputError(
            "spherical-harmonics degree",
            expected="0, 1, 2 or 3",
            got=repr(degree),
            fix="choose a degree that the basis has",
        )
