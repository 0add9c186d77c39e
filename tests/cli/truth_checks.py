"""Holds a synthetic data set, as the reader gives it to any user, against its own stored meshes and cameras.

Run on data sets of any size: `python -m tests.cli.truth_checks DIR ...` prints a line for each and fails where one does
not hold.  Shares no code with the renderer: outlines come from projected triangles, depth from a plain ray-triangle
test in float64 (Möller and Trumbore 1997) over all triangles.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from recon4d.data import View, read_dataset
from recon4d.evaluate import Mesh, read_mesh
from tests.synthetic.conftest import rasterize_triangles

OUTLINE_SIDE = 4  # points along each side of a pixel
RAYS = 200  # for each view
DEPTH_TOLERANCE = 1e-4  # as a share of the depth
FLOW_TOLERANCE = 5e-3  # pixels


@dataclass(frozen=True)
class Truth:
    """The worst of the views that were looked at.

    Attributes:
        outline_iou: of stored alpha and projected meshes, both as shares of pixels covered.
        solid_iou: of the pixels that are at least half covered.
        depth_agrees: share of rays through pixels on which stored depth and ray casting agree.
        flow_agrees: share of the points met by those rays that the flow takes to where their vertices carry them.
        followed: how many points that was measured on: those seen in the next image too.
    """

    outline_iou: float
    solid_iou: float
    depth_agrees: float
    flow_agrees: float
    followed: int

    @property
    def holds(self) -> bool:
        """What the project promises of its synthetic truth."""
        return min(self.outline_iou, self.solid_iou) > 0.99 and min(self.depth_agrees, self.flow_agrees) > 0.99


def check(folder: Path, views: int = 3) -> Truth:
    """Looks at `views` views of the training split, spread over the clip, and as many of the test split."""
    dataset = read_dataset(folder)
    meshes = {round(time, 6): path for time, path in dataset.mesh_files()}
    outlines, solids, depths, flows = [], [], [], []
    for split in ("train", "test"):
        all_views = dataset.split(split)
        for index in sorted({int(i) for i in np.linspace(0, max(len(all_views) - 2, 0), views)}):
            view = all_views[index]
            mesh = read_mesh(meshes[round(view.time, 6)])
            outline, solid = _outline(view, mesh)
            outlines.append(outline)
            solids.append(solid)
            pixels, distance, points = _cast(view, mesh)
            depth = view.load_depth()[pixels[:, 0], pixels[:, 1]]
            depths.append(float((np.abs(distance - depth) < DEPTH_TOLERANCE * depth).mean()))
            later = [v for v in all_views if v.camera_id == view.camera_id and v.time > view.time]
            if view.flow_path is not None and later:
                moved = read_mesh(meshes[round(later[0].time, 6)])
                flows.append(_flow(view, pixels, points, later[0], moved))
    missed = np.concatenate([np.zeros(0), *flows])
    agrees = min((float((f < FLOW_TOLERANCE).mean()) for f in flows if len(f)), default=1.0)
    return Truth(min(outlines), min(solids), min(depths), agrees, len(missed))


def _matrices(view: View) -> tuple[np.ndarray, np.ndarray]:
    assert view.camera is not None
    return view.camera.K.numpy(), view.camera.cam_from_world.numpy()


def _project(view: View, vertices: np.ndarray) -> np.ndarray:
    k, pose = _matrices(view)
    in_cam = vertices @ pose[:3, :3].T + pose[:3, 3]
    return in_cam[:, :2] / in_cam[:, 2:] * [k[0, 0], k[1, 1]] + k[:2, 2]


def _outline(view: View, mesh: Mesh) -> tuple[float, float]:
    k, pose = _matrices(view)
    stored = view.load_mask()
    height, width = stored.shape
    drawn = rasterize_triangles(mesh.vertices, mesh.faces, k, pose, width, height, OUTLINE_SIDE).face >= 0
    covered = drawn.reshape(height, OUTLINE_SIDE, width, OUTLINE_SIDE).mean((1, 3))
    # Sixteen points: the limit lies between seven and eight of them.
    solid, stored_solid = covered > 0.47, stored > 0.47
    return (
        float(np.minimum(covered, stored).sum() / np.maximum(covered, stored).sum()),
        float((solid & stored_solid).sum() / (solid | stored_solid).sum()),
    )


def _cast(view: View, mesh: Mesh) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Pixels [N, 2] (row, column) inside the subject, and what their rays meet: depth [N], points of faces [N, 4].

    A point is its face and its three barycentric coordinates.
    """
    k, pose = _matrices(view)
    rows, columns = np.nonzero((view.load_depth() > 0) & (view.load_mask() > 0.99))
    chosen = np.random.default_rng(0).permutation(len(rows))[:RAYS]
    rows, columns = rows[chosen], columns[chosen]
    rays = np.stack([(columns + 0.5 - k[0, 2]) / k[0, 0], (rows + 0.5 - k[1, 2]) / k[1, 1], np.ones(len(rows))], -1)
    corners = (mesh.vertices @ pose[:3, :3].T + pose[:3, 3])[mesh.faces]
    met = np.array([_nearest(ray, corners) for ray in rays])
    return np.stack([rows, columns], -1), met[:, 0], met[:, 1:]


def _nearest(ray: np.ndarray, corners: np.ndarray) -> tuple[float, float, float, float, float]:
    """How far along a ray from the origin the first triangle lies (infinity for none), which it is, and where on it."""
    first, second = corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]
    across = np.cross(ray, second)
    volume = (first * across).sum(-1)
    volume = np.where(np.abs(volume) < 1e-300, np.nan, volume)
    start = -corners[:, 0]
    u = (start * across).sum(-1) / volume
    turned = np.cross(start, first)
    v = (turned @ ray) / volume
    along = (second * turned).sum(-1) / volume
    hit = (u >= -1e-9) & (v >= -1e-9) & (u + v <= 1 + 1e-9) & (along > 0)
    distance = np.where(hit, along, np.inf)
    face = int(distance.argmin())
    return float(distance[face]), float(face), float(1 - u[face] - v[face]), float(u[face]), float(v[face])


def _flow(view: View, pixels: np.ndarray, points: np.ndarray, following: View, moved: Mesh) -> np.ndarray:
    """Pixels by which the flow misses where each point of the surface, as its face's vertices carry it, is next."""
    corners = moved.vertices[moved.faces[points[:, 0].astype(int)]]
    there = _project(following, (corners * points[:, 1:, None]).sum(1))
    told = view.load_flow()[pixels[:, 0], pixels[:, 1]]
    seen = np.isfinite(told).all(-1)
    return np.linalg.norm(pixels[:, ::-1] + 0.5 + told - there, axis=1)[seen]


if __name__ == "__main__":
    good = True
    for name in sys.argv[1:]:
        truth = check(Path(name))
        good &= truth.holds
        print(
            f"{name}: outline IoU {truth.outline_iou:.4f}, solid IoU {truth.solid_iou:.4f}, depth agrees on "
            f"{100 * truth.depth_agrees:.1f} % of rays, flow on {100 * truth.flow_agrees:.1f} % of {truth.followed} "
            f"points" + ("" if truth.holds else ": FAILS")
        )
    sys.exit(0 if good else 1)
