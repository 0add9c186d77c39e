"""From which sides a subject was seen, and how far views from elsewhere can be trusted.

Directions are those from the subject's middle to the cameras, in a frame that turns with the subject: its rotation at
each time is that of the rigid motion nearest to its warp.  Confidence is 1 within `SURE` degrees of a fitted view and
falls to 0 at `GUESS` degrees; it knows angles only, and nothing of parts that hide each other.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from recon4d.core import Camera, InputError, Surfels
from recon4d.core.quaternion import to_matrix
from recon4d.core.rigid import align_similarity
from recon4d.scene import Layer, Scene
from recon4d.train.capture import Capture

SURE, GUESS = 20.0, 60.0
ROWS, COLUMNS = 18, 36
_SEEN = 30.0  # Degrees from a view within which a side counts as seen.
_SAMPLE = 2000
_NARROW = 150.0


@dataclass(frozen=True, eq=False)
class Coverage:
    """Where views of a subject came from.

    Attributes:
        directions: [F, 3] unit, towards the camera of each fitted frame, in the subject's axes: z up, x towards the
            first view.
        confidence: [ROWS, COLUMNS] of directions, elevation from 90 down to -90 degrees, azimuth from -180 to 180.
        counts: [ROWS, COLUMNS] fitted views in each cell.
        seen_share: share of the sphere within 30 degrees of a view.
        azimuth_degrees: how far around it was seen: 360 less the widest gap, where that is 30 degrees or more.
        range_degrees: the largest angle between two views.
        subject_from_world: [3, 3] turns directions of the world at `time` into the subject's axes.
        time: seconds; the moment that turntables are shown at.
        middle, radius: of the subject at that time, scene units.
        up: [3] of the world, the mean of the cameras' up.
    """

    directions: Float[np.ndarray, "f 3"]
    confidence: Float[np.ndarray, "r c"]
    counts: Float[np.ndarray, "r c"]
    seen_share: float
    azimuth_degrees: float
    range_degrees: float
    subject_from_world: Float[np.ndarray, "3 3"]
    time: float
    middle: Float[np.ndarray, " 3"]
    radius: float
    up: Float[np.ndarray, " 3"]

    def at(self, direction_in_world: Float[np.ndarray, " 3"]) -> float:
        """Confidence of a view from a direction of the world at `time`."""
        direction = (self.subject_from_world @ direction_in_world)[None]
        return float(_confidence(nearest_view(direction, self.directions))[0])

    def warning(self) -> str | None:
        """What a user must know about sides that were not seen."""
        if self.range_degrees < _NARROW and self.azimuth_degrees < 330:
            return (
                f"the subject was seen from {max(self.azimuth_degrees, self.range_degrees):.0f} degrees only; "
                "views beyond are guesses"
            )
        return None


def subject_of(scene: Scene) -> Layer | None:
    """The object with the most surfels; None where there are none."""
    objects = [layer for layer in scene.layers if layer.kind == "object" and len(layer.field) > 2]
    return max(objects, key=lambda layer: len(layer.field), default=None)


def world_up(cameras: Sequence[Camera]) -> Float[np.ndarray, " 3"]:
    """The mean of the cameras' up directions; z where they cancel out."""
    up = -np.mean([camera.cam_from_world[1, :3].double().numpy() for camera in cameras], axis=0)
    length = float(np.linalg.norm(up))
    return up / length if length > 0.1 else np.array([0.0, 0.0, 1.0])


def extent(surfels: Surfels) -> tuple[Float[np.ndarray, " 3"], float]:
    """Middle and radius of what can be seen: of the opaque surfels, without the farthest hundredth."""
    solid = surfels.opacities > 0.2
    points = (surfels.centers[solid] if bool(solid.any()) else surfels.centers).double().numpy()
    low, high = np.percentile(points, [1, 99], axis=0)
    middle = (low + high) / 2
    away = np.linalg.norm(points - middle, axis=1)
    return middle, max(float(np.percentile(away, 99)), 1e-6)


def find_coverage(scene: Scene, capture: Capture, cameras: Sequence[Camera]) -> Coverage | None:
    """Coverage of the largest object; None where there is none.

    Args:
        scene: the result.
        capture: what was fitted.
        cameras: of each frame, as the fit has left them.
    """
    layer = subject_of(scene)
    if layer is None:
        return None
    fitted = np.flatnonzero(capture.fitted)
    middle_frame = int(fitted[len(fitted) // 2])
    time = capture.times[middle_frame]
    up = world_up(cameras)
    rows = torch.linspace(0, len(layer.field) - 1, min(_SAMPLE, len(layer.field))).long()
    rest = layer.field.canonical.centers[rows].double()
    weights = layer.field.canonical.opacities[rows].double() + 1e-3
    toward = []
    for frame in fitted.tolist():
        now = layer.field.at(capture.times[frame]).centers[rows].double()
        canonical_from_world = turned(rest, now, weights).T
        center = (now * weights[:, None]).sum(0) / weights.sum()
        away = cameras[frame].center_in_world.double().numpy() - center.numpy()
        toward.append(canonical_from_world @ (away / max(float(np.linalg.norm(away)), 1e-12)))
    state = layer.field.at(time)
    here = turned(rest, state.centers[rows].double(), weights).T
    axes = _axes(here @ up, toward[0])
    directions = np.stack(toward) @ axes.T
    cells = cell_directions()
    angles = nearest_view(cells.reshape(-1, 3), directions).reshape(ROWS, COLUMNS)
    area = np.cos(np.radians(_elevations()))[:, None] * np.ones(COLUMNS)
    middle, radius = extent(state)
    widest = np.degrees(np.arccos(np.clip((directions @ directions.T).min(), -1, 1)))
    return Coverage(
        directions,
        _confidence(angles),
        _count(directions),
        float((area * (angles <= _SEEN)).sum() / area.sum()),
        _around(directions),
        float(widest),
        axes @ here,
        time,
        middle,
        radius,
        up,
    )


def turned(rest: Tensor, now: Tensor, weights: Tensor) -> Float[np.ndarray, "3 3"]:
    """Rotation world_from_canonical nearest to a motion of points; none where they do not tell."""
    try:
        return to_matrix(align_similarity(rest, now, weights, with_scale=False).rotation_wxyz).numpy()
    except InputError:
        return np.eye(3)


def nearest_view(directions: Float[np.ndarray, "*d 3"], views: Float[np.ndarray, "f 3"]) -> Float[np.ndarray, "*d"]:
    """Degrees from each direction to the nearest view."""
    return np.degrees(np.arccos(np.clip((directions @ views.T).max(-1), -1, 1)))


def cell_directions() -> Float[np.ndarray, "r c 3"]:
    """Unit directions of the map's cells."""
    elevation = np.radians(_elevations())[:, None]
    azimuth = np.radians((np.arange(COLUMNS) + 0.5) * 360 / COLUMNS - 180)[None]
    flat = np.cos(elevation)
    return np.stack([flat * np.cos(azimuth), flat * np.sin(azimuth), np.sin(elevation) + 0 * azimuth], -1)


def angles_of(directions: Float[np.ndarray, "f 3"]) -> tuple[Float[np.ndarray, " f"], Float[np.ndarray, " f"]]:
    """Azimuth and elevation in degrees."""
    azimuth = np.degrees(np.arctan2(directions[:, 1], directions[:, 0]))
    return azimuth, np.degrees(np.arcsin(np.clip(directions[:, 2], -1, 1)))


def _elevations() -> Float[np.ndarray, " r"]:
    return 90 - (np.arange(ROWS) + 0.5) * 180 / ROWS


def _confidence(angle: Float[np.ndarray, "*d"]) -> Float[np.ndarray, "*d"]:
    return np.clip((GUESS - np.asarray(angle)) / (GUESS - SURE), 0, 1)


def _axes(up: Float[np.ndarray, " 3"], front: Float[np.ndarray, " 3"]) -> Float[np.ndarray, "3 3"]:
    """Rows: towards the first view (level), left of it, up."""
    level = front - (front @ up) * up
    if np.linalg.norm(level) < 1e-6:
        level = np.eye(3)[int(np.abs(up).argmin())]
        level = level - (level @ up) * up
    x = level / np.linalg.norm(level)
    return np.stack([x, np.cross(up, x), up])


def _count(directions: Float[np.ndarray, "f 3"]) -> Float[np.ndarray, "r c"]:
    azimuth, elevation = angles_of(directions)
    row = np.clip(((90 - elevation) / 180 * ROWS).astype(int), 0, ROWS - 1)
    column = np.clip(((azimuth + 180) / 360 * COLUMNS).astype(int), 0, COLUMNS - 1)
    counts = np.zeros((ROWS, COLUMNS))
    np.add.at(counts, (row, column), 1)
    return counts


def _around(directions: Float[np.ndarray, "f 3"]) -> float:
    azimuth = np.sort(angles_of(directions)[0])
    gaps = np.diff(np.concatenate([azimuth, [azimuth[0] + 360]]))
    widest = float(gaps.max())
    return 360.0 - (widest if widest >= 30 else 0.0)
