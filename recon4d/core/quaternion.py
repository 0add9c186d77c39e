"""Rotations as quaternions, component order wxyz (w first).

Every function takes any number of leading batch dimensions, which broadcast, works in float32 and float64, and has
finite gradients at every rotation, the identity and half turns included.

`q` and `-q` are the same rotation.  `rotate`, `to_matrix`, `log` and `slerp` accept any length except zero and ignore
it; `multiply` and `conjugate` are plain quaternion algebra, so the conjugate is the inverse of unit quaternions only.
A zero quaternion says nothing about a rotation: it is read as the identity and gets no gradient.  Nothing here checks
values, because looking at them would stall an accelerator; whoever takes quaternions from outside checks them there.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from recon4d.core._smooth import arctangent_ratio, stumpff

# Largest component at or below which a quaternion counts as zero.
ZERO_LENGTH = 1e-12


def normalize(q: Float[Tensor, "*batch 4"]) -> Float[Tensor, "*batch 4"]:
    """Unit quaternions of the same direction; a zero quaternion gives the identity (1, 0, 0, 0)."""
    # Unit length does not depend on the scale, so this scale may be a constant for gradients.  Taking it out first
    # keeps the squares below from overflowing or underflowing.
    scale = q.detach().abs().amax(-1, keepdim=True)
    zero = scale <= ZERO_LENGTH
    identity = (torch.arange(4, device=q.device) == 0).to(q.dtype)
    q = torch.where(zero, identity, q / torch.where(zero, 1, scale))
    return q / q.square().sum(-1, keepdim=True).sqrt()


def multiply(a: Float[Tensor, "*#batch 4"], b: Float[Tensor, "*#batch 4"]) -> Float[Tensor, "*#batch 4"]:
    """Hamilton product a b: as rotations, first b, then a."""
    aw, ax, ay, az = a.unbind(-1)
    bw, bx, by, bz = b.unbind(-1)
    return torch.stack(
        [
            aw * bw - ax * bx - ay * by - az * bz,
            aw * bx + ax * bw + ay * bz - az * by,
            aw * by - ax * bz + ay * bw + az * bx,
            aw * bz + ax * by - ay * bx + az * bw,
        ],
        -1,
    )


def conjugate(q: Float[Tensor, "*batch 4"]) -> Float[Tensor, "*batch 4"]:
    """(w, -x, -y, -z): the inverse rotation, for unit quaternions also the inverse quaternion."""
    return torch.cat([q[..., :1], -q[..., 1:]], -1)


def rotate(q: Float[Tensor, "*#batch 4"], v: Float[Tensor, "*#batch 3"]) -> Float[Tensor, "*#batch 3"]:
    """Vectors [..., 3] turned by q."""
    q = normalize(q)
    # linalg.cross wants equal numbers of dimensions.
    axis, v = torch.broadcast_tensors(q[..., 1:], v)
    twice_cross = 2 * torch.linalg.cross(axis, v)
    return v + q[..., :1] * twice_cross + torch.linalg.cross(axis, twice_cross)


def to_matrix(q: Float[Tensor, "*batch 4"]) -> Float[Tensor, "*batch 3 3"]:
    """Rotation matrices [..., 3, 3]."""
    w, x, y, z = normalize(q).unbind(-1)
    entries = [
        1 - 2 * (y * y + z * z),
        2 * (x * y - w * z),
        2 * (x * z + w * y),
        2 * (x * y + w * z),
        1 - 2 * (x * x + z * z),
        2 * (y * z - w * x),
        2 * (x * z - w * y),
        2 * (y * z + w * x),
        1 - 2 * (x * x + y * y),
    ]
    return torch.stack(entries, -1).unflatten(-1, (3, 3))


def from_matrix(matrix: Float[Tensor, "*batch 3 3"]) -> Float[Tensor, "*batch 4"]:
    """Unit quaternions with w >= 0 of rotation matrices [..., 3, 3].

    Of the four ways to divide out one component, the one with the largest divisor is taken for each matrix (Shepperd,
    "Quaternion from rotation matrix", 1978), so no rotation loses precision.  At exact half turns (w = 0) the largest
    component is positive.  The input must be a rotation; reflections and scalings are not detected.
    """
    (xx, xy, xz), (yx, yy, yz), (zx, zy, zz) = (row.unbind(-1) for row in matrix.unbind(-2))
    # Row k is 4 q_k q.
    candidates = torch.stack(
        [
            torch.stack([1 + xx + yy + zz, zy - yz, xz - zx, yx - xy], -1),
            torch.stack([zy - yz, 1 + xx - yy - zz, xy + yx, xz + zx], -1),
            torch.stack([xz - zx, xy + yx, 1 - xx + yy - zz, yz + zy], -1),
            torch.stack([yx - xy, xz + zx, yz + zy, 1 - xx - yy + zz], -1),
        ],
        -2,
    )
    largest = candidates.diagonal(dim1=-2, dim2=-1).argmax(-1)
    q = normalize(torch.take_along_dim(candidates, largest[..., None, None], -2).squeeze(-2))
    return torch.where(q[..., :1] < 0, -q, q)


def exp(rotation_vector: Float[Tensor, "*batch 3"]) -> Float[Tensor, "*batch 4"]:
    """Unit quaternions of rotation vectors [..., 3] (axis times angle in radians, any angle)."""
    quarter_square = rotation_vector.square().sum(-1, keepdim=True) / 4
    return torch.cat([stumpff(quarter_square, 0), 0.5 * rotation_vector * stumpff(quarter_square, 1)], -1)


def log(q: Float[Tensor, "*batch 4"]) -> Float[Tensor, "*batch 3"]:
    """Shortest rotation vectors [..., 3], of lengths in [0, pi].

    A half turn has two, opposite ones.  At w = 0 exactly, the one along (x, y, z) is given, with the gradient of the
    side w > 0; across a half turn the result jumps from one to the other.
    """
    q = normalize(q)
    q = torch.where(q[..., :1] < 0, -q, q)
    axis = q[..., 1:]
    return 2 * axis * arctangent_ratio(axis.square().sum(-1, keepdim=True), q[..., :1])


def slerp(
    a: Float[Tensor, "*#batch 4"], b: Float[Tensor, "*#batch 4"], s: Float[Tensor, "*#batch"] | float
) -> Float[Tensor, "*#batch 4"]:
    """Rotations on the shortest arc from a (s = 0) to b (s = 1), at constant angular speed.

    After Shoemake ("Animating rotation with quaternion curves", 1985).  The result starts at `a` with its sign, so it
    ends at -b where that is nearer.  Where a and b are half a turn apart, both arcs are shortest and b is taken with
    the sign it came with.  s outside [0, 1] extrapolates.
    """
    a, b = normalize(a), normalize(b)
    b = torch.where((a * b).sum(-1, keepdim=True) < 0, -b, b)
    # Angle between a and b on the 3-sphere, squared.  Kahan's form with differences and sums is exact at small angles,
    # and the sum is at least sqrt(2) long, so its root is harmless.
    difference_squared = (a - b).square().sum(-1, keepdim=True)
    sum_length = (a + b).square().sum(-1, keepdim=True).sqrt()
    angle_squared = 4 * difference_squared * arctangent_ratio(difference_squared, sum_length).square()
    s = s[..., None] if isinstance(s, Tensor) else s
    sine = stumpff(angle_squared, 1)
    weight_a = (1 - s) * stumpff((1 - s) ** 2 * angle_squared, 1) / sine
    weight_b = s * stumpff(s**2 * angle_squared, 1) / sine
    return normalize(weight_a * a + weight_b * b)
