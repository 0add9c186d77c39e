"""The page's space and cameras."""

from __future__ import annotations

import numpy as np
import torch

from recon4d.core import Camera, quaternion
from recon4d.scene import Scene
from recon4d.viewer.space import Space


def test_the_subject_has_radius_one_at_the_origin(scene: Scene):
    space = Space.of(scene)
    time = float(scene.frame_times.mean())
    centers = torch.cat([layer.field.at(time).centers for layer in scene.layers if layer.kind == "object"])
    page = space.to_page(centers.double().numpy())
    assert np.abs(page).max() < 1.5
    assert np.allclose(space.to_world(page), centers.numpy(), atol=1e-6)


def test_cameras_go_there_and_back(scene: Scene):
    space = Space.of(scene)
    for camera in scene.cameras:
        there = space.page_camera(camera)
        forward = there.look_at - there.position
        z = forward / np.linalg.norm(forward)
        x = np.cross(-there.up, z)
        turn = torch.from_numpy(np.stack([x / np.linalg.norm(x), np.cross(z, x / np.linalg.norm(x)), z], axis=1))
        back = space.camera(
            quaternion.from_matrix(turn).numpy(),
            there.position,
            there.fov,
            width=camera.width,
            height=camera.height,
        )
        assert torch.allclose(back.cam_from_world, camera.cam_from_world.double(), atol=1e-6)
        assert torch.allclose(back.K, camera.K.double(), atol=1e-4)


def test_a_camera_sees_the_same_pixels_at_any_scale():
    camera = Camera.look_at([30.0, -40.0, 20.0], [5.0, 6.0, 7.0], fov_y_degrees=50, width=64, height=48)
    space = Space(np.array([5.0, 6.0, 7.0]), 0.05, np.array([0.0, 0.0, 1.0]))
    there = space.page_camera(camera)
    assert np.allclose(there.look_at, 0, atol=1e-6)
    assert np.isclose(np.linalg.norm(there.position), 0.05 * np.linalg.norm([25.0, -46.0, 13.0]))
