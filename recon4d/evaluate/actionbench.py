"""ActionBench's three Chamfer distances for animated shapes: CD-3D, CD-4D and CD-M.

R. Sabathier, D. Novotny, N. J. Mitra, T. Monnier, "ActionMesh: Animated 3D Mesh Generation with Temporal 3D
Diffusion", 2026.
As defined there: a Chamfer distance is the *sum* of both directed mean distances, not squared, and

- CD-3D: every frame is aligned to the truth on its own, then the mean over frames: shape alone;
- CD-4D: one alignment, found on the first frame, serves all frames: shape that stays where it belongs;
- CD-M: after that one alignment, every point is paired with its nearest neighbour *in the first frame* and followed:
  the mean distance of the pairs over points and frames, summed over both directions: motion.

Stated choices of this implementation.  Lengths are in units in which the truth's first frame fits [-1, 1]^3, longest
side 2. An alignment is a rotation, a translation and a scale along each axis of the prediction, found by iterated
closest points in both directions (ActionBench descends the squared Chamfer distance over the same parameters), from
the pose given and, where asked for, from the 24 axis permutations; the best is kept, so that aligning never makes a
score worse.  This is the only place in recon4d where a frame is aligned on its own, because CD-3D is defined so.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Shaped
from scipy.spatial import cKDTree

from recon4d.core import InputError
from recon4d.evaluate.checks import as_tracks

_ALIGNMENT_POINTS = 2000
_ITERATIONS = 40
_INNER = 3


@dataclass(frozen=True)
class ActionBenchScores:
    """The three distances, in units in which the truth's first frame has a longest side of 2."""

    cd_3d: float
    cd_4d: float
    cd_m: float


@dataclass(frozen=True, eq=False)
class Alignment:
    """x -> rotation (scale * x) + translation."""

    rotation: Float[np.ndarray, "3 3"]
    scale: Float[np.ndarray, "3"]
    translation: Float[np.ndarray, "3"]

    def __call__(self, points: Float[np.ndarray, "*n 3"]) -> Float[np.ndarray, "*n 3"]:
        """The points in the frame aligned to."""
        return (points * self.scale) @ self.rotation.T + self.translation


def actionbench_scores(
    prediction: Shaped[np.ndarray, "..."],
    truth: Shaped[np.ndarray, "..."],
    prediction_tracks: Shaped[np.ndarray, "..."] | None = None,
    *,
    any_orientation: bool = False,
) -> ActionBenchScores:
    """CD-3D, CD-4D and CD-M of an animated shape.

    Args:
        prediction: [T, P, 3] points spread over the predicted surface at each time, drawn anew each time or followed.
        truth: [T, Q, 3] points of the true surface, followed (point q is the same material point at all times).
        prediction_tracks: [T, R, 3] followed points of the prediction for CD-M; `prediction` itself when None.
        any_orientation: also start the alignment from all 24 axis permutations, for shapes from tools with axes of
            their own.

    Raises:
        InputError: wrong shapes, types or values, or different numbers of times.
    """
    first, second = as_tracks(prediction, "prediction"), as_tracks(truth, "truth")
    followed = first if prediction_tracks is None else as_tracks(prediction_tracks, "prediction_tracks")
    if not len(first) == len(second) == len(followed):
        raise InputError(
            "prediction",
            expected=f"{len(second)} times as in truth",
            got=f"{len(first)} (tracks: {len(followed)})",
            fix="sample both at the same times",
        )
    low, high = second[0].min(0), second[0].max(0)
    side = float((high - low).max())
    if side == 0:
        raise InputError(
            "truth", expected="points that are apart", got="a single place", fix="check the truth's first frame"
        )
    first, second, followed = ((x - (low + high) / 2) * (2 / side) for x in (first, second, followed))
    once = align(first[0], second[0], any_orientation=any_orientation)
    each = [once] + [align(p, t, any_orientation=any_orientation) for p, t in zip(first[1:], second[1:], strict=True)]
    cd_3d = [chamfer_sum(a(p), t) for a, p, t in zip(each, first, second, strict=True)]
    cd_4d = [chamfer_sum(once(p), t) for p, t in zip(first, second, strict=True)]
    return ActionBenchScores(float(np.mean(cd_3d)), float(np.mean(cd_4d)), motion_chamfer(once(followed), second))


def chamfer_sum(prediction: Float[np.ndarray, "n 3"], truth: Float[np.ndarray, "m 3"]) -> float:
    """Sum of both directed mean nearest distances between two point sets."""
    forward, backward = cKDTree(truth).query(prediction)[0], cKDTree(prediction).query(truth)[0]
    return float(forward.mean() + backward.mean())


def motion_chamfer(prediction: Float[np.ndarray, "t n 3"], truth: Float[np.ndarray, "t m 3"]) -> float:
    """Mean distance over time of pairs that were nearest in the first frame, summed over both directions."""
    to_prediction = cKDTree(prediction[0]).query(truth[0])[1]
    to_truth = cKDTree(truth[0]).query(prediction[0])[1]
    forward = np.linalg.norm(prediction - truth[:, to_truth], axis=2).mean()
    backward = np.linalg.norm(truth - prediction[:, to_prediction], axis=2).mean()
    return float(forward + backward)


def align(
    source: Float[np.ndarray, "n 3"], target: Float[np.ndarray, "m 3"], *, any_orientation: bool = False
) -> Alignment:
    """The alignment of `source` onto `target` with the least Chamfer distance met; the identity if none is better."""
    rng = np.random.default_rng(0)
    few, goal = (
        x if len(x) <= _ALIGNMENT_POINTS else x[rng.choice(len(x), _ALIGNMENT_POINTS, replace=False)]
        for x in (source, target)
    )
    best = Alignment(np.eye(3), np.ones(3), np.zeros(3))
    # The verdict is on all points: what looks better on a sample need not be.
    least = chamfer_sum(source, target)
    starts = list(_axis_rotations()) if any_orientation else [np.eye(3)]
    found = [_descend(few, goal, rotation) for rotation in starts]
    candidate, _ = min(found, key=lambda pair: pair[1])
    return candidate if chamfer_sum(candidate(source), target) < least else best


def _descend(
    source: Float[np.ndarray, "n 3"], target: Float[np.ndarray, "m 3"], rotation: Float[np.ndarray, "3 3"]
) -> tuple[Alignment, float]:
    """Iterated closest points in both directions from one rotation; the best alignment met and its distance."""
    tree = cKDTree(target)
    current = Alignment(rotation, np.ones(3), target.mean(0) - rotation @ source.mean(0))
    if np.array_equal(rotation, np.eye(3)):
        current = Alignment(rotation, np.ones(3), np.zeros(3))
    best, least = current, np.inf
    for _ in range(_ITERATIONS):
        moved = current(source)
        forward, partner = tree.query(moved)
        backward, back_partner = cKDTree(moved).query(target)
        distance = float(forward.mean() + backward.mean())
        if distance < least:
            settled = distance > least * (1 - 1e-5)
            best, least = current, distance
            if settled or distance == 0:
                break
        from_points = np.concatenate([source, source[back_partner]])
        to_points = np.concatenate([target[partner], target])
        weights = np.repeat([1 / len(source), 1 / len(target)], [len(source), len(target)])
        current = _fit(from_points, to_points, weights / weights.sum(), current.scale)
    return best, least


def _fit(
    source: Float[np.ndarray, "n 3"],
    target: Float[np.ndarray, "n 3"],
    weights: Float[np.ndarray, "n"],
    scale: Float[np.ndarray, "3"],
) -> Alignment:
    """Weighted least squares over rotation, translation and axis scales, rotation and scales in turn."""
    source_mean, target_mean = weights @ source, weights @ target
    x, y = source - source_mean, target - target_mean
    rotation = np.eye(3)
    for _ in range(_INNER):
        u, _, vt = np.linalg.svd((weights[:, None] * y).T @ (x * scale))
        rotation = u @ np.diag([1, 1, np.sign(np.linalg.det(u @ vt))]) @ vt
        power = weights @ x**2
        # A flat shape says nothing about the scale across it.
        known = power > 1e-12 * power.max()
        scale = np.where(known, (weights @ (x * (y @ rotation))) / np.where(known, power, 1), scale)
        scale = np.maximum(scale, 1e-3)
    return Alignment(rotation, scale, target_mean - rotation @ (scale * source_mean))


def _axis_rotations() -> Iterator[Float[np.ndarray, "3 3"]]:
    """The 24 rotations that permute the axes, the identity first."""
    for order in itertools.permutations(range(3)):
        for signs in itertools.product((1.0, -1.0), repeat=3):
            rotation = np.diag(signs)[list(order)]
            if np.linalg.det(rotation) > 0:
                yield rotation
