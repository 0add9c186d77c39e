"""Normals of surfaces of few faces: smooth, towards the camera, and never turned round at the outline."""

from __future__ import annotations

import numpy as np
import pytest

from recon4d.core import Camera
from recon4d.synthetic.surface import face_cross, vertex_normals
from recon4d.synthetic.texture import bake
from recon4d.synthetic.view import MeshState, SceneState, render_view


def _ball() -> tuple[np.ndarray, np.ndarray]:
    """A ball of 8 by 5 quads, cut into triangles."""
    around, up = 8, 5
    theta, phi = np.meshgrid(np.linspace(0.2, np.pi - 0.2, up + 1), 2 * np.pi * np.arange(around) / around)
    vertices = np.stack([np.sin(theta) * np.cos(phi), np.sin(theta) * np.sin(phi), np.cos(theta)], -1).reshape(-1, 3)
    i, j = (x.reshape(-1) for x in np.meshgrid(np.arange(around), np.arange(up), indexing="ij"))
    a, b = i * (up + 1) + j, (i + 1) % around * (up + 1) + j
    return vertices, np.concatenate([np.stack([a, a + 1, b], -1), np.stack([b, a + 1, b + 1], -1)])


@pytest.mark.parametrize("inside_out", [False, True])
def test_normals_at_the_outline_are_not_turned_round(inside_out: bool) -> None:
    vertices, faces = _ball()
    if inside_out:
        faces = faces[:, ::-1].copy()
    texture = bake(vertices, faces, 0.2, lambda face, barycentric: np.full((len(face), 3), 0.5))
    state = SceneState(MeshState(vertices, vertex_normals(vertices, faces), faces, texture), None)
    camera = Camera.look_at((3.0, 0.4, 0.6), fov_y_degrees=45.0, width=120, height=120)
    camera = camera.to(camera.cam_from_world.double())
    view = render_view(state, camera)
    rows, columns = np.nonzero(view.depth)
    assert len(rows) > 2000
    k, pose = camera.K.numpy(), camera.cam_from_world.numpy()
    rays = np.stack([(columns + 0.5 - k[0, 2]) / k[0, 0], (rows + 0.5 - k[1, 2]) / k[1, 1], np.ones(len(rows))], -1)
    stored = view.normal[rows, columns].astype(np.float64)
    np.testing.assert_allclose(np.linalg.norm(stored, axis=-1), 1, atol=1e-5)
    # On the seen side of the surface ...
    assert ((stored * rays).sum(-1) < 1e-5).all()
    # ... and near the direction from the middle of the ball, which the surface itself is at most 25 degrees away from
    # and its open ends are 41 degrees; turned round they would be more than 90 degrees off.
    points = (rays * view.depth[rows, columns, None] - pose[:3, 3]) @ pose[:3, :3]
    outwards = points / np.linalg.norm(points, axis=-1, keepdims=True)
    front = (face_normal_at(points, vertices, faces, inside_out) * (rays @ pose[:3, :3])).sum(-1) < 0
    cosine = (stored @ pose[:3, :3] * outwards).sum(-1)
    assert front.mean() > 0.9
    assert cosine[front].min() > np.cos(np.radians(45))


def face_normal_at(points: np.ndarray, vertices: np.ndarray, faces: np.ndarray, inside_out: bool) -> np.ndarray:
    """Outward normal of the face whose plane through the ball a point lies on: the one that supports it."""
    normals = face_cross(vertices, faces) * (-1 if inside_out else 1)
    normals /= np.linalg.norm(normals, axis=-1, keepdims=True)
    offsets = (normals * vertices[faces[:, 0]]).sum(-1)
    return normals[np.abs(points @ normals.T - offsets).argmin(1)]
