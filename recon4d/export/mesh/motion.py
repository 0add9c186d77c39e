"""How a mesh moves with the surfels of its layer: the truth that bones and shapes are measured by.

Works on any field, through `Field.at_times` alone.  Does NOT know bones or formats.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Float32, Int64
from torch import Tensor

from recon4d.core import quaternion
from recon4d.export.mesh.topology import TriMesh
from recon4d.field import Field
from recon4d.synthetic.surface import vertex_normals

NEIGHBOURS = 8
_CHUNK = 1 << 21  # vertex positions at a time
_FAINT = 0.02


@dataclass(frozen=True, eq=False)
class Anchors:
    """The surfels that each vertex of a mesh moves with.

    Attributes:
        rows: [V, K] rows of the field.
        shares: [V, K] weights that sum to 1.
        offsets: [V, K, 3] from the surfels' canonical centres to the vertex.
    """

    rows: Int64[Tensor, "v k"]
    shares: Float[Tensor, "v k"]
    offsets: Float[Tensor, "v k 3"]


def anchor(field: Field, mesh: TriMesh) -> Anchors:
    """Binds each vertex to the nearest surfels, weighted by distance, agreement of normals, and opacity."""
    from scipy.spatial import cKDTree

    surfels = field.canonical.to("cpu", torch.float32)
    solid = torch.nonzero(surfels.opacities > _FAINT)[:, 0]
    rows = (solid if len(solid) else torch.arange(len(surfels))).numpy()
    centers = surfels.centers.double().numpy()
    count = min(NEIGHBOURS, len(rows))
    distance, found = cKDTree(centers[rows]).query(mesh.vertices, k=np.arange(1, count + 1))
    found = rows[found]
    axis = quaternion.to_matrix(quaternion.normalize(surfels.rotations_wxyz))[..., 2].double().numpy()
    agree = np.abs((axis[found] * vertex_normals(mesh.vertices, mesh.faces)[:, None]).sum(-1))
    width = np.maximum(distance.mean(1, keepdims=True), 1e-12)
    shares = np.exp(-((distance / width) ** 2)) * (0.05 + agree**2) * surfels.opacities.double().numpy()[found]
    shares /= shares.sum(1, keepdims=True)
    return Anchors(
        torch.from_numpy(found.astype(np.int64)),
        torch.from_numpy(shares).float(),
        torch.from_numpy(mesh.vertices[:, None] - centers[found]).float(),
    )


def carried(field: Field, anchors: Anchors, times: Sequence[float]) -> Float32[np.ndarray, "t v 3"]:
    """Where the surfels carry the vertices: each moves rigidly with every surfel it is bound to, and the mean is taken.

    Args:
        field: any field, with `anchors` of its canonical state.
        anchors: of the mesh.
        times: seconds.
    """
    used, rows = torch.unique(anchors.rows, return_inverse=True)
    part = field.select(used).to("cpu", torch.float32)
    step = max(1, _CHUNK // max(1, anchors.rows.numel()))
    moved = []
    for begin in range(0, len(times), step):
        with torch.no_grad():
            state = part.at_times(list(times[begin : begin + step]))
            assert state.world_from_canonical_wxyz is not None
            turns = quaternion.to_matrix(quaternion.normalize(state.world_from_canonical_wxyz))
            for centers, matrices in zip(state.centers, turns, strict=True):
                places = centers[rows] + (matrices[rows] @ anchors.offsets[..., None])[..., 0]
                moved.append((places * anchors.shares[..., None]).sum(1).numpy())
    return np.stack(moved)


def size_of(positions: Float32[np.ndarray, "t v 3"]) -> float:
    """Diagonal of the largest bounding box over time."""
    return max(float(np.linalg.norm(np.ptp(positions, axis=1), axis=-1).max()), 1e-12)


@dataclass(frozen=True)
class MotionError:
    """How far vertices are from where the surfels carry them.

    Attributes:
        rms, most: as shares of the layer's size.
    """

    rms: float
    most: float


def motion_error(made: Float32[np.ndarray, "t v 3"], truth: Float32[np.ndarray, "t v 3"]) -> MotionError:
    """Root mean square and maximum distance over vertices and times."""
    distance = np.linalg.norm(made - truth, axis=-1) / size_of(truth)
    return MotionError(float(np.sqrt((distance**2).mean())), float(distance.max()))
