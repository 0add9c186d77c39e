"""Smooth normals: every surfel's turned to the mean of its neighbours'.

Colours pull surfels this way and that, and those that are smaller than a pixel show no slope at all, so neighbours on
one surface come to face several ways.  The mean counts a neighbour by its size, its nearness and how alike the two face
(a bilateral filter, as for meshes in Zheng, Fu, Au and Tai, "Bilateral normal filtering for mesh denoising", 2011), so
that the sides of an edge and the front and back of something thin stay apart.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from recon4d.core import quaternion
from recon4d.train.part import REFINED_NAMES, Part

_REACH = 0.012  # least standard deviation of nearness, sizes of the part
_REACHED = 8  # neighbours within one, where surfels are far apart
_NEIGHBOURS = 40
_ROUNDS = 3
_LEAST = 1e-12


def smooth_normals(part: Part) -> None:
    """Turn every surfel by the shortest way to its smoothed normal.

    Where colours have a branch of their own its turns are taken back by as much, so that pictures stay as they are.

    Args:
        part: changed in step.
    """
    p = part.parameters
    if len(part) <= _NEIGHBOURS:
        return
    with torch.no_grad():
        turns = quaternion.normalize(p["rotations_wxyz"])
        normals = quaternion.rotate(turns, turns.new_tensor([0.0, 0.0, 1.0]))
        areas = p["opacity_logits"].sigmoid() * p["log_scales"].sum(-1).exp()
        wanted = _smoothed(p["centers"], normals, areas, _REACH * part.size)
        turned = quaternion.normalize(quaternion.multiply(_shortest_turn(normals, wanted), turns))
        if part.is_refined:
            extra = p[REFINED_NAMES[0]]
            extra.copy_(quaternion.multiply(quaternion.multiply(quaternion.conjugate(turned), turns), extra))
        p["rotations_wxyz"].copy_(turned)


def _smoothed(
    centers: Float[Tensor, "n 3"], normals: Float[Tensor, "n 3"], areas: Float[Tensor, " n"], reach: float
) -> Float[Tensor, "n 3"]:
    """Unit normals, each on the side of the one it replaces."""
    from scipy.spatial import cKDTree

    places = centers.cpu().numpy()
    distances, rows = cKDTree(places).query(places, k=_NEIGHBOURS)
    near = torch.as_tensor(distances, dtype=centers.dtype, device=centers.device)
    index = torch.as_tensor(rows, device=centers.device)
    reaches = near[:, _REACHED, None].clamp_min(reach)
    weights = torch.exp(-0.5 * (near / reaches).square()) * areas[index] + _LEAST
    for _ in range(_ROUNDS):
        # A surfel has no front: neighbours that face the other way are turned over.
        alike = (normals[index] * normals[:, None]).sum(-1)
        mean = ((weights * alike * alike.abs())[..., None] * normals[index]).sum(1)
        normals = torch.nn.functional.normalize(mean, dim=-1)
    return normals


def _shortest_turn(start: Float[Tensor, "n 3"], end: Float[Tensor, "n 3"]) -> Float[Tensor, "n 4"]:
    """Quaternions that turn unit vectors onto others less than half a turn away."""
    cosine = (start * end).sum(-1, keepdim=True)
    return quaternion.normalize(torch.cat([1 + cosine, torch.linalg.cross(start, end)], -1))
