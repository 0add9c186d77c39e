"""Carries surfels along with a deformation of canonical space: places, turns, sizes and colours.

The deformation is given by where every surfel goes and its Jacobian there; finding it is other modules' work.
"""

from __future__ import annotations

from dataclasses import replace

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from recon4d.core import quaternion
from recon4d.editors.shapes.turning import turn_colors
from recon4d.field import Field, Refined

_FLATTEST = 1e-5  # area between deformed tangents, relative to their lengths, below which they span no plane


def carry(
    field: Field, moved: Bool[Tensor, " n"], centers: Float[Tensor, "m 3"], jacobians: Float[Tensor, "m 3 3"]
) -> Field:
    """The field with some canonical surfels moved by a deformation; warp, ids, opacities and the others stay.

    A surfel stays an ellipse in its deformed tangent plane: its axes become the orthonormal pair nearest to the
    deformed ones, and each size grows with the stretch along its axis.

    Args:
        field: N surfels.
        moved: [N] which ones move, M in all.
        centers: [M, 3] their new canonical places.
        jacobians: [M, 3, 3] of the deformation at their old places.
    """
    surfels = field.canonical
    rows = moved.nonzero()[:, 0]
    jacobians = jacobians.to(surfels.centers)
    frames, sizes = _deformed(surfels.rotations_wxyz[rows], surfels.scales[rows], jacobians)
    changed = surfels.replace(
        centers=surfels.centers.index_copy(0, rows, centers.to(surfels.centers)),
        rotations_wxyz=surfels.rotations_wxyz.index_copy(0, rows, frames),
        scales=surfels.scales.index_copy(0, rows, sizes),
    )
    if surfels.sh is not None and surfels.sh.shape[1] > 1:
        back = quaternion.conjugate(quaternion.normalize(surfels.rotations_wxyz[rows]))
        turned = turn_colors(surfels.sh[rows], quaternion.multiply(frames, back))
        changed = changed.replace(sh=surfels.sh.index_copy(0, rows, turned))
    refined = field.refined
    if refined is not None:
        old = quaternion.multiply(surfels.rotations_wxyz[rows], refined.rotations_wxyz[rows])
        new, sizes = _deformed(old, refined.scales[rows], jacobians)
        extra = quaternion.multiply(quaternion.conjugate(frames), new)
        refined = Refined(refined.rotations_wxyz.index_copy(0, rows, extra), refined.scales.index_copy(0, rows, sizes))
    return replace(field, canonical=changed, refined=refined)


def _deformed(
    rotations_wxyz: Float[Tensor, "m 4"], scales: Float[Tensor, "m 2"], jacobians: Float[Tensor, "m 3 3"]
) -> tuple[Float[Tensor, "m 4"], Float[Tensor, "m 2"]]:
    """New unit rotations and new scales.

    Vectors are [3, M] here: sums over the first axis of such arrays are many times as fast as over the last.
    """
    before = quaternion.to_matrix(rotations_wxyz).permute(2, 1, 0).contiguous()  # axis, coordinate, surfel
    columns = jacobians.permute(2, 1, 0).contiguous()
    p, q = ((columns * axis[:, None]).sum(0) for axis in before[:2])
    # The orthonormal pair nearest to tangents T is T (T^T T)^(-1/2), the inverse root of a 2x2 matrix in closed form:
    # the root of G is (G + r I) / sqrt(trace G + 2 r) with r^2 = det G.
    a, b, d = (p * p).sum(0), (p * q).sum(0), (q * q).sum(0)
    root = (a * d - b * b).clamp_min(0).sqrt()
    flat = root <= _FLATTEST * (a + d)  # tangents that span no plane keep the old frame
    u = torch.where(flat, before[0], p * (d + root) - q * b)
    v = torch.where(flat, before[1], q * (a + root) - p * b)
    u = u / (u * u).sum(0).sqrt()
    v = v - (u * v).sum(0) * u
    v = v / (v * v).sum(0).sqrt()
    frames = torch.stack([u, v, torch.linalg.cross(u, v, dim=0)], 0).permute(2, 1, 0)
    return quaternion.from_matrix(frames), scales * torch.stack([a, d], -1).sqrt()
