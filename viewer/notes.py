"""`viewer.json` beside a scene: what the viewer keeps that is no edit: camera keys, and the scale that was measured.

    {"format": "recon4d-viewer", "format_version": 1, "metres_per_unit": 0.25,
     "keys": [{"time": 0.0, "scene_time": 0.5, "position": [3, 0, 1], "rotation_wxyz": [1, 0, 0, 0],
               "fov_degrees": 40}]}

Does NOT touch the scene's own files.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from recon4d.core import InputError
from recon4d.scene.document import Node, parse
from recon4d.scene.folder import open_regular, sync_folder, write_atomic

FILE = "viewer.json"
FORMAT = "recon4d-viewer"
FORMAT_VERSION = 1
MAX_KEYS = 1000
_MAX_BYTES = 4 * 1024 * 1024

Numbers = tuple[float, ...]


@dataclass(frozen=True)
class CameraKey:
    """A station of a camera path.

    Attributes:
        time: seconds of the film.
        scene_time: moment of the scene that is shown there, seconds.
        position: of the camera in the world.
        rotation_wxyz: world_from_cam, OpenCV axes.
        fov_degrees: full vertical field of view.
    """

    time: float
    scene_time: float
    position: Numbers
    rotation_wxyz: Numbers
    fov_degrees: float


@dataclass(frozen=True)
class Notes:
    """What is kept.

    Attributes:
        keys: camera keys by time, which increases.
        metres_per_unit: as measured; None where the scene's own holds.
    """

    keys: tuple[CameraKey, ...] = ()
    metres_per_unit: float | None = None


def read_notes(folder: Path) -> Notes:
    """The notes beside a scene; none where there is no file.

    Raises:
        SceneFormatError: the file is damaged.
    """
    if not (folder / FILE).exists():
        return Notes()
    with open(open_regular(folder, FILE), "rb") as stream:
        content = stream.read(_MAX_BYTES + 1)
    members = parse(content[:_MAX_BYTES], str(folder / FILE)).object(
        "format", "format_version", "metres_per_unit", "keys"
    )
    members["format"].choice(FORMAT)
    members["format_version"].whole(least=1, most=FORMAT_VERSION)
    metres = None if members["metres_per_unit"].value is None else members["metres_per_unit"].number()
    if metres is not None and not metres > 0:
        raise members["metres_per_unit"].error("a length above 0", f"{metres:g}")
    keys = tuple(_key(item) for item in members["keys"].items(at_most=MAX_KEYS))
    if any(b.time <= a.time for a, b in pairwise(keys)):
        raise members["keys"].error("times that increase", "others")
    return Notes(keys, metres)


def write_notes(notes: Notes, folder: Path) -> None:
    """Write the notes; a kill leaves the old file or the new one.

    Raises:
        InputError: the file cannot be written.
    """
    document = {
        "format": FORMAT,
        "format_version": FORMAT_VERSION,
        "metres_per_unit": notes.metres_per_unit,
        "keys": [vars(key) for key in notes.keys],
    }
    content = json.dumps(document, indent=1, allow_nan=False).encode() + b"\n"
    try:
        write_atomic(folder, FILE, [content])
        sync_folder(folder)
    except OSError as error:
        raise InputError(
            str(folder / FILE),
            expected="a file that can be written",
            got=error.strerror or str(error),
            fix="check the folder's permissions, and the space left on the disk",
        ) from error


def _key(node: Node) -> CameraKey:
    members = node.object("time", "scene_time", "position", "rotation_wxyz", "fov_degrees")
    fov, rotation = members["fov_degrees"].number(), members["rotation_wxyz"].numbers(4)
    if not 0 < fov < 180:
        raise members["fov_degrees"].error("an angle between 0 and 180 degrees", f"{fov:g}")
    if not any(rotation):
        raise members["rotation_wxyz"].error("a quaternion other than zero", rotation)
    return CameraKey(
        time=members["time"].number(),
        scene_time=members["scene_time"].number(),
        position=tuple(members["position"].numbers(3)),
        rotation_wxyz=tuple(rotation),
        fov_degrees=fov,
    )
