"""Camera paths: one camera for each of some times.

Every path keeps the scene's usual field of view and image size (`pose_track.fitted_to` makes other sizes of it) and
follows the subject, which it finds in the layers given (all objects by default).  Does NOT draw.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Float

from recon4d.core import Camera, InputError
from recon4d.export.pose_track import PoseTrack, fitted_to
from recon4d.export.subject import Point, Subject, camera_center, find_subject
from recon4d.scene import Scene

_SAME_TIME = 1e-9  # seconds
_NO_SIDE = 0.2  # cameras all around have no mean direction: below this length it says nothing
_SPIRAL_RADIUS = (0.05, 0.15)  # least and most, in distances from the subject


def orbit(
    scene: Scene,
    times: Sequence[float],
    *,
    turns: float = 1.0,
    elevation: float | None = None,
    start: float = 0.0,
    distance: float = 1.0,
    layers: Sequence[str] = (),
) -> list[Camera]:
    """A turntable: around the subject at the input cameras' median distance, beginning on the first one's side.

    Args:
        scene: what to look at.
        times: [N] seconds, one camera each; the last stops short of the first, so that the video can be looped.
        turns: how often around, counter-clockwise seen from above; negative the other way.
        elevation: degrees above the horizon; the input cameras' median where None.
        start: degrees from the first input camera's side.
        distance: factor on the distance.
        layers: the subject.

    Raises:
        InputError: an elevation beyond 89 degrees, a distance that is not positive, or an unknown layer.
    """
    subject = find_subject(scene, layers)
    height = _checked_elevation(subject.elevation if elevation is None else elevation, given=elevation is not None)
    length = subject.distance * _checked_factor("distance", distance)
    ahead, side = _horizon(subject, camera_center(scene.cameras[0]) - subject.middles[0])
    cameras = []
    for i, time in enumerate(times):
        angle = math.radians(start + 360 * turns * i / len(times))
        flat = math.cos(angle) * ahead + math.sin(angle) * side
        away = math.cos(height) * flat + math.sin(height) * subject.up
        middle = subject.middle_at(time)
        cameras.append(_look(subject, middle + length * away, middle))
    return cameras


def input_path(scene: Scene, times: Sequence[float]) -> list[Camera]:
    """The scene's own cameras: exactly at its frame times, smoothly in between.

    Where time stands still (several times, all equal) the camera nevertheless runs through its whole path.
    """
    known = scene.frame_times.tolist()
    moments = list(times)
    if len(moments) > 1 and max(moments) - min(moments) < _SAME_TIME:
        moments = np.linspace(known[0], known[-1], len(moments)).tolist()
    first = scene.cameras[0]
    nearest = [min(range(len(known)), key=lambda i: abs(known[i] - time)) for time in moments]
    exact = [abs(known[i] - time) < _SAME_TIME for i, time in zip(nearest, moments, strict=True)]
    if all(exact):
        cameras = [scene.cameras[i] for i in nearest]
    else:
        between = PoseTrack.through(known, scene.cameras).at(np.asarray(moments), first.width, first.height)
        cameras = [scene.cameras[i] if e else b for i, e, b in zip(nearest, exact, between, strict=True)]
    return [
        fitted_to(camera, first.width, first.height).to(torch.float64)
        if (camera.width, camera.height) != (first.width, first.height)
        else camera.to(torch.float64)
        for camera in cameras
    ]


def spiral(
    scene: Scene,
    times: Sequence[float],
    *,
    turns: float = 2.0,
    distance: float = 1.0,
    layers: Sequence[str] = (),
) -> list[Camera]:
    """A gentle spiral about the mean of the input cameras, as wide as they moved within limits; it closes.

    Args:
        scene: what to look at.
        times: [N] seconds, one camera each.
        turns: windings.
        distance: factor on the distance.
        layers: the subject.

    Raises:
        InputError: a distance that is not positive, or an unknown layer.
    """
    subject = find_subject(scene, layers)
    away = _mean_side(scene, subject)
    length = subject.distance * _checked_factor("distance", distance)
    right = np.cross(subject.up, away)
    right /= np.linalg.norm(right)
    above = np.cross(away, right)
    spread = np.stack([camera_center(camera) for camera in scene.cameras]).std(0)
    radius = float(np.clip(np.linalg.norm(spread) / subject.distance, *_SPIRAL_RADIUS)) * length
    cameras = []
    for i, time in enumerate(times):
        share = 2 * math.pi * i / len(times)
        offset = math.cos(turns * share) * right + 0.6 * math.sin(turns * share) * above + 0.5 * math.sin(share) * away
        middle = subject.middle_at(time)
        cameras.append(_look(subject, middle + length * away + radius * offset, middle))
    return cameras


def dolly(
    scene: Scene,
    times: Sequence[float],
    *,
    begin: float = 1.15,
    end: float = 0.65,
    zoom: bool = False,
    layers: Sequence[str] = (),
) -> list[Camera]:
    """A push-in towards the subject from the input cameras' mean side, slow at both ends.

    Args:
        scene: what to look at.
        times: [N] seconds, one camera each.
        begin, end: distances in input distances.
        zoom: a dolly zoom: the focal length follows the distance, so that the subject keeps its size.
        layers: the subject.

    Raises:
        InputError: a distance that is not positive, or an unknown layer.
    """
    subject = find_subject(scene, layers)
    away = _mean_side(scene, subject)
    near, far = _checked_factor("end", end), _checked_factor("begin", begin)
    cameras = []
    for i, time in enumerate(times):
        share = i / max(len(times) - 1, 1)
        factor = far + (near - far) * (share * share * (3 - 2 * share))
        middle = subject.middle_at(time)
        camera = _look(subject, middle + subject.distance * factor * away, middle)
        if zoom:
            K = camera.K.clone()
            K[0, 0], K[1, 1] = K[0, 0] * factor, K[1, 1] * factor
            camera = Camera(K, camera.cam_from_world, camera.width, camera.height)
        cameras.append(camera)
    return cameras


def bullet_time(
    scene: Scene, time: float, count: int, *, degrees: float = 360.0, layers: Sequence[str] = ()
) -> list[Camera]:
    """Time stands still while the input camera of that moment is carried around the subject.

    Args:
        scene: what to look at.
        time: seconds; the first camera is exactly the scene's own of that time.
        count: how many cameras.
        degrees: how far around; a full turn stops short of the first camera, an arc ends on its last degree.
        layers: the subject.

    Raises:
        InputError: an unknown layer.
    """
    subject = find_subject(scene, layers)
    (first,) = input_path(scene, [time])
    middle, up = subject.middle_at(time), subject.up
    steps = count if abs(degrees) % 360 == 0 else max(count - 1, 1)
    cameras = []
    for i in range(count):
        turn = _rotation_about(up, math.radians(degrees * i / steps))
        # x_before = turn^-1 (x - middle) + middle: the camera and its image are carried along as a whole.
        world = np.eye(4)
        world[:3, :3] = turn.T
        world[:3, 3] = middle - turn.T @ middle
        cameras.append(Camera(first.K, first.cam_from_world @ torch.from_numpy(world), first.width, first.height))
    return cameras


def _look(subject: Subject, eye: Point, target: Point) -> Camera:
    lens = subject.lens
    pose = Camera.look_at(
        torch.from_numpy(eye), torch.from_numpy(target), up=torch.from_numpy(subject.up), dtype=torch.float64
    ).cam_from_world
    return Camera(lens.K, pose, lens.width, lens.height)


def _horizon(subject: Subject, away: Point) -> tuple[Point, Point]:
    """Unit vectors at right angles to up: ahead, on the side that `away` points to, and a quarter turn on."""
    flat = away - (away @ subject.up) * subject.up
    if float(np.linalg.norm(flat)) < 1e-6 * max(float(np.linalg.norm(away)), 1e-12):
        axis = np.eye(3)[int(np.argmin(np.abs(subject.up)))]
        flat = axis - (axis @ subject.up) * subject.up
    ahead = flat / np.linalg.norm(flat)
    return ahead, np.cross(subject.up, ahead)


def _mean_side(scene: Scene, subject: Subject) -> Point:
    """Unit vector from the subject to the input cameras' mean azimuth, at their median elevation."""
    times = scene.frame_times.tolist()
    away = np.stack([camera_center(c) - subject.middle_at(t) for c, t in zip(scene.cameras, times, strict=True)])
    away /= np.maximum(np.linalg.norm(away, axis=-1, keepdims=True), 1e-12)
    mean = away.mean(0)
    if np.linalg.norm(mean - (mean @ subject.up) * subject.up) < _NO_SIDE:
        mean = away[0]
    ahead, _ = _horizon(subject, mean)
    height = _checked_elevation(subject.elevation, given=False)
    return math.cos(height) * ahead + math.sin(height) * subject.up


def _rotation_about(axis: Point, angle: float) -> Float[np.ndarray, "3 3"]:
    """Rodrigues' formula."""
    x, y, z = axis
    cross = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
    return np.eye(3) + math.sin(angle) * cross + (1 - math.cos(angle)) * cross @ cross


def _checked_elevation(degrees: float, *, given: bool) -> float:
    if given and not -89 <= degrees <= 89:
        raise InputError("elevation", expected="-89 to 89 degrees", got=repr(degrees), fix="15 is a good choice")
    return math.radians(degrees if given else min(max(degrees, -85.0), 85.0))


def _checked_factor(name: str, value: float) -> float:
    if not 0 < value < math.inf:
        raise InputError(name, expected="a factor above 0", got=repr(value), fix="1 is the input cameras' distance")
    return value
