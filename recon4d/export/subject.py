"""Where the subject of a scene is, which way is up, and how the input cameras looked at it.

What camera paths are made from.  Does NOT draw or change anything.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float

from recon4d.core import Camera
from recon4d.scene import Layer, Scene

_SAMPLES = 32  # moments at which the subject is looked for
_POINTS = 5000  # surfels of a layer that are looked at
_OPAQUE = 0.3
_OUTLIERS = 0.02  # share of surfels left out at either end of an axis: floaters must not move the camera
_SMOOTHING = 0.2  # of the clip: a gait's bobbing is no reason for the camera to bob
_UPRIGHT_DEGREES = 25.0  # a mean camera as upright as this means that the scene's +z is up
_SIDES = 0.02  # how much the cameras' mean up counts against their horizons

Point = Float[np.ndarray, "3"]


@dataclass(frozen=True, eq=False)
class Subject:
    """The subject through time, and the usual view of it; lengths in scene units, all in the world.

    Attributes:
        times: [S] seconds.
        middles: [S, 3] its middle, smoothed over time.
        radius: half the diagonal of its largest bounding box.
        up: [3] unit vector, up in the pictures.
        distance: median distance of the input cameras from the middle.
        elevation: their median angle above the horizon, degrees.
        lens: a camera with the usual field of view and the first camera's image size; its pose means nothing.
    """

    times: Float[np.ndarray, " s"]
    middles: Float[np.ndarray, "s 3"]
    radius: float
    up: Point
    distance: float
    elevation: float
    lens: Camera

    def middle_at(self, time: float) -> Point:
        """The middle at a time, seconds."""
        return np.array([np.interp(time, self.times, self.middles[:, axis]) for axis in range(3)])


def find_subject(scene: Scene, layers: Sequence[str] = ()) -> Subject:
    """The subject: the named layers, else all objects, else what the cameras of a scene without objects look at.

    Raises:
        InputError: a name that is no layer.
    """
    chosen = [scene.layer(name) for name in layers] or scene.layers
    objects = [layer for layer in chosen if (layers or layer.kind == "object") and len(layer.field)]
    first, last = scene.frame_times[0].item(), scene.frame_times[-1].item()
    times = np.linspace(first, last, _SAMPLES if last > first else 1)
    lens = _usual_lens(scene.cameras)
    up = up_direction(scene.cameras)
    if objects:
        lowest, highest = _boxes(objects, times)
        middles = _smoothed(times, (lowest + highest) / 2)
        radius = float(np.linalg.norm(highest - lowest, axis=-1).max() / 2)
    else:
        middle, radius = _looked_at(scene, lens)
        middles = np.tile(middle, (len(times), 1))
    subject = Subject(times, middles, max(radius, 1e-9), up, 1.0, 0.0, lens)
    away = np.stack(
        [
            camera_center(camera) - subject.middle_at(time)
            for camera, time in zip(scene.cameras, scene.frame_times.tolist(), strict=True)
        ]
    )
    lengths = np.linalg.norm(away, axis=-1)
    distance = float(np.median(lengths))
    if distance < 1e-6 * max(radius, 1e-9):  # cameras inside a point: stand where all of it is seen
        distance = 1.5 * subject.radius / math.sin(_half_angle(lens))
        elevation = 15.0
    else:
        sines = (away @ up) / np.maximum(lengths, 1e-12)
        elevation = float(np.median(np.degrees(np.arcsin(sines.clip(-1, 1)))))
    return Subject(subject.times, middles, subject.radius, up, distance, elevation, lens)


def up_direction(cameras: Sequence[Camera]) -> Point:
    """Which way is up: +z where the cameras hold it upright, else the direction that keeps their horizons level.

    Cameras that nobody rolled have x axes at right angles to up.  Where all of them point the same way that says too
    little, and the mean of the cameras' own up decides.
    """
    rotations = np.stack([camera.cam_from_world[:3, :3].double().numpy() for camera in cameras])
    mean = -rotations[:, 1].mean(0)
    if np.linalg.norm(mean) < 1e-6:
        return np.array([0.0, 0.0, 1.0])
    mean /= np.linalg.norm(mean)
    sides = rotations[:, 0]
    doubt = sides.T @ sides / len(sides) + _SIDES * (np.eye(3) - np.outer(mean, mean))
    up = np.linalg.eigh(doubt)[1][:, 0]
    up = up if up @ mean > 0 else -up
    return np.array([0.0, 0.0, 1.0]) if up[2] > math.cos(math.radians(_UPRIGHT_DEGREES)) else up


def camera_center(camera: Camera) -> Point:
    """[3] position in the world, float64."""
    pose = camera.cam_from_world.detach().double().cpu().numpy()
    return -pose[:3, :3].T @ pose[:3, 3]


def _usual_lens(cameras: Sequence[Camera]) -> Camera:
    """The first camera's image size with the median focal length of all; principal point in the middle."""
    width, height = cameras[0].width, cameras[0].height
    focal = [float(np.median([float(c.K[i, i]) / (c.width, c.height)[i] for c in cameras])) for i in (0, 1)]
    K = torch.tensor(
        [[focal[0] * width, 0, width / 2], [0, focal[1] * height, height / 2], [0, 0, 1]], dtype=torch.float64
    )
    return Camera(K, torch.eye(4, dtype=torch.float64), width, height)


def _half_angle(lens: Camera) -> float:
    return min(math.atan(lens.width / 2 / float(lens.K[0, 0])), math.atan(lens.height / 2 / float(lens.K[1, 1])))


def _boxes(
    layers: Sequence[Layer], times: Float[np.ndarray, " s"]
) -> tuple[Float[np.ndarray, "s 3"], Float[np.ndarray, "s 3"]]:
    """Corners of the box around the solid surfels at each time, without the outliers."""
    clouds = []
    for layer in layers:
        field = layer.field
        solid = torch.nonzero(field.canonical.opacities.detach() > _OPAQUE)[:, 0]
        rows = solid if len(solid) else torch.arange(len(field))
        with torch.no_grad():
            part = field.select(rows[:: math.ceil(len(rows) / _POINTS)])
            clouds.append(part.at_times(torch.from_numpy(times)).centers.double().cpu().numpy())
    points = np.concatenate(clouds, axis=1)
    lowest, highest = np.quantile(points, [_OUTLIERS, 1 - _OUTLIERS], axis=1)
    return lowest, highest


def _smoothed(times: Float[np.ndarray, " s"], path: Float[np.ndarray, "s 3"]) -> Float[np.ndarray, "s 3"]:
    """Local linear regression with a Gaussian window: straight and even motion stays as it is, also at the ends."""
    if len(times) < 3:
        return path
    width = _SMOOTHING * (times[-1] - times[0])
    smooth = np.empty_like(path)
    for i, time in enumerate(times):
        weight = np.sqrt(np.exp(-0.5 * ((times - time) / width) ** 2))
        basis = np.stack([np.ones_like(times), times - time], -1)
        smooth[i] = np.linalg.lstsq(basis * weight[:, None], path * weight[:, None], rcond=None)[0][0]
    return smooth


def _looked_at(scene: Scene, lens: Camera) -> tuple[Point, float]:
    """What the middle camera sees in the middle of its image, and half the width of what it sees there."""
    camera = scene.cameras[len(scene.cameras) // 2].to(torch.float64)
    full = [layer.field for layer in scene.layers if len(layer.field)]
    depth = 1.0
    if full:
        with torch.no_grad():
            centers = torch.cat([field.at(scene.frame_times[0].item()).centers.double() for field in full])
            pixels, depths = camera.project(centers)
        away = (pixels - torch.tensor([camera.width / 2, camera.height / 2])).abs()
        central = (depths > 0) & (away < torch.tensor([camera.width / 4, camera.height / 4])).all(-1)
        if bool(central.any()):
            depth = float(depths[central].median())
    forward = camera.cam_from_world[2, :3].numpy()
    return camera_center(camera) + depth * forward, 0.5 * depth * math.tan(_half_angle(lens))
