"""Scalar functions that stay exact, with finite derivatives, where their textbook formulas read 0/0.

Rotations are full of quotients such as sin(a)/a.  Written as functions of the *squared* angle they are analytic
everywhere, so gradients exist at zero rotation; a power series is used near zero and the closed form elsewhere.  Both
branches of every `torch.where` are fed safe values, because a NaN in the branch not taken still poisons the gradient.

Knows nothing of rotations itself; `quaternion` and `rigid` are built on it.
"""

from __future__ import annotations

import math

import torch
from jaxtyping import Float
from torch import Tensor

# The series of `stumpff` below x = 1: its first dropped term is 1/20! = 4e-19, under float64's rounding.
_STUMPFF_TERMS = 10
# The series of `arctangent_ratio` below (sine/cosine)^2 = 0.01: its first dropped term is 5e-20.
_ARCTANGENT_LIMIT = 0.01
_ARCTANGENT_TERMS = 9


def stumpff(x: Float[Tensor, "*n"], order: int) -> Float[Tensor, "*n"]:
    """Stumpff function c_k(x) = sum over j of (-x)^j / (2j + k)!, for x >= 0.

    With a = sqrt(x): c_0 = cos a, c_1 = sin(a)/a, c_2 = (1 - cos a)/a^2, c_3 = (a - sin a)/a^3.

    Args:
        x: squared angles in radians^2.
        order: k, from 0 to 3.
    """
    near_zero = x < 1
    series_x = torch.where(near_zero, x, 0)
    series = torch.zeros_like(x)
    for j in reversed(range(_STUMPFF_TERMS)):
        series = (-1) ** j / math.factorial(2 * j + order) + series_x * series
    far_x = torch.where(near_zero, 1, x)
    angle = far_x.sqrt()
    if order == 0:
        closed = angle.cos()
    elif order == 1:
        closed = angle.sin() / angle
    elif order == 2:
        closed = (1 - angle.cos()) / far_x
    else:
        closed = (angle - angle.sin()) / (far_x * angle)
    return torch.where(near_zero, series, closed)


def arctangent_ratio(sine_squared: Float[Tensor, "*n"], cosine: Float[Tensor, "*n"]) -> Float[Tensor, "*n"]:
    """atan2(s, cosine) / s with s = sqrt(sine_squared); 1/cosine in the limit s = 0.

    Args:
        sine_squared: >= 0.
        cosine: >= 0, and not zero where `sine_squared` is.
    """
    near_zero = sine_squared < _ARCTANGENT_LIMIT * cosine.square()
    safe_cosine = torch.where(near_zero, cosine, 1)
    tangent_squared = torch.where(near_zero, sine_squared, 0) / safe_cosine.square()
    series = torch.zeros_like(tangent_squared)
    for j in reversed(range(_ARCTANGENT_TERMS)):
        series = (-1) ** j / (2 * j + 1) + tangent_squared * series
    sine = torch.where(near_zero, 1, sine_squared).sqrt()
    return torch.where(near_zero, series / safe_cosine, torch.atan2(sine, cosine) / sine)
