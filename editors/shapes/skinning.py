"""Skinning weights for one set of surfels from those of another that lies nearby.

Weights are looked up on the nearest surface that faces the same way, then smoothed along the own surface, so that they
change steadily over it and never jump from one leg to the other.
"""

from __future__ import annotations

import numpy as np
import torch
from jaxtyping import Float, Int64
from torch import Tensor

from recon4d.editors.shapes.surface import neighbour_graph

_LOOKED_AT = 12
_FACING = 0.5  # a surfel that faces the other way counts as this share of the subject's size farther away
_ROUNDS = 400
_SLOTS = 4


def transfer_weights(
    donor_centers: Float[np.ndarray, "m 3"],
    donor_normals: Float[np.ndarray, "m 3"],
    donor_weights: tuple[Int64[Tensor, "m 4"], Float[Tensor, "m 4"]],
    centers: Float[np.ndarray, "n 3"],
    normals: Float[np.ndarray, "n 3"],
    *,
    bones: int,
    smoothing: float,
) -> tuple[Int64[Tensor, "n 4"], Float[Tensor, "n 4"]]:
    """Bones [N, 4] and weights [N, 4] of surfels, strongest first.

    Args:
        donor_centers, donor_normals, donor_weights: the surfels that have weights, in the same frame.
        centers, normals: the surfels that want some.
        bones: number of bones B.
        smoothing: standard deviation of the smoothing along the surface, scene units.
    """
    from scipy.sparse import csr_array
    from scipy.spatial import cKDTree

    index, weight = (x.detach().cpu().numpy() for x in donor_weights)
    size = float(np.linalg.norm(np.ptp(donor_centers, axis=0)))
    k = min(_LOOKED_AT, len(donor_centers))
    away, near = cKDTree(donor_centers).query(centers, k=k)
    away, near = away.reshape(-1, k), near.reshape(-1, k)
    facing = (donor_normals[near] * normals[:, None]).sum(-1)
    cost = away + _FACING * 0.1 * size * np.maximum(0, -facing)
    least = cost.min(1, keepdims=True)
    share = np.exp(-((cost - least) / (0.01 * size)))
    share /= share.sum(1, keepdims=True)
    starts = _SLOTS * np.arange(len(donor_centers) + 1)
    donor = csr_array((weight.ravel().astype(np.float64), index.ravel(), starts), shape=(len(donor_centers), bones))
    lookup = csr_array(
        (share.ravel(), near.ravel(), k * np.arange(len(centers) + 1)), shape=(len(centers), len(donor_centers))
    )
    dense = np.asarray((lookup @ donor).todense())
    graph = neighbour_graph(centers, normals)
    if len(graph.lengths):
        # One round of averaging with the neighbours moves mass by about an edge length, in a random direction.
        step = float(np.median(graph.lengths))
        dense = graph.average(dense, min(_ROUNDS, round(2 * (smoothing / max(step, 1e-12)) ** 2)))
    return strongest(dense)


def strongest(dense: Float[np.ndarray, "n b"]) -> tuple[Int64[Tensor, "n 4"], Float[Tensor, "n 4"]]:
    """The four largest weights of each row, strongest first and summing to 1, and their bones."""
    order = np.argsort(-dense, axis=1, kind="stable")[:, :_SLOTS]
    weights = np.take_along_axis(dense, order, axis=1)
    spare = ((0, 0), (0, _SLOTS - order.shape[1]))
    order, weights = np.pad(order, spare), np.pad(weights, spare)
    weights /= np.maximum(weights.sum(1, keepdims=True), 1e-30)
    return torch.from_numpy(order.astype(np.int64)), torch.from_numpy(weights)
