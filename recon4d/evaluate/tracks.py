"""Motion against truth: end-point errors of tracked points, and points carried along by moving surfels.

Points are followed from one reference time.  Nothing is aligned here and no time is interpolated.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float, Shaped
from scipy.spatial import cKDTree
from torch import Tensor

from recon4d.core import InputError, quaternion
from recon4d.evaluate.checks import as_points, as_track_pair, require_positive


@dataclass(frozen=True)
class TrackScores:
    """How well points were followed.

    Attributes:
        error_percent: mean distance between predicted and true positions over points and times, percent of the
            diagonal.
        delta_5, delta_10: share of (point, time) pairs with a distance below 5 % / 10 % of the diagonal, in [0, 1].
    """

    error_percent: float
    delta_5: float
    delta_10: float


def track_scores(
    prediction: Shaped[np.ndarray, "..."],
    truth: Shaped[np.ndarray, "..."],
    diagonal: float | int,
    *,
    reference: int | None = None,
) -> TrackScores:
    """Scores of N points followed through T times, both [T, N, 3].

    Args:
        prediction, truth: positions in the same frame and unit.
        diagonal: the length that counts as 100 %, the diagonal of the object's bounding box.
        reference: index of the time at which the prediction was started on the truth; left out of the means, since its
            error is 0 whatever the motion.  None counts every time.

    Raises:
        InputError: wrong shapes, types or values, or no time left.
    """
    first, second = as_track_pair(prediction, truth)
    size = require_positive(diagonal, "diagonal")
    distances = np.linalg.norm(first - second, axis=2)
    if reference is not None:
        if not 0 <= reference < len(distances) or len(distances) < 2:
            raise InputError(
                "reference",
                expected="the index of one of at least two times",
                got=f"{reference} of {len(distances)} times",
                fix="give tracks with further times",
            )
        distances = np.delete(distances, reference, axis=0)
    share = distances / size
    return TrackScores(
        error_percent=100 * float(share.mean()),
        delta_5=float((share < 0.05).mean()),
        delta_10=float((share < 0.1).mean()),
    )


def carry_points(
    points: Shaped[np.ndarray, "..."],
    centers: Float[Tensor, "t n 3"],
    rotations_wxyz: Float[Tensor, "t n 4"],
    reference: int,
    usable: Bool[np.ndarray, "n"] | None = None,
) -> Float[np.ndarray, "t p 3"]:
    """Where P points [P, 3] of the reference time go when each rides rigidly on the surfel nearest to it then.

    A point keeps its offset in the surfel's own axes, so at the reference time it is where it was put, and afterwards
    only the motion of the model shows.

    Args:
        points: [P, 3] positions at the reference time.
        centers, rotations_wxyz: the surfels at T times.
        reference: index of the reference time.
        usable: [N] surfels that may carry points (all when None); leave out those that cannot be seen.

    Raises:
        InputError: wrong points, or no usable surfel.
    """
    start = as_points(points, "points")
    rows = np.arange(centers.shape[1]) if usable is None else np.flatnonzero(usable)
    if len(rows) == 0:
        raise InputError("usable", expected="at least one surfel", got="none", fix="lower the opacity limit")
    _, near = cKDTree(centers[reference, rows].double().numpy()).query(start)
    carrier = torch.from_numpy(rows[near])
    where, turn = centers[:, carrier].double(), rotations_wxyz[:, carrier].double()
    offset = quaternion.rotate(
        quaternion.conjugate(quaternion.normalize(turn[reference])), torch.from_numpy(start) - where[reference]
    )
    return (where + quaternion.rotate(turn, offset)).numpy()
