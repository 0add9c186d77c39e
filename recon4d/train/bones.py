"""Where bones are: spread over a shape at first, more of them later where the images ask for them."""

from __future__ import annotations

import torch
from jaxtyping import Float, Int64
from torch import Tensor

SLOTS = 4
"""Bones that a surfel may follow."""


def place_bones(points: Float[Tensor, "n 3"], count: int) -> Float[Tensor, "b 3"]:
    """Places spread evenly over points: farthest-point sampling from the middle, then a few rounds of k-means."""
    nearest = (points - points.mean(0)).square().sum(-1)
    chosen = [int(nearest.argmin())]
    distance = (points - points[chosen[0]]).square().sum(-1)
    while len(chosen) < min(count, len(points)) and float(distance.max()) > 0:
        chosen.append(int(distance.argmax()))
        distance = torch.minimum(distance, (points - points[chosen[-1]]).square().sum(-1))
    places = points[chosen].double()
    for _ in range(5):
        owner = torch.cdist(points.double(), places).argmin(1)
        sums = torch.zeros_like(places).index_add_(0, owner, points.double())
        counts = torch.bincount(owner, minlength=len(places))[:, None]
        places = torch.where(counts > 0, sums / counts.clamp_min(1), places)
    return places.to(points.dtype)


def nearest_bones(centers: Float[Tensor, "n 3"], rest: Float[Tensor, "b 3"]) -> Int64[Tensor, "n 4"]:
    """The four nearest bones of points, nearest first, filled up with bone 0."""
    found = torch.cdist(centers.detach(), rest).topk(min(SLOTS, len(rest)), largest=False).indices
    return torch.nn.functional.pad(found, (0, SLOTS - found.shape[1]))
