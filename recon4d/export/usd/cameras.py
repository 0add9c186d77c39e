"""Cameras in USD: one that moves as the scene's own did.

USD's cameras look along -z with y up; apertures and focal lengths count in tenths of a scene unit, of which only the
ratios matter.  Does NOT choose cameras.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from recon4d.core import Camera
from recon4d.export.usd.stage import ROOT, Stage

_APERTURE = 36.0
_FLIP = np.diag([1.0, -1.0, -1.0, 1.0])  # OpenCV's axes to OpenGL's


def add_camera(stage: Stage, cameras: Sequence[Camera], name: str = "Camera") -> None:
    """Add a camera that is at every moment where the given one is, with its lens.

    Args:
        stage: with T moments.
        cameras: [T].
        name: of the prim.
    """
    from pxr import Gf, UsdGeom

    camera = UsdGeom.Camera.Define(stage.usd, stage.path(name, ROOT))
    camera.CreateClippingRangeAttr().Set(Gf.Vec2f(0.01, 1e6))
    poses, focal, wide, high, right, up = [], [], [], [], [], []
    for view in cameras:
        K = view.K.detach().double().cpu().numpy()
        world_from_cam = np.linalg.inv(view.cam_from_world.detach().double().cpu().numpy()) @ _FLIP
        poses.append(Gf.Matrix4d(world_from_cam.T.tolist()))  # USD multiplies from the right
        length = _APERTURE * K[0, 0] / view.width
        tall = length * view.height / K[1, 1]
        focal.append(length)
        wide.append(_APERTURE)
        high.append(tall)
        right.append(_APERTURE * (0.5 - K[0, 2] / view.width))
        up.append(tall * (K[1, 2] / view.height - 0.5))
    stage.sample(camera.AddTransformOp().GetAttr(), poses)
    for attribute, values in (
        (camera.CreateFocalLengthAttr(), focal),
        (camera.CreateHorizontalApertureAttr(), wide),
        (camera.CreateVerticalApertureAttr(), high),
        (camera.CreateHorizontalApertureOffsetAttr(), right),
        (camera.CreateVerticalApertureOffsetAttr(), up),
    ):
        stage.sample(attribute, values)
