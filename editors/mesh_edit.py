"""What was done to an exported mesh elsewhere, done to the surfels: moved vertices and repainted colours.

Every surfel is bound to the nearest point of the mesh as it was exported.  It moves with that point; the Jacobian of
the surface there takes its disc to an ellipse, whose axes are its new turn and sizes.  Pure functions; reads no files.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace

import numpy as np
import torch
from jaxtyping import Float, Int64
from torch import Tensor

from recon4d.core import InputError, Surfels, quaternion
from recon4d.core.spherical_harmonics import coefficients_from_color
from recon4d.editors.shapes.turning import turn_colors
from recon4d.field import Field, Refined

_FAR = 0.05  # of the mesh's diagonal: surfels farther from it are none of its own
_MOVED = 1e-6  # of the diagonal: less is rounding of the file
_PAINTED = 1.5 / 255  # of colour


@dataclass(frozen=True, eq=False)
class MeshChange:
    """A mesh before and after, in the canonical space of a layer.

    Attributes:
        before, after: [V, 3] vertices.
        faces: [F, 3], counter-clockwise seen from outside.
        vertex_paint: [V, 3] change of the display colours of vertices.
        paint_places: [P, 3] points on the mesh before, whose texels have another colour now.
        paint: [P, 3] change of their display colours.
        paint_reach: [1] how far from such a point its colour counts, scene units.
    """

    before: Float[Tensor, "v 3"]
    after: Float[Tensor, "v 3"]
    faces: Int64[Tensor, "f 3"]
    vertex_paint: Float[Tensor, "v 3"]
    paint_places: Float[Tensor, "p 3"]
    paint: Float[Tensor, "p 3"]
    paint_reach: Float[Tensor, "1"]

    def __post_init__(self) -> None:
        vertices, points = len(self.before), len(self.paint_places)
        right = (
            self.after.shape == self.vertex_paint.shape == self.before.shape == (vertices, 3)
            and self.faces.ndim == 2
            and self.faces.shape[1] == 3
            and self.paint.shape == self.paint_places.shape == (points, 3)
            and all(bool(torch.isfinite(t).all()) for t in self.tensors().values() if t.is_floating_point())
        )
        inside = right and len(self.faces) > 0 and int(self.faces.min()) >= 0 and int(self.faces.max()) < vertices
        if not inside:
            raise InputError(
                "mesh",
                expected="finite vertices before and after, and faces between them",
                got=", ".join(f"{name} {list(tensor.shape)}" for name, tensor in self.tensors().items()),
                fix="import the mesh again",
            )

    def tensors(self) -> dict[str, Tensor]:
        """All arrays by name."""
        return {field.name: getattr(self, field.name) for field in fields(self)}


def change_field(field: Field, change: MeshChange) -> Field:
    """The field with its canonical surfels changed as the mesh was; ids, opacities and the warp stay.

    Surfels at parts of the mesh that nobody touched, and surfels far from it, keep their bits.
    """
    before = change.before.double().numpy()
    diagonal = max(float(np.linalg.norm(np.ptp(before, axis=0))), 1e-12)
    face, weights, distance = _bound(field.canonical.centers.detach().double().cpu().numpy(), before, change.faces)
    near = torch.from_numpy(distance <= _FAR * diagonal)
    moved = (change.after - change.before).double().norm(dim=-1) > _MOVED * diagonal
    rows = torch.nonzero(near & moved[change.faces[face]].any(-1))[:, 0]
    field = _moved(field, rows, change, face[rows], weights[rows])
    return _painted(field, near, change, face, weights)


def _bound(
    points: Float[np.ndarray, "n 3"], vertices: Float[np.ndarray, "v 3"], faces: Int64[Tensor, "f 3"]
) -> tuple[Int64[Tensor, " n"], Float[Tensor, "n 3"], Float[np.ndarray, " n"]]:
    """Nearest face of each point, the barycentric coordinates of its nearest point on it, and the distance."""
    import igl

    triangles = np.ascontiguousarray(faces.numpy(), np.int64)
    square, face, place = igl.point_mesh_squared_distance(np.ascontiguousarray(points), vertices, triangles)
    face = np.asarray(face, np.int64).astype(np.int32).astype(np.int64)
    a, b, c = (vertices[triangles[face, i]] for i in range(3))
    u, v, w = b - a, c - a, np.asarray(place) - a
    uu, uv, vv = (u * u).sum(-1), (u * v).sum(-1), (v * v).sum(-1)
    wu, wv = (w * u).sum(-1), (w * v).sum(-1)
    area = np.maximum(uu * vv - uv * uv, 1e-300)
    second, third = (vv * wu - uv * wv) / area, (uu * wv - uv * wu) / area
    weights = np.clip(np.stack([1 - second - third, second, third], -1), 0, 1)
    weights /= np.maximum(weights.sum(-1, keepdims=True), 1e-12)
    return torch.from_numpy(face), torch.from_numpy(weights), np.sqrt(np.maximum(np.asarray(square), 0))


def _moved(
    field: Field,
    rows: Int64[Tensor, " m"],
    change: MeshChange,
    face: Int64[Tensor, " m"],
    weights: Float[Tensor, "m 3"],
) -> Field:
    if len(rows) == 0:
        return field
    surfels = field.canonical
    jacobians = _jacobians(change)
    corners = change.faces[face]
    jacobian = (weights[..., None, None] * jacobians[corners]).sum(1)
    before, after = change.before.double(), change.after.double()
    foot = (weights[..., None] * before[corners]).sum(1)
    lifted = surfels.centers[rows].double() - foot
    centers = (weights[..., None] * after[corners]).sum(1) + (jacobian @ lifted[..., None])[..., 0]
    rotations, scales = _deformed(surfels.rotations_wxyz[rows].double(), surfels.scales[rows].double(), jacobian)
    changed: dict[str, Tensor | None] = {
        "centers": _put(surfels.centers, rows, centers),
        "rotations_wxyz": _put(surfels.rotations_wxyz, rows, rotations),
        "scales": _put(surfels.scales, rows, scales),
    }
    if surfels.sh is not None:
        turns = _rotation_of(jacobian).to(surfels.sh)
        changed["sh"] = _put(surfels.sh, rows, turn_colors(surfels.sh[rows], turns))
    refined = field.refined
    if refined is not None:
        own = quaternion.multiply(surfels.rotations_wxyz[rows], refined.rotations_wxyz[rows]).double()
        turned, sizes = _deformed(own, refined.scales[rows].double(), jacobian)
        extra = quaternion.multiply(quaternion.conjugate(rotations), turned)
        refined = Refined(_put(refined.rotations_wxyz, rows, extra), _put(refined.scales, rows, sizes))
    return replace(field, canonical=surfels.replace(**changed), refined=refined)


def _painted(
    field: Field, near: Tensor, change: MeshChange, face: Int64[Tensor, " n"], weights: Float[Tensor, "n 3"]
) -> Field:
    delta = (weights[..., None] * change.vertex_paint.double()[change.faces[face]]).sum(1)
    if len(change.paint_places):
        from scipy.spatial import cKDTree

        feet = (weights[..., None] * change.before.double()[change.faces[face]]).sum(1)
        tree = cKDTree(change.paint_places.double().numpy())
        distance, found = tree.query(feet.numpy(), distance_upper_bound=float(change.paint_reach))
        hit = np.isfinite(distance)
        delta[torch.from_numpy(hit)] += change.paint.double()[torch.from_numpy(found[hit])]
    rows = torch.nonzero(near & (delta.abs().amax(-1) > _PAINTED))[:, 0]
    surfels = field.canonical
    if len(rows) == 0:
        return field
    if surfels.sh is not None:
        grey = torch.full_like(delta[rows], 0.5)
        step = coefficients_from_color(grey + delta[rows])[:, 0]
        sh = surfels.sh.clone()
        sh[rows, 0] += step.to(sh)
        return replace(field, canonical=surfels.replace(sh=sh))
    features = _three_features(surfels).clone()
    features[rows, :3] += delta[rows].to(features)
    return replace(field, canonical=surfels.replace(features=features))


def _three_features(surfels: Surfels) -> Tensor:
    if surfels.features is None or surfels.features.shape[1] < 3:
        raise InputError(
            "mesh", expected="surfels with colours to repaint", got="none", fix="import the mesh without its paint"
        )
    return surfels.features


def _jacobians(change: MeshChange) -> Float[Tensor, "v 3 3"]:
    """Per vertex: the mean over the faces around it, by area, of the map that takes them from before to after.

    Across the surface a face grows as its area does (by the root of the area's growth), so that thickness keeps up.
    Vertices in one place count as one, so that seams of a texture do not show.
    """
    before, after, faces = change.before.double(), change.after.double(), change.faces
    frames, grown = _frames(before[faces]), _frames(after[faces])
    jacobian = grown @ torch.linalg.pinv(frames)
    area = 0.5 * torch.linalg.cross(*_edges(before[faces])).norm(dim=-1)
    _, place = np.unique(before.numpy(), axis=0, return_inverse=True)
    group = torch.from_numpy(place.reshape(-1).astype(np.int64))
    count = int(group.max()) + 1
    total, weight = before.new_zeros(count, 3, 3), before.new_zeros(count)
    for corner in range(3):
        total.index_add_(0, group[faces[:, corner]], area[:, None, None] * jacobian)
        weight.index_add_(0, group[faces[:, corner]], area)
    mean = total / weight.clamp_min(1e-300)[:, None, None]
    mean[weight <= 0] = torch.eye(3, dtype=torch.float64)
    return mean[group]


def _edges(corners: Float[Tensor, "f 3 3"]) -> tuple[Tensor, Tensor]:
    return corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]


def _frames(corners: Float[Tensor, "f 3 3"]) -> Float[Tensor, "f 3 3"]:
    """Two edges and the normal, as long as the root of the area, as columns."""
    first, second = _edges(corners)
    cross = torch.linalg.cross(first, second)
    area = cross.norm(dim=-1, keepdim=True).clamp_min(1e-300)
    return torch.stack([first, second, cross / area.sqrt()], -1)


def _deformed(
    rotations_wxyz: Float[Tensor, "m 4"], scales: Float[Tensor, "m 2"], jacobian: Float[Tensor, "m 3 3"]
) -> tuple[Float[Tensor, "m 4"], Float[Tensor, "m 2"]]:
    """The ellipses that discs become: turns and standard deviations.

    A disc's axes times its sizes, J [u su, v sv], have a singular value decomposition whose left vectors are the new
    axes and whose values are the new sizes; which comes first, and where they point, is that of the old ones.
    """
    axes = quaternion.to_matrix(quaternion.normalize(rotations_wxyz))
    left, sizes, right = torch.linalg.svd(jacobian @ (axes[..., :2] * scales[:, None]), full_matrices=False)
    # Turn the ellipse's frame by the right vectors' nearest rotation of the disc's, so that u stays near u.
    swap = right[:, 0, 0].abs() < right[:, 1, 0].abs()
    order = torch.stack([torch.where(swap, 1, 0), torch.where(swap, 0, 1)], -1)
    sizes = sizes.gather(1, order)
    left = left.gather(2, order[:, None].expand(-1, 3, -1))
    right = right.gather(1, order[..., None].expand(-1, -1, 2))
    signs = torch.sign(torch.diagonal(right, dim1=-2, dim2=-1))
    left = left * torch.where(signs == 0, torch.ones_like(signs), signs)[:, None]
    normal = torch.linalg.cross(left[..., 0], left[..., 1])
    # A disc keeps its front in front: the normal goes as the surface's does.
    expected = torch.linalg.cross(*(jacobian @ axes[..., :2]).unbind(-1))
    front = torch.where((normal * expected).sum(-1, keepdim=True) < 0, -1.0, 1.0)
    second = left[..., 1] * front
    frame = torch.stack([left[..., 0], second, normal * front], -1)
    return quaternion.from_matrix(frame), sizes


def _rotation_of(jacobian: Float[Tensor, "m 3 3"]) -> Float[Tensor, "m 4"]:
    """The rotation nearest to each Jacobian (polar decomposition)."""
    left, _, right = torch.linalg.svd(jacobian)
    flip = torch.ones(*left.shape[:-1], dtype=left.dtype)
    flip[:, 2] = torch.sign(torch.linalg.det(left @ right))
    return quaternion.from_matrix((left * flip[:, None]) @ right)


def _put(tensor: Tensor, rows: Int64[Tensor, " m"], values: Tensor) -> Tensor:
    changed = tensor.clone()
    changed[rows] = values.to(tensor)
    return changed
