"""The page's own space: the scene moved and scaled so that the subject has radius 1 at the origin.

The page stores depths and covariances in few bits and has near and far planes of its own; in this space they suffice
for a scene of any size.  Also turns the page's cameras into ours and back.  Does NOT rotate: axes are the scene's.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float

from recon4d.core import Camera, quaternion
from recon4d.export import find_subject
from recon4d.scene import Scene

Point = Float[np.ndarray, " 3"]
_ROLLED = math.radians(0.5)  # a camera whose horizon is as level as this is not rolled


@dataclass(frozen=True, eq=False)
class Space:
    """x_in_page = (x_in_world - middle) * factor.

    Attributes:
        middle: [3] the subject's middle at the middle of the clip, scene units.
        factor: page units in a scene unit.
        up: [3] unit vector, up.
    """

    middle: Point
    factor: float
    up: Point

    @staticmethod
    def of(scene: Scene) -> Space:
        """The space for a scene."""
        subject = find_subject(scene)
        first, last = float(scene.frame_times[0]), float(scene.frame_times[-1])
        return Space(subject.middle_at((first + last) / 2), 1.0 / subject.radius, subject.up)

    def to_page(self, points_in_world: Float[np.ndarray, "*n 3"]) -> Float[np.ndarray, "*n 3"]:
        """Points of the scene in the page."""
        return (points_in_world - self.middle) * self.factor

    def to_world(self, points_in_page: Float[np.ndarray, "*n 3"]) -> Float[np.ndarray, "*n 3"]:
        """Points of the page in the scene."""
        return points_in_page / self.factor + self.middle

    def camera(
        self,
        wxyz: Float[np.ndarray, " 4"],
        position: Float[np.ndarray, " 3"],
        fov: float,
        *,
        width: int,
        height: int,
    ) -> Camera:
        """A camera of the page as one of the scene, float64.

        Args:
            wxyz: world_from_cam, OpenCV axes.
            position: page units.
            fov: full vertical field of view, radians.
            width, height: of the images.
        """
        focal = 0.5 * height / math.tan(fov / 2)
        K = torch.tensor([[focal, 0, width / 2], [0, focal, height / 2], [0, 0, 1]], dtype=torch.float64)
        turn = quaternion.normalize(torch.as_tensor(np.asarray(wxyz, dtype=np.float64)))
        world_from_cam = quaternion.to_matrix(turn)
        eye = torch.from_numpy(self.to_world(np.asarray(position, dtype=np.float64)))
        pose = torch.eye(4, dtype=torch.float64)
        pose[:3, :3] = world_from_cam.T
        pose[:3, 3] = -world_from_cam.T @ eye
        return Camera(K, pose, width, height)

    def page_camera(self, camera: Camera, distance: float | None = None) -> PageView:
        """Where the page's camera must stand to see what `camera` sees; a principal point off the middle is lost.

        Args:
            camera: of the scene.
            distance: to the point that the camera turns about, page units; that to the origin where None.
        """
        pose = camera.cam_from_world.detach().double().cpu().numpy()
        position = self.to_page(-pose[:3, :3].T @ pose[:3, 3])
        forward = pose[2, :3]
        reach = max(float(-position @ forward), 0.2) if distance is None else distance
        fov = 2 * math.atan(camera.height / 2 / float(camera.K[1, 1]))
        # The page turns about `up`: the scene's own, unless the camera is rolled.
        upright = self.up - (self.up @ forward) * forward
        level = upright @ -pose[1, :3] > math.cos(_ROLLED) * max(float(np.linalg.norm(upright)), 0.05)
        return PageView(position, position + reach * forward, self.up if level else -pose[1, :3], fov)


@dataclass(frozen=True, eq=False)
class PageView:
    """What sets the page's camera.

    Attributes:
        position: [3] of the camera, page units.
        look_at: [3] the point it looks at and turns about.
        up: [3] up in the picture.
        fov: full vertical field of view, radians.
    """

    position: Point
    look_at: Point
    up: Point
    fov: float
