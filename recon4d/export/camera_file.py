"""Camera paths from files: our own key frames, nerfstudio's camera paths, and any transforms.json.

Our own format (all angles in degrees, the world is the scene's, cameras are OpenCV):

    {
      "format": "recon4d-camera-path",
      "version": 1,
      "up": [0, 0, 1],                             optional: up for look_at; found from the scene where left out
      "fov_degrees": 40,                           optional: full vertical field of view; the scene's where left out
      "keyframes": [
        {"time": 0, "position": [3, 0, 1], "look_at": [0, 0, 0.5]},
        {"time": 2, "position": [0, 3, 1], "rotation_wxyz": [1, 0, 0, 0], "fov_degrees": 30, "scene_time": 0.5}
      ]
    }

`time` is when the video passes the key, seconds, strictly increasing.  The rotation is world_from_cam.  `scene_time`,
in every key or in none, says which moment of the scene is shown there.  Between keys everything runs along cubic
splines; scene times along a monotone one, which never runs backwards between keys that run forwards.

Does NOT look at image files that a transforms.json names.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float

from recon4d.core import Camera, InputError, quaternion
from recon4d.data.files import read_json
from recon4d.data.formats.opengl_frames import OPENCV_FROM_OPENGL
from recon4d.data.formats.record import MAX_SIDE, Record, rigid, wrong
from recon4d.export.pose_track import PoseTrack
from recon4d.export.subject import Point

FORMAT = "recon4d-camera-path"
MAX_KEYS = 20_000


@dataclass(frozen=True, eq=False)
class CameraFile:
    """A camera path of a file.

    Attributes:
        track: its key poses, by the seconds of the video.
        targets: [K, 3] the points that all keys look at, None where some keys have rotations.
        up: [3] for targets.
        scene_times: [K] moments of the scene, None where the file does not say.
        fps: frames a second that the file asks for, None where it does not.
        width, height: image size that the file asks for, else that of the scene.
        exact: whether keys are the frames of the video rather than a few stations.
    """

    track: PoseTrack
    targets: Float[np.ndarray, "k 3"] | None
    up: Point
    scene_times: Float[np.ndarray, " k"] | None
    fps: float | None
    width: int
    height: int
    exact: bool = False

    @property
    def seconds(self) -> float:
        """Length of the video: from the first key to the last, which an exact path shows for one frame more."""
        knots = self.track.knots
        span = float(knots[-1] - knots[0])
        return span + (1 / self.fps if self.exact and self.fps is not None else 0.0)

    def cameras(self, count: int) -> list[Camera]:
        """`count` cameras, evenly in time from the first key to the last."""
        where = self._where(count)
        cameras = self.track.at(where, self.width, self.height)
        if self.targets is None:
            return cameras
        targets = _spline(self.track.knots, self.targets, where)
        return [
            Camera(camera.K, _look_at(camera.center_in_world.numpy(), target, self.up), self.width, self.height)
            for camera, target in zip(cameras, targets, strict=True)
        ]

    def times(self, count: int) -> list[float] | None:
        """The scene's times of `count` frames, None where the file does not say."""
        if self.scene_times is None:
            return None
        if len(self.scene_times) == 1:
            return [float(self.scene_times[0])] * count
        from scipy.interpolate import PchipInterpolator

        low, high = float(self.scene_times.min()), float(self.scene_times.max())
        return PchipInterpolator(self.track.knots, self.scene_times)(self._where(count)).clip(low, high).tolist()

    def _where(self, count: int) -> Float[np.ndarray, " n"]:
        return np.linspace(self.track.knots[0], self.track.knots[-1], count)


def read_camera_file(path: str | Path, lens: Camera, up: Point) -> CameraFile:
    """Read a camera path; the kind of file is found out from its keys.

    Args:
        path: a .json file.
        lens: field of view and image size where the file has none.
        up: for keys that look at something, where the file has none.

    Raises:
        InputError: the file is missing, of no known kind, or a value in it is wrong.
    """
    path = Path(path)
    file = Record(read_json(path), str(path))
    if file.content.get("format") == FORMAT:
        return _read_own(file, lens, up)
    if file.has("camera_path"):
        return _read_nerfstudio(file, lens, up)
    if file.has("frames"):
        return _read_transforms(file, lens, up)
    raise InputError(
        str(path),
        expected=f'"format": "{FORMAT}", or "camera_path" or "frames" of nerfstudio',
        got=f"the keys {', '.join(sorted(map(str, file.content))[:6]) or 'of nothing'}",
        fix="see docs/render.md for the formats",
    )


def _read_own(file: Record, lens: Camera, up: Point) -> CameraFile:
    file.whole("version", least=1, most=1)
    if file.has("up"):
        up = file.array("up", (3,))
        if np.linalg.norm(up) < 1e-9:
            raise wrong(file.place("up"), "a direction", up.tolist())
        up = up / np.linalg.norm(up)
    keys = _keys(file, "keyframes")
    knots = [key.number("time") for key in keys]
    for i in range(1, len(knots)):
        if knots[i] <= knots[i - 1]:
            raise wrong(keys[i].place("time"), "a time after that of the key before", knots[i])
    positions = np.stack([key.array("position", (3,)) for key in keys])
    default = file.number("fov_degrees", above=0, below=180) if file.has("fov_degrees") else None
    lenses = np.stack([_own_lens(key, default, lens) for key in keys])
    rotations = np.stack([_own_rotation(key, where, up) for key, where in zip(keys, positions, strict=True)])
    looking = all(key.has("look_at") for key in keys)
    targets = np.stack([key.array("look_at", (3,)) for key in keys]) if looking else None
    track = PoseTrack(np.array(knots), positions, rotations, lenses, may_jump=False)
    return CameraFile(track, targets, up, _all_or_none(file, keys, "scene_time"), None, lens.width, lens.height)


def _own_lens(key: Record, default: float | None, lens: Camera) -> Float[np.ndarray, "4"]:
    degrees = key.number("fov_degrees", above=0, below=180) if key.has("fov_degrees") else default
    return _plain_lens(lens) if degrees is None else _fov_lens(degrees)


def _own_rotation(key: Record, position: Point, up: Point) -> Float[np.ndarray, "3 3"]:
    if key.has("look_at") == key.has("rotation_wxyz"):
        got = "both" if key.has("look_at") else "neither"
        raise wrong(key.where, "either look_at or rotation_wxyz", got)
    if key.has("look_at"):
        try:
            return _look_at(position, key.array("look_at", (3,)), up)[:3, :3].T.numpy()
        except InputError as error:
            raise wrong(key.place("look_at"), error.expected, error.got, error.fix) from None
    q = key.array("rotation_wxyz", (4,))
    if np.linalg.norm(q) < 1e-9:
        raise wrong(key.place("rotation_wxyz"), "a quaternion other than zero", q.tolist())
    return quaternion.to_matrix(quaternion.normalize(torch.from_numpy(q))).numpy()


def _read_nerfstudio(file: Record, lens: Camera, up: Point) -> CameraFile:
    """`camera_path.json` of nerfstudio's viewer: one camera for each frame, `fov` full and vertical."""
    kind = file.text("camera_type", "perspective")
    if kind != "perspective":
        raise wrong(file.place("camera_type"), "perspective", kind)
    width = file.whole("render_width", lens.width, least=1, most=MAX_SIDE)
    height = file.whole("render_height", lens.height, least=1, most=MAX_SIDE)
    keys = _keys(file, "camera_path")
    poses = []
    for key in keys:
        matrix = key.array("camera_to_world", (16,), (4, 4), (3, 4))
        poses.append(rigid(matrix.reshape(-1, 4), key.place("camera_to_world")) @ OPENCV_FROM_OPENGL)
    lenses = [_fov_lens(key.number("fov", above=0, below=180)) if key.has("fov") else _plain_lens(lens) for key in keys]
    if file.has("seconds") and not file.has("fps"):
        fps = len(keys) / file.number("seconds", above=0)
    else:
        fps = file.number("fps", 24.0, above=0, below=1000.5)
    track = _dense_track(poses, lenses, fps)
    return CameraFile(track, None, up, _all_or_none(file, keys, "render_time"), fps, width, height, exact=True)


def _read_transforms(file: Record, lens: Camera, up: Point) -> CameraFile:
    """`transforms.json`: one camera for each frame in the file's order, times of the scene where there are any."""
    keys = _keys(file, "frames")
    poses, lenses, sizes = [], [], []
    for key in keys:
        matrix = key.array("transform_matrix", (4, 4), (3, 4))
        poses.append(rigid(matrix, key.place("transform_matrix")) @ OPENCV_FROM_OPENGL)
        width, height, numbers = _transforms_lens(key, file, lens)
        sizes.append((width, height))
        lenses.append(numbers)
    track = _dense_track(poses, lenses, fps := 24.0)
    return CameraFile(track, None, up, _all_or_none(file, keys, "time"), fps, *sizes[0], exact=True)


def _transforms_lens(key: Record, file: Record, lens: Camera) -> tuple[int, int, Float[np.ndarray, "4"]]:
    def of(name: str) -> Record:
        return key if key.has(name) else file

    width = of("w").whole("w", lens.width, least=1, most=MAX_SIDE)
    height = of("h").whole("h", lens.height, least=1, most=MAX_SIDE)
    if of("fl_x").has("fl_x"):
        fx = of("fl_x").number("fl_x", above=0)
    elif of("camera_angle_x").has("camera_angle_x"):
        fx = width / 2 / math.tan(of("camera_angle_x").number("camera_angle_x", above=0, below=math.pi) / 2)
    else:
        return width, height, _plain_lens(lens)
    fy = of("fl_y").number("fl_y", fx, above=0)
    x = of("cx").number("cx", width / 2) - width / 2
    y = of("cy").number("cy", height / 2) - height / 2
    return width, height, np.array([fx, fy, x, y]) / height


def _keys(file: Record, name: str) -> list[Record]:
    keys = file.records(name)
    if not 1 <= len(keys) <= MAX_KEYS:
        raise wrong(file.place(name), f"1 to {MAX_KEYS} entries", f"{len(keys)}")
    return keys


def _all_or_none(file: Record, keys: Sequence[Record], name: str) -> Float[np.ndarray, " k"] | None:
    known = sum(key.has(name) for key in keys)
    if known not in (0, len(keys)):
        raise wrong(file.where, f"{name} in every key or in none", f"{known} of {len(keys)}")
    return np.array([key.number(name) for key in keys]) if known else None


def _dense_track(
    poses: Sequence[Float[np.ndarray, "4 4"]], lenses: Sequence[Float[np.ndarray, "4"]], fps: float
) -> PoseTrack:
    stacked = np.stack(poses)
    return PoseTrack(np.arange(len(poses)) / fps, stacked[:, :3, 3], stacked[:, :3, :3], np.stack(lenses))


def _plain_lens(lens: Camera) -> Float[np.ndarray, "4"]:
    return np.array([float(lens.K[0, 0]), float(lens.K[1, 1]), 0.0, 0.0]) / lens.height


def _fov_lens(degrees: float) -> Float[np.ndarray, "4"]:
    focal = 0.5 / math.tan(math.radians(degrees) / 2)
    return np.array([focal, focal, 0.0, 0.0])


def _look_at(eye: Point, target: Point, up: Point) -> torch.Tensor:
    """cam_from_world [4, 4]."""
    points = (torch.from_numpy(np.ascontiguousarray(point)) for point in (eye, target))
    return Camera.look_at(*points, up=torch.from_numpy(up), dtype=torch.float64).cam_from_world


def _spline(
    knots: Float[np.ndarray, " k"], points: Float[np.ndarray, "k 3"], where: Float[np.ndarray, " n"]
) -> Float[np.ndarray, "n 3"]:
    if len(knots) == 1:
        return np.repeat(points, len(where), axis=0)
    from scipy.interpolate import CubicSpline

    return CubicSpline(knots, points)(where)
