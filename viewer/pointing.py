"""Where a client points: places on its screen as pixels and rays of the scene, and what a ray hits.

Does NOT know tools.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch
from jaxtyping import Float

from recon4d.core import Camera
from recon4d.editors.cameras import View
from recon4d.editors.selections.spatial import Ray
from recon4d.render import rasterize
from recon4d.scene import Scene

if TYPE_CHECKING:
    from recon4d.viewer.session import Session

MOST_PIXELS = 640  # of the longer side of what is drawn on, when it is turned into a selection
_SOLID = 0.5
_LENS = 0.02  # half the side of the small picture that a pick looks at, at distance 1

Spot = tuple[float, float]


def view_of(session: Session) -> View:
    """The client's camera and moment, at a size for selections."""
    page = session.client.camera
    share = min(1.0, MOST_PIXELS / max(page.image_width, page.image_height, 1))
    camera = session.camera(max(8, round(page.image_width * share)), max(8, round(page.image_height * share)))
    return View.of(camera, session.playback.time)


def pixels(spots: Sequence[Spot], view: View) -> tuple[Spot, ...]:
    """Places on the screen, 0 to 1 from the top left corner, as pixels of a view."""
    return tuple((float(x) * view.width, float(y) * view.height) for x, y in spots)


def ray(session: Session, spot: Spot) -> tuple[Float[np.ndarray, " 3"], Float[np.ndarray, " 3"]]:
    """Origin and unit direction, in the world, of the ray through a place on the screen."""
    view = view_of(session)
    camera = view.camera(torch.float64)
    x, y = pixels([spot], view)[0]
    in_cam = torch.tensor([(x - view.cx) / view.fx, (y - view.cy) / view.fy, 1.0], dtype=torch.float64)
    direction = (camera.cam_from_world[:3, :3].T @ in_cam).numpy()
    return camera.center_in_world.numpy(), direction / np.linalg.norm(direction)


def click(session: Session, spot: Spot, *, radius: float = 0.0, layer: bool = False) -> Ray:
    """What a click on the screen selects."""
    origin, direction = ray(session, spot)
    return Ray(
        origin=_vector(origin),
        direction=_vector(direction),
        time=session.playback.time,
        extent="layer" if layer else "surfel",
        radius=radius,
    )


def hit(
    scene: Scene, time: float, origin: Float[np.ndarray, " 3"], direction: Float[np.ndarray, " 3"]
) -> Float[np.ndarray, " 3"] | None:
    """The point of the surface that a ray meets, by a picture of a few pixels along it; None where it meets nothing."""
    layers = [layer for layer in scene.layers if len(layer.field)]
    if not layers:
        return None
    camera = _along(origin, direction)
    with torch.no_grad():
        surfels = scene.at(time)
        surfels = surfels.replace(sh=None, features=torch.zeros(len(surfels), 1)).to("cpu", torch.float32)
        image = rasterize(surfels, camera)
    middle = camera.height // 2
    if float(image.alpha[middle, middle, 0]) < _SOLID:
        return None
    found: Float[np.ndarray, " 3"] = origin + direction * float(image.depth_median[middle, middle, 0])
    return found


def _along(origin: Float[np.ndarray, " 3"], direction: Float[np.ndarray, " 3"]) -> Camera:
    side = np.eye(3)[int(np.abs(direction).argmin())]
    fov = float(np.degrees(2 * np.arctan(_LENS)))
    return Camera.look_at(
        torch.from_numpy(origin),
        torch.from_numpy(origin + direction),
        up=torch.from_numpy(side),
        fov_y_degrees=fov,
        width=9,
        height=9,
    )


def _vector(values: Float[np.ndarray, " 3"]) -> tuple[float, float, float]:
    x, y, z = (float(value) for value in values)
    return x, y, z
