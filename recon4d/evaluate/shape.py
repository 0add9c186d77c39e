"""Shape against truth at one time: Chamfer distances, F-score, normal error, earth mover's distance is in `emd`.

Every measure here is symmetric in its two shapes.  Lengths are those of the input; what is called percent is percent of
the diagonal of the truth's bounding box.  Nothing is aligned here.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Shaped
from scipy.spatial import cKDTree

from recon4d.evaluate.checks import as_points, require_positive
from recon4d.evaluate.surfaces import Surface

F_SCORE_THRESHOLD_PERCENT = 1.0


@dataclass(frozen=True)
class ShapeScores:
    """How two surfaces differ.

    Attributes:
        chamfer_percent: mean of the two directed mean distances (not squared), percent of the diagonal.
        accuracy_percent: mean distance from the prediction's samples to the truth, percent of the diagonal.
        completeness_percent: mean distance from the truth's samples to the prediction, percent of the diagonal.
        f_score: harmonic mean of precision and recall, the shares of samples of the prediction and of the truth that
            lie within the threshold (1 % of the diagonal) of the other surface; in [0, 1].
        normal_error_deg: mean angle between the normal of a sample and the normal at the nearest point of the other
            surface, mean of both directions; without regard to sign (surfels have no outside), so in [0, 90] degrees.
    """

    chamfer_percent: float
    accuracy_percent: float
    completeness_percent: float
    f_score: float
    normal_error_deg: float


def compare_surfaces(
    prediction: Surface,
    truth: Surface,
    diagonal: float | int,
    *,
    threshold_percent: float | int = F_SCORE_THRESHOLD_PERCENT,
) -> ShapeScores:
    """Scores of two area-sampled surfaces; `diagonal` is the length that counts as 100 %.

    Raises:
        InputError: when the diagonal or the threshold is not a finite number above 0.
    """
    size = require_positive(diagonal, "diagonal")
    limit = size * require_positive(threshold_percent, "threshold_percent") / 100
    to_truth, truth_normals = truth.nearest(prediction.points)
    to_prediction, prediction_normals = prediction.nearest(truth.points)
    accuracy, completeness = float(to_truth.mean()), float(to_prediction.mean())
    precision, recall = float((to_truth <= limit).mean()), float((to_prediction <= limit).mean())
    angles = (
        angle_degrees(prediction.normals, truth_normals).mean(),
        angle_degrees(truth.normals, prediction_normals).mean(),
    )
    return ShapeScores(
        chamfer_percent=50 * (accuracy + completeness) / size,
        accuracy_percent=100 * accuracy / size,
        completeness_percent=100 * completeness / size,
        f_score=0.0 if precision + recall == 0 else 2 * precision * recall / (precision + recall),
        normal_error_deg=float(np.mean(angles)),
    )


def chamfer_dgmesh(prediction: Shaped[np.ndarray, "..."], truth: Shaped[np.ndarray, "..."]) -> float:
    """Chamfer distance in DG-Mesh's form: on the vertices, squared, the mean of both directions; units squared.

    I. Liu, H. Su, X. Wang, "Dynamic Gaussians Mesh", 2024, as its published evaluation computes it.  It depends on how
    both meshes are tessellated; `chamfer_percent` does not.

    Args:
        prediction: [N, 3] vertices.
        truth: [M, 3] vertices.

    Raises:
        InputError: wrong types, sizes or values.
    """
    first, second = as_points(prediction, "prediction"), as_points(truth, "truth")
    forward = cKDTree(second).query(first)[0] ** 2
    backward = cKDTree(first).query(second)[0] ** 2
    return float(0.5 * (forward.mean() + backward.mean()))


def angle_degrees(first: Float[np.ndarray, "n 3"], second: Float[np.ndarray, "n 3"]) -> Float[np.ndarray, "n"]:
    """Angle in [0, 90] degrees between lines along two vectors; exact near 0, where an arc cosine is not."""
    sine = np.linalg.norm(np.cross(first, second), axis=1)
    return np.degrees(np.arctan2(sine, np.abs(np.einsum("nd,nd->n", first, second))))
