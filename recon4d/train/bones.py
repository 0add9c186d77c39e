"""Where bones are: spread over a shape at first; later those that are asked too much of are split.

Only places and bindings are decided here; paths and the optimiser's rows are `grow.py`'s business.
"""

from __future__ import annotations

import torch
from jaxtyping import Float, Int64
from torch import Tensor

SLOTS = 4
"""Bones that a surfel may follow."""

_LEAST_FOLLOWERS = 24


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


def split_places(
    centers: Float[Tensor, "n 3"],
    rest: Float[Tensor, "b 3"],
    slots: Int64[Tensor, "n 4"],
    weights: Float[Tensor, "n 4"],
    need: Float[Tensor, " n"],
    count: int,
) -> tuple[Int64[Tensor, " m"], Float[Tensor, "m 3"]]:
    """Which bones to split, and where their second halves should be.

    The bones whose followers need most are split; the new one comes to the middle of the needier half of its followers
    along their longest direction.

    Args:
        centers: [N, 3] surfels in the canonical state.
        rest: [B, 3] bones at rest.
        slots, weights: [N, 4] which bones each surfel follows, and how much.
        need: [N] >= 0, how badly each surfel is drawn.
        count: of bones to split, at most.

    Returns:
        [M] bones, M <= count, and [M, 3] places.
    """
    asked = torch.zeros(len(rest), device=rest.device).index_add_(
        0, slots.flatten(), (weights * need[:, None]).flatten()
    )
    strongest = slots.gather(1, weights.argmax(1, keepdim=True))[:, 0]
    chosen: list[int] = []
    places: list[Tensor] = []
    for bone in asked.argsort(descending=True).tolist():
        mine = strongest == bone
        if len(chosen) == count:
            break
        if int(mine.sum()) < _LEAST_FOLLOWERS or float(asked[bone]) <= 0:
            continue
        points, asks = centers[mine], need[mine]
        away = points - points.mean(0)
        axis = torch.linalg.svd(away, full_matrices=False).Vh[0]
        ahead = (away @ axis) > 0
        half = ahead if float(asks[ahead].sum()) >= float(asks[~ahead].sum()) else ~ahead
        chosen.append(bone)
        places.append(points[half].mean(0))
    if not chosen:
        return torch.zeros(0, dtype=torch.int64, device=rest.device), rest[:0]
    return torch.tensor(chosen, device=rest.device), torch.stack(places)
