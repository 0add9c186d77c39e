"""Linear blend skinning of vertices, as glTF 2.0 defines it."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float, Int


def skin(
    vertices: Float[np.ndarray, "v 3"],
    world_from_rest: Float[np.ndarray, "b 4 4"],
    indices: Int[np.ndarray, "v k"],
    weights: Float[np.ndarray, "v k"],
) -> Float[np.ndarray, "v 3"]:
    """Linear blend skinning: sum over influences of weight times transformed vertex."""
    posed = np.zeros_like(vertices)
    # Plain sums instead of matrix products: the same bits for any number of threads.
    for k in range(indices.shape[1]):
        matrix = world_from_rest[indices[:, k]]
        moved = (
            matrix[:, :3, 0] * vertices[:, 0:1]
            + matrix[:, :3, 1] * vertices[:, 1:2]
            + matrix[:, :3, 2] * vertices[:, 2:3]
            + matrix[:, :3, 3]
        )
        posed += weights[:, k : k + 1] * moved
    return posed
