"""One clean triangle mesh of a layer's canonical surfels.

Does NOT know time, colours or bones.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float

from recon4d.core import Camera, InputError, Surfels, quaternion
from recon4d.export.mesh.repair import smoothed, untangled, with_holes_filled, without_floaters
from recon4d.export.mesh.topology import TriMesh, soundness
from recon4d.export.mesh.views import cameras_around, depth_views
from recon4d.export.mesh.volume import fuse, make_grid

VIEWS = 64
_PIXELS_PER_VOXEL = 1.3
_CELLS = (128, 448)  # along the diagonal of the box, for few and for many faces
_SOLID = 0.05  # opacity below which a surfel is no part of the surface
_PIECE = 0.03  # of the largest piece: smaller ones are floaters
_APART = 64  # of the diagonal: surfels nearer than this belong together though they do not touch
_TOUCHED = 16  # nearest others that a surfel may touch
_SMOOTH_ROUNDS = 6
_INPUT_VIEWS = 48
_INPUT_SIDE = 512
_OUTLIERS = 0.005

Tell = Callable[[int, int], None]


@dataclass(frozen=True)
class MeshSettings:
    """How a mesh is made.

    Attributes:
        faces: at most so many.
        fill_holes: close all holes.
        closed: a thing that is seen from all around; else what the cameras see of a backdrop.
    """

    faces: int
    fill_holes: bool = False
    closed: bool = True


def canonical_mesh(
    surfels: Surfels, settings: MeshSettings, cameras: Sequence[Camera] = (), tell: Tell = lambda done, total: None
) -> TriMesh:
    """Fuse, clean and simplify.

    Args:
        surfels: the canonical state, without batch axes.
        settings: see there.
        cameras: where the input was seen from, for what is not closed.
        tell: called with how many views are drawn, and how many there are.

    Returns:
        a manifold with consistent winding, closed where `settings.closed`.

    Raises:
        InputError: the surfels make no surface.
    """
    plain = surfels.to("cpu", torch.float32)
    kept = _belonging(plain, strict=settings.closed)
    plain = Surfels(**{name: tensor[kept] for name, tensor in plain.tensors().items()})
    points = _disc_points(plain)
    low, high = points.min(0), points.max(0)
    if not settings.closed:
        low, high = np.quantile(points, [_OUTLIERS, 1 - _OUTLIERS], axis=0)
    cells = int(np.clip(1.8 * math.sqrt(settings.faces), *_CELLS))
    grid = make_grid(low, high, cells)
    if settings.closed:
        around = cameras_around(low, high, VIEWS, max(64, round(_PIXELS_PER_VOXEL * cells)))
    else:
        around = _thinned(cameras)
    views = []
    for i, view in enumerate(depth_views(plain, around, grid.voxel)):
        views.append(view)
        tell(i + 1, len(around))
    mesh = fuse(grid, points, views, closed=settings.closed)
    mesh = without_floaters(untangled(mesh, fill=settings.closed), _PIECE, closed=settings.closed)
    if len(mesh.faces) == 0:
        raise InputError(
            "mesh",
            expected="surfels that make a surface",
            got=f"{len(surfels)} surfels that are too few, too small or too transparent",
            fix="check the scene with recon4d render, or export it as splats",
        )
    if settings.fill_holes:
        mesh = with_holes_filled(mesh)
    return simplified(smoothed(mesh, _SMOOTH_ROUNDS), settings.faces)


def simplified(mesh: TriMesh, faces: int) -> TriMesh:
    """At most so many faces, by collapsing the edges that matter least (Garland and Heckbert 1997).

    The fast way collapses edges without looking at what hangs together, which now and then tangles thin parts; where it
    does, the slower one of libigl is taken, which keeps a manifold a manifold.
    """
    import fast_simplification

    if len(mesh.faces) <= faces:
        return mesh
    before = soundness(mesh.faces)
    vertices, triangles = fast_simplification.simplify(
        mesh.vertices, mesh.faces.astype(np.int32), target_count=faces, agg=5.0
    )
    after = soundness(np.asarray(triangles, np.int64))
    if after.manifold and after.pieces == before.pieces and (after.borders > 0) == (before.borders > 0):
        return TriMesh(np.asarray(vertices, np.float64), np.asarray(triangles, np.int64))
    import igl

    vertices, triangles, *_ = igl.qslim(
        np.asfortranarray(mesh.vertices), np.asfortranarray(mesh.faces.astype(np.int32)), faces
    )
    # Its whole numbers are C's "long long", which numpy takes for another type of the same size.
    return TriMesh(np.ascontiguousarray(vertices, np.float64), triangles.astype(np.int32).astype(np.int64))


def _disc_points(surfels: Surfels) -> Float[np.ndarray, "n 3"]:
    """The middle of each surfel and eight points around it, one standard deviation away."""
    axes = quaternion.to_matrix(quaternion.normalize(surfels.rotations_wxyz))
    angles = torch.arange(8) * (math.pi / 4)
    ring = torch.stack([angles.cos(), angles.sin()], -1)[None] * surfels.scales[:, None]
    around = torch.einsum("nij,nkj->nki", axes[..., :2], ring) + surfels.centers[:, None]
    return torch.cat([surfels.centers, around.flatten(0, 1)]).double().numpy()


def _belonging(surfels: Surfels, *, strict: bool) -> Bool[torch.Tensor, " n"]:
    """Surfels of the larger lumps: what touches nothing else and is small is a floater."""
    from scipy.sparse import coo_matrix
    from scipy.sparse.csgraph import connected_components
    from scipy.spatial import cKDTree

    solid = surfels.opacities > _SOLID
    if not bool(solid.any()):
        return torch.ones(len(surfels), dtype=torch.bool)
    if not strict:
        return solid
    rows = torch.nonzero(solid)[:, 0].numpy()
    centers = surfels.centers.double().numpy()[rows]
    # A disc is seen to about two standard deviations from its middle.
    reach = 2 * surfels.scales.amax(-1).double().numpy()[rows]
    low, high = np.quantile(centers, [0.02, 0.98], axis=0)
    apart = max(float(np.linalg.norm(high - low)), 1e-9) / _APART
    number = min(_TOUCHED + 1, len(rows))
    distances, others = cKDTree(centers).query(centers, k=list(range(1, number + 1)))
    touching = distances <= np.maximum(reach[:, None] + reach[others], apart)
    start = np.repeat(np.arange(len(rows)), touching.sum(1))
    links = coo_matrix((np.ones(len(start)), (start, others[touching])), shape=(len(rows), len(rows)))
    _, lump = connected_components(links, directed=False)
    mass = (surfels.opacities * surfels.scales.prod(-1)).double().numpy()[rows]
    total = np.bincount(lump, mass)
    kept = torch.zeros(len(surfels), dtype=torch.bool)
    kept[torch.from_numpy(rows[total[lump] >= _PIECE * total.max()])] = True
    return kept


def _thinned(cameras: Sequence[Camera]) -> list[Camera]:
    chosen = np.unique(np.linspace(0, len(cameras) - 1, min(len(cameras), _INPUT_VIEWS)).round().astype(int))
    small = []
    for i in chosen:
        camera = cameras[i].to("cpu", torch.float32)
        scale = min(1.0, _INPUT_SIDE / max(camera.width, camera.height))
        small.append(camera.resized(max(1, round(camera.width * scale)), max(1, round(camera.height * scale))))
    return small
