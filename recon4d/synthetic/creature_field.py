"""A creature as a field of surfels: what the demo renders, and a truth to compare a fitted field with.

Skinned creatures become a `BonesWarp` of their own skeleton and weights, so the field moves as the creature does up to
the fit of the splines.  A creature without a skeleton is approximated by many free bones spread over its surface.
"""

from __future__ import annotations

import numpy as np
import torch
from jaxtyping import Float, Int

from recon4d.core import SE3Spline, Surfels, quaternion
from recon4d.core.spherical_harmonics import coefficients_from_color
from recon4d.field import BonesWarp, Field
from recon4d.synthetic.creature import Creature
from recon4d.synthetic.creatures import creature
from recon4d.synthetic.skeleton import INFLUENCES, Skeleton, smooth_weights
from recon4d.synthetic.surface import face_cross, sample_surface, vertex_normals

_SPLINE_STEP = 0.05  # seconds; a wave of the hand, the fastest motion there is, takes thirteen of them
_FREE_BONES = 128
_OPACITY = 0.97
_SCALE = 0.62  # standard deviation as a share of the distance between surfels: no holes, little blur


def creature_field(
    name: str, n_surfels: int = 20_000, seed: int = 0, *, detail: float | int = 1.0, lit: bool = True
) -> Field:
    """Surfels on the surface of a built-in creature, with the warp that moves them.

    Args:
        name: one of `CREATURE_NAMES`.
        n_surfels: how many, at least 1.
        seed: of the places on the surface.
        detail: see `creature`.
        lit: darken colours by a soft light from above, taken in the rest pose; False keeps the plain texture.

    Returns:
        a float32 field with sh of degree 0; times 0 to the creature's `duration` are covered.

    Raises:
        InputError: for an unknown name or a count below 1.
    """
    subject = creature(name, detail)
    face, barycentric = sample_surface(subject.vertices, subject.faces, n_surfels, np.random.default_rng(seed))
    corners = subject.faces[face]
    centers = (subject.vertices[corners] * barycentric[..., None]).sum(1)
    normals = (vertex_normals(subject.vertices, subject.faces)[corners] * barycentric[..., None]).sum(1)
    normals /= np.linalg.norm(normals, axis=-1, keepdims=True)
    area = 0.5 * float(np.linalg.norm(face_cross(subject.vertices, subject.faces), axis=-1).sum())
    scale = _SCALE * float(np.sqrt(area / n_surfels))
    colors = subject.paint(centers)
    if lit:
        colors = colors * (0.80 + 0.20 * normals[:, 2:3])
    surfels = Surfels(
        centers=_tensor(centers),
        rotations_wxyz=quaternion.from_matrix(torch.from_numpy(_tangent_frames(normals))).float(),
        scales=torch.full((n_surfels, 2), scale),
        opacities=torch.full((n_surfels,), _OPACITY),
        sh=coefficients_from_color(_tensor(colors)),
    )
    return Field(surfels, torch.arange(n_surfels), _bones_warp(subject, corners, barycentric))


def _tensor(array: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(np.ascontiguousarray(array)).float()


def _tangent_frames(normals: Float[np.ndarray, "n 3"]) -> Float[np.ndarray, "n 3 3"]:
    """Rotation matrices whose third column is the normal; the tangents are arbitrary."""
    helper = np.where(np.abs(normals[:, 2:3]) < 0.9, np.array([0.0, 0, 1]), np.array([1.0, 0, 0]))
    u = np.cross(helper, normals)
    u /= np.linalg.norm(u, axis=-1, keepdims=True)
    return np.stack([u, np.cross(normals, u), normals], -1)


def _bones_warp(subject: Creature, corners: Int[np.ndarray, "n 3"], barycentric: Float[np.ndarray, "n 3"]) -> BonesWarp:
    times = np.linspace(0.0, subject.duration, max(8, round(subject.duration / _SPLINE_STEP * 2) + 1))
    if subject.rig is not None:
        heads, indices, weights = subject.rig.skeleton.heads, subject.rig.indices, subject.rig.weights
        frames = np.stack([subject.rig.pose(float(t)) for t in times], 1)
    else:
        heads, indices, weights, frames = _free_bones(subject, times)
    dense = np.zeros((len(subject.vertices), len(heads)))
    np.put_along_axis(dense, indices, weights, axis=1)
    blended = (dense[corners] * barycentric[..., None]).sum(1)
    order = np.argsort(-blended, axis=1, kind="stable")[:, :INFLUENCES]
    strongest = np.take_along_axis(blended, order, axis=1)
    rotations = quaternion.from_matrix(torch.from_numpy(np.ascontiguousarray(frames[..., :3, :3])))
    path = SE3Spline.fit(
        torch.from_numpy(times), rotations, torch.from_numpy(frames[..., :3, 3].copy()), step=_SPLINE_STEP
    )
    identity = torch.zeros(len(heads), 4)
    identity[:, 0] = 1.0
    return BonesWarp(
        root=None,
        rest_rotations_wxyz=identity,
        rest_translations=_tensor(heads),
        path=path.to(torch.float32),
        weight_indices=torch.from_numpy(order.astype(np.int64)),
        weights=_tensor(strongest / strongest.sum(1, keepdims=True)),
    )


def _free_bones(
    subject: Creature, times: Float[np.ndarray, "t"]
) -> tuple[Float[np.ndarray, "b 3"], Int[np.ndarray, "v 4"], Float[np.ndarray, "v 4"], Float[np.ndarray, "b t 4 4"]]:
    """Bones spread over the surface, each following its part of it rigidly (Kabsch 1976).

    Returns heads, the vertices' influences, and frames `world_from_bone` over time.
    """
    vertices = subject.vertices
    chosen = [int(vertices[:, 2].argmax())]
    nearest = np.full(len(vertices), np.inf)
    while len(chosen) < _FREE_BONES:
        nearest = np.minimum(nearest, np.linalg.norm(vertices - vertices[chosen[-1]], axis=-1))
        chosen.append(int(nearest.argmax()))
    heads = vertices[chosen]
    names = tuple(f"bone_{i + 1}" for i in range(_FREE_BONES))
    scattered = Skeleton(names, (-1,) * _FREE_BONES, heads, heads, np.ones(_FREE_BONES))
    spacing = float(nearest.max())
    indices, weights = smooth_weights(scattered, vertices, subject.faces, width=0.45 * spacing)
    dense = np.zeros((len(vertices), _FREE_BONES))
    np.put_along_axis(dense, indices, weights, axis=1)
    dense /= dense.sum(0)
    middle = dense.T @ vertices
    frames = np.tile(np.eye(4), (_FREE_BONES, len(times), 1, 1))
    for k, time in enumerate(times):
        moved = subject.vertices_at(float(time))
        moved_middle = dense.T @ moved
        products = (moved[:, :, None] * vertices[:, None, :]).reshape(-1, 9)
        covariance = (dense.T @ products).reshape(-1, 3, 3)
        covariance -= moved_middle[:, :, None] * middle[:, None, :]
        u, _, vt = np.linalg.svd(covariance)
        u[:, :, 2] *= np.sign(np.linalg.det(u @ vt))[:, None]
        turn = u @ vt
        frames[:, k, :3, :3] = turn
        frames[:, k, :3, 3] = moved_middle + np.einsum("bij,bj->bi", turn, heads - middle)
    return heads, indices, weights, frames
