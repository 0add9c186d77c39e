"""From camera keys to the cameras and moments of a film, and to files: videos, pictures, exports.

Does NOT know viser; `panels` call this in jobs.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from recon4d.core import Camera, InputError, quaternion
from recon4d.export import CameraFile, camera_paths, draw_video, timeline
from recon4d.export.pose_track import PoseTrack
from recon4d.scene import Scene
from recon4d.viewer.notes import CameraKey

PATHS = ("My camera keys", "Turntable", "Input camera", "Spiral", "Push-in")
SIZES = {"640 x 360": (640, 360), "1280 x 720": (1280, 720), "1920 x 1080": (1920, 1080), "720 x 720": (720, 720)}
FOLDER = "exports"

Progress = Callable[[int, int], None]


@dataclass(frozen=True, eq=False)
class Film:
    """What is drawn.

    Attributes:
        cameras, times: [N].
        fps: frames a second.
    """

    cameras: list[Camera]
    times: list[float]
    fps: float


def key_of(camera: Camera, time: float, scene_time: float) -> CameraKey:
    """A camera as a key."""
    pose = camera.cam_from_world.double()
    turn = quaternion.from_matrix(pose[:3, :3].T.contiguous())
    fov = math.degrees(2 * math.atan(camera.height / 2 / float(camera.K[1, 1])))
    return CameraKey(time, scene_time, tuple(camera.center_in_world.double().tolist()), tuple(turn.tolist()), fov)


def path_through(keys: Sequence[CameraKey], width: int, height: int) -> CameraFile:
    """The smooth path through keys, as one that a file would hold.

    Raises:
        InputError: no keys.
    """
    if not keys:
        raise InputError(
            "camera keys", expected="at least one", got="none", fix="find a view, and press Add a key under Output"
        )
    turns = torch.tensor([key.rotation_wxyz for key in keys], dtype=torch.float64)
    focal = [0.5 / math.tan(math.radians(key.fov_degrees) / 2) for key in keys]
    track = PoseTrack(
        np.array([key.time for key in keys]),
        np.array([key.position for key in keys]),
        quaternion.to_matrix(quaternion.normalize(turns)).numpy(),
        np.array([[f, f, 0.0, 0.0] for f in focal]),
        may_jump=False,
    )
    times = np.array([key.scene_time for key in keys])
    return CameraFile(track, None, np.array([0.0, 0.0, 1.0]), times, None, width, height)


def film(scene: Scene, path: str, keys: Sequence[CameraKey], *, fps: float, size: tuple[int, int]) -> Film:
    """The cameras and moments of a path by its name.

    Raises:
        InputError: no keys, or an impossible rate.
    """
    if path == "My camera keys":
        file = path_through(keys, *size)
        count = max(1, round(file.seconds * fps) + 1)
        first, last = float(scene.frame_times[0]), float(scene.frame_times[-1])
        times = [min(max(time, first), last) for time in file.times(count) or []]
        return Film(file.cameras(count), times, fps)
    frames = timeline(scene, "all", fps=fps, seconds=None if len(scene.frame_times) > 1 else 4.0)
    moments = list(frames.times)
    if path == "Turntable":
        # A turn needs some seconds to be looked at: the clip is played again and again.
        rounds = max(1, math.ceil(3.0 * fps / len(moments)))
        moments = moments * rounds
        cameras = camera_paths.orbit(scene, moments)
    elif path == "Input camera":
        cameras = camera_paths.input_path(scene, moments)
    elif path == "Spiral":
        cameras = camera_paths.spiral(scene, moments)
    else:
        cameras = camera_paths.dolly(scene, moments)
    return Film(cameras, moments, frames.fps)


def write_film(
    scene: Scene, made: Film, output: Path, *, size: tuple[int, int], background: str, what: str, progress: Progress
) -> Path:
    """Draw a film to a video file."""
    output.parent.mkdir(parents=True, exist_ok=True)
    draw_video(
        scene,
        made.cameras,
        made.times,
        output=output,
        what=what,
        size=size,
        fps=made.fps,
        background=background,
        overwrite=True,
        progress=progress,
    )
    return output


def place_for(folder: Path, name: str, suffix: str) -> Path:
    """A new file name in the exports of a scene's folder, from what somebody typed."""
    plain = re.sub(r"[^A-Za-z0-9._ -]", "_", name).strip(". ")[:60] or "scene"
    exports = folder / FOLDER
    if exports.is_symlink():
        raise InputError(str(exports), expected="a folder", got="a link", fix="remove the link")
    exports.mkdir(parents=True, exist_ok=True)
    for number in range(1, 10_000):
        place = exports / (f"{plain}{suffix}" if number == 1 else f"{plain}-{number}{suffix}")
        if not place.exists():
            return place
    raise InputError("name", expected="a new name", got=repr(plain), fix="choose another")


def hex_of(color: tuple[float, float, float]) -> str:
    """A colour as the drawing functions take it."""
    return "#" + "".join(f"{round(255 * channel):02x}" for channel in color)
