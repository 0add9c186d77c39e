"""Surfels on a triangle mesh: evenly spread places, tangent frames, sizes without holes.

Knows nothing of files and materials: colours are asked from the caller.
"""

from __future__ import annotations

import numpy as np
import torch
from jaxtyping import Float, Int

from recon4d.core import InputError, Surfels, quaternion
from recon4d.core.spherical_harmonics import coefficients_from_color

OPACITY = 0.97
_SCALE = 0.75  # standard deviation as a share of the distance between surfels: no holes, little blur
_RANK = np.array([0.7548776662466927, 0.5698402909980532])  # steps of the R2 sequence (M. Roberts, 2018)


def sample_mesh(
    vertices: Float[np.ndarray, "v 3"], faces: Int[np.ndarray, "f 3"], count: int
) -> tuple[Int[np.ndarray, "n"], Float[np.ndarray, "n 3"]]:
    """Faces [N] and barycentric coordinates [N, 3] of points spread evenly by area; the same for the same mesh.

    Raises:
        InputError: a count below 1 or a mesh without area.
    """
    cross = face_cross(vertices, faces)
    area = np.linalg.norm(cross, axis=-1)
    total = float(area.sum())
    if count < 1 or not np.isfinite(total) or total <= 0:
        raise InputError(
            "surface",
            expected="a finite area above 0 and at least 1 surfel",
            got=f"{len(faces)} triangles of area {total / 2:g}, {count} surfels",
            fix="use a mesh with triangles",
        )
    position = (np.arange(count) + 0.5) / count * total
    face = np.minimum(np.searchsorted(np.cumsum(area), position), len(faces) - 1)
    u, v = ((np.arange(count)[:, None] * _RANK) % 1).T
    u, v = np.where(u + v > 1, 1 - u, u), np.where(u + v > 1, 1 - v, v)
    return face, np.stack([1 - u - v, u, v], -1)


def face_cross(vertices: Float[np.ndarray, "v 3"], faces: Int[np.ndarray, "f 3"]) -> Float[np.ndarray, "f 3"]:
    """Outward normals of twice the faces' areas."""
    a, b, c = (vertices[faces[:, i]] for i in range(3))
    return np.cross(b - a, c - a)


def tangent_frames(normals: Float[np.ndarray, "n 3"]) -> Float[np.ndarray, "n 3 3"]:
    """Rotation matrices whose third column is the unit normal; the tangents are arbitrary."""
    helper = np.where(np.abs(normals[:, 2:3]) < 0.9, np.array([0.0, 0, 1]), np.array([1.0, 0, 0]))
    u = np.cross(helper, normals)
    u /= np.linalg.norm(u, axis=-1, keepdims=True)
    return np.stack([u, np.cross(normals, u), normals], -1)


def mesh_surfels(
    vertices: Float[np.ndarray, "v 3"],
    faces: Int[np.ndarray, "f 3"],
    face: Int[np.ndarray, "n"],
    barycentric: Float[np.ndarray, "n 3"],
    colors: Float[np.ndarray, "n 3"],
) -> Surfels:
    """float32 surfels at samples of a mesh, in the planes of its triangles, as large as the gaps between them.

    Args:
        vertices, faces: the mesh.
        face, barycentric: where the samples are, see `sample_mesh`.
        colors: [N, 3] display colours of the samples.
    """
    cross = face_cross(vertices, faces)
    length = np.linalg.norm(cross, axis=-1)
    normals = cross[face] / np.maximum(length[face], 1e-300)[:, None]
    flat = ~(np.abs(np.linalg.norm(normals, axis=-1) - 1) < 1e-6)
    normals[flat] = [0.0, 0, 1]
    size = _SCALE * float(np.sqrt(length.sum() / 2 / len(face)))
    centers = (vertices[faces[face]] * barycentric[..., None]).sum(1)
    return Surfels(
        centers=torch.from_numpy(centers).float(),
        rotations_wxyz=quaternion.from_matrix(torch.from_numpy(tangent_frames(normals))).float(),
        scales=torch.full((len(face), 2), size),
        opacities=torch.full((len(face),), OPACITY),
        sh=coefficients_from_color(torch.from_numpy(np.ascontiguousarray(colors)).float()),
    )
