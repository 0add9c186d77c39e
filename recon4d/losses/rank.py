"""A loss that prefers motions made of few modes."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor


def motion_rank(places: Float[Tensor, "t d"]) -> Float[Tensor, ""]:
    """Nuclear norm of a motion about its mean, divided by the root of the number of moments.

    The sum of singular values is the convex stand-in for the rank, the prior of Dai, Li and He ("A simple prior-free
    method for non-rigid structure-from-motion factorization", 2012): what one camera cannot see at a moment, depth
    above all, follows the modes of motion that it saw at others.  One mode of root mean square r over the moments,
    summed over all coordinates, gives r.

    Args:
        places: [T, D] coordinates of all points at each moment, in one unit.
    """
    deviation = places - places.mean(0)
    return torch.linalg.svdvals(deviation).sum() / len(places) ** 0.5
