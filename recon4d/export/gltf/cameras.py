"""The scene's camera as a glTF camera that moves.

A glTF camera has one lens without a shift: the median of the input's, and where that leaves something out it is said.
Does NOT make camera paths.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import torch

from recon4d.core import Camera, quaternion
from recon4d.export.gltf.animation import Clip
from recon4d.export.gltf.container import GlbBuilder
from recon4d.export.gltf.space import Space

NAME = "input camera"
_ZOOM = 0.01  # share by which focal lengths may differ
_SHIFT = 0.01  # of the image's height, by which the principal point may lie off the middle


def add_camera(
    glb: GlbBuilder, clip: Clip, cameras: Sequence[Camera], space: Space, size: float
) -> tuple[int, list[str]]:
    """Add a camera node that follows `cameras` at the clip's times.

    Args:
        glb: the file.
        clip: gets the motion.
        cameras: [T].
        space: glTF's.
        size: of the scene in glTF units, for the near plane.

    Returns:
        the node, and sentences on what a glTF camera cannot say.
    """
    K = np.stack([camera.K.double().numpy() for camera in cameras])
    height = np.array([camera.height for camera in cameras])
    width = np.array([camera.width for camera in cameras])
    focal = K[:, 1, 1] / height
    lens = {
        "type": "perspective",
        "name": NAME,
        "perspective": {
            "yfov": 2 * math.atan(0.5 / float(np.median(focal))),
            "aspectRatio": float(width[0] / height[0] * (K[0, 1, 1] / K[0, 0, 0])),
            "znear": max(1e-3 * size, 1e-6),
        },
    }
    warnings = []
    if np.ptp(focal) > _ZOOM * np.median(focal):
        warnings.append("the input's zoom changes, which a glTF camera cannot: it has the median focal length")
    shift = np.abs(K[:, :2, 2] - np.stack([width, height], -1) / 2) / height[:, None]
    if shift.max() > _SHIFT:
        warnings.append("the input camera's principal point is off the middle, which a glTF camera cannot be")
    poses = torch.stack([camera.cam_from_world.double() for camera in cameras])
    # glTF cameras look along -z with y up: OpenCV's turned by half about x.
    half = torch.tensor([0.0, 1.0, 0.0, 0.0], dtype=torch.float64)
    world_from_cam = quaternion.conjugate(quaternion.from_matrix(poses[:, :3, :3].contiguous()))
    turns = space.orientations(quaternion.multiply(world_from_cam, half).numpy())
    centers = -(poses[:, :3, :3].mT @ poses[:, :3, 3:])[..., 0].numpy()
    node = glb.add("nodes", {"name": NAME, "camera": glb.add("cameras", lens)})
    clip.move(node, turns, space.points(centers))
    return node, warnings
