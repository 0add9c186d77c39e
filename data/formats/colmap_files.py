"""COLMAP's model files, text and binary: cameras, images, points3D.

A parser of our own that checks every count against the bytes that are left before it allocates anything.  It knows the
files and nothing of data sets (`colmap.py`).  2D observations and point tracks are stepped over; written empty.

Layout (all little-endian), after COLMAP's documentation of its output format:
    cameras.bin   u64 count, then i32 id, i32 model, u64 width, u64 height, f64 parameters
    images.bin    u64 count, then i32 id, 4 f64 quaternion wxyz, 3 f64 translation, i32 camera, name up to a NUL,
                  u64 observations, each 2 f64 and i64
    points3D.bin  u64 count, then u64 id, 3 f64 position, 3 u8 colour, f64 error, u64 track length, each 2 i32
The quaternion and translation are cam_from_world.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from recon4d.core import InputError
from recon4d.data.dataset import Points
from recon4d.data.files import write_bytes
from recon4d.data.formats.record import MAX_SIDE, wrong

MODELS = {  # id: (name, number of parameters); the known models of COLMAP.
    0: ("SIMPLE_PINHOLE", 3),
    1: ("PINHOLE", 4),
    2: ("SIMPLE_RADIAL", 4),
    3: ("RADIAL", 5),
    4: ("OPENCV", 8),
    5: ("OPENCV_FISHEYE", 8),
    6: ("FULL_OPENCV", 12),
    7: ("FOV", 5),
    8: ("SIMPLE_RADIAL_FISHEYE", 4),
    9: ("RADIAL_FISHEYE", 5),
    10: ("THIN_PRISM_FISHEYE", 12),
}
_IDS = {name: number for number, (name, _) in MODELS.items()}
_MAX_NAME = 4096


@dataclass(frozen=True)
class ColmapCamera:
    """A camera as stored: model name and its parameters."""

    id: int
    model: str
    width: int
    height: int
    parameters: tuple[float, ...]


@dataclass(frozen=True)
class ColmapImage:
    """An image as stored: cam_from_world as quaternion wxyz and translation."""

    id: int
    quaternion: tuple[float, float, float, float]
    translation: tuple[float, float, float]
    camera_id: int
    name: str


@dataclass(frozen=True, eq=False)
class ColmapModel:
    """A whole model."""

    cameras: dict[int, ColmapCamera]
    images: tuple[ColmapImage, ...]
    points: Points | None


class _Bytes:
    """A binary file read forwards, never beyond its end."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.content = path.read_bytes()
        self.at = 0

    def take(self, layout: str, what: str) -> tuple[int | float, ...]:
        size = struct.calcsize("<" + layout)
        self.need(size, what)
        self.at += size
        return struct.unpack_from("<" + layout, self.content, self.at - size)

    def need(self, size: int, what: str) -> None:
        left = len(self.content) - self.at
        if size > left:
            raise wrong(f"{self.path}: {what}", f"{size} more bytes", f"{left}: truncated or not a COLMAP file")

    def count(self, what: str, smallest: int) -> int:
        (number,) = self.take("Q", what)
        self.need(int(number) * smallest, what)
        return int(number)

    def skip(self, size: int, what: str) -> None:
        self.need(size, what)
        self.at += size

    def name(self, what: str) -> str:
        end = self.content.find(b"\0", self.at, self.at + _MAX_NAME)
        if end < 0:
            raise wrong(f"{self.path}: {what}", f"a name of at most {_MAX_NAME} bytes", "no end of the name")
        try:
            text = self.content[self.at : end].decode("utf-8")
        except UnicodeDecodeError:
            raise wrong(f"{self.path}: {what}", "a name in UTF-8", repr(self.content[self.at : end])) from None
        self.at = end + 1
        return text

    def finish(self) -> None:
        if self.at != len(self.content):
            left = len(self.content) - self.at
            raise wrong(str(self.path), "the end of the file after the last entry", f"{left} more bytes")


def read_model(folder: Path) -> ColmapModel:
    """Read the binary model of a folder, or the text model where there is no binary one.

    Raises:
        InputError: a missing, truncated or inconsistent file, an unknown camera model, numbers that are not finite.
    """
    for suffix, cameras_of, images_of, points_of in (
        (".bin", _binary_cameras, _binary_images, _binary_points),
        (".txt", _text_cameras, _text_images, _text_points),
    ):
        cameras_path, images_path = folder / f"cameras{suffix}", folder / f"images{suffix}"
        if cameras_path.is_file() and images_path.is_file():
            cameras: dict[int, ColmapCamera] = {}
            for camera in cameras_of(cameras_path):
                if camera.id in cameras:
                    raise wrong(f"{cameras_path}: camera {camera.id}", "each id once", "the id twice")
                cameras[camera.id] = camera
            images = tuple(images_of(images_path))
            for image in images:
                if image.camera_id not in cameras:
                    place = f"{images_path}: image {image.name!r}: camera id"
                    raise wrong(place, f"a camera of {cameras_path.name}", image.camera_id)
            points_path = folder / f"points3D{suffix}"
            return ColmapModel(cameras, images, points_of(points_path) if points_path.is_file() else None)
    raise InputError(
        str(folder),
        expected="cameras and images as .bin or .txt",
        got="a folder without them",
        fix="name the folder that holds the model, usually sparse/0",
    )


def _camera(where: str, number: int, model: int, width: int, height: int, parameters: Sequence[float]) -> ColmapCamera:
    if not 1 <= width <= MAX_SIDE or not 1 <= height <= MAX_SIDE:
        raise wrong(f"{where}: size", f"1 to {MAX_SIDE} pixels", f"{width}x{height}")
    if not np.isfinite(parameters).all():
        raise wrong(f"{where}: parameters", "finite numbers", str(list(parameters)))
    return ColmapCamera(number, MODELS[model][0], width, height, tuple(map(float, parameters)))


def _image(where: str, number: int, pose: Sequence[float], camera: int, name: str) -> ColmapImage:
    length = math.hypot(*pose[:4])
    if not np.isfinite(pose).all() or not 1e-6 < length < 1e6:
        raise wrong(f"{where}: pose", "a finite quaternion and translation", str([float(value) for value in pose]))
    if not name:
        raise wrong(f"{where}: name", "a file name", "nothing")
    w, x, y, z = (float(value) / length for value in pose[:4])
    return ColmapImage(number, (w, x, y, z), (float(pose[4]), float(pose[5]), float(pose[6])), camera, name)


def _points(path: Path, rows: list[tuple[float, ...]]) -> Points:
    table = np.array(rows, np.float64).reshape(len(rows), 7)
    if not np.isfinite(table).all():
        raise wrong(str(path), "finite positions and errors", "NaN or infinity")
    if ((table[:, 3:6] < 0) | (table[:, 3:6] > 255)).any():
        raise wrong(f"{path}: colours", "0 to 255", "other values")
    return Points(table[:, :3].copy(), table[:, 3:6].astype(np.uint8), table[:, 6].copy())


def _binary_cameras(path: Path) -> Iterator[ColmapCamera]:
    data = _Bytes(path)
    for index in range(data.count("number of cameras", 48)):
        where = f"cameras[{index}]"
        number, model, width, height = map(int, data.take("iiQQ", where))
        if model not in MODELS:
            raise wrong(f"{path}: {where}: model", f"0 to {max(MODELS)}", model)
        yield _camera(f"{path}: {where}", number, model, width, height, data.take(f"{MODELS[model][1]}d", where))
    data.finish()


def _binary_images(path: Path) -> Iterator[ColmapImage]:
    data = _Bytes(path)
    for index in range(data.count("number of images", 73)):
        where = f"images[{index}]"
        number, *pose, camera = data.take("i7di", where)
        name = data.name(f"{where}: name")
        data.skip(24 * data.count(f"{where}: number of observations", 24), where)
        yield _image(f"{path}: {where}", int(number), pose, int(camera), name)
    data.finish()


def _binary_points(path: Path) -> Points:
    data = _Bytes(path)
    rows = []
    for index in range(data.count("number of points", 51)):
        where = f"points[{index}]"
        _, *row, track = data.take("Q3d3BdQ", where)
        data.skip(8 * int(track), f"{where}: track")
        rows.append(tuple(row))
    data.finish()
    return _points(path, rows)


def _lines(path: Path) -> list[tuple[int, str]]:
    try:
        text = path.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        raise wrong(str(path), "text in UTF-8", "other bytes") from None
    return [(number, line.strip()) for number, line in enumerate(text.splitlines(), 1)]


def _numbers(words: Sequence[str], where: str) -> list[float]:
    try:
        return [float(word) for word in words]
    except ValueError:
        raise wrong(where, "numbers", " ".join(words)) from None


def _whole(word: str, where: str) -> int:
    try:
        return int(word)
    except ValueError:
        raise wrong(where, "a whole number", word) from None


def _text_cameras(path: Path) -> Iterator[ColmapCamera]:
    for number, line in _lines(path):
        if not line or line.startswith("#"):
            continue
        where = f"{path}: line {number}"
        words = line.split()
        model = _IDS.get(words[1], -1) if len(words) > 1 else -1
        if model < 0:
            raise wrong(where, "ID MODEL WIDTH HEIGHT PARAMETERS with a known model", line)
        if len(words) != 4 + MODELS[model][1]:
            raise wrong(where, f"{MODELS[model][1]} parameters for {words[1]}", f"{len(words) - 4}")
        width, height = _whole(words[2], f"{where}: width"), _whole(words[3], f"{where}: height")
        parameters = _numbers(words[4:], f"{where}: parameters")
        yield _camera(where, _whole(words[0], f"{where}: id"), model, width, height, parameters)


def _text_images(path: Path) -> Iterator[ColmapImage]:
    lines = iter(_lines(path))
    for number, line in lines:
        if not line or line.startswith("#"):
            continue
        where = f"{path}: line {number}"
        words = line.split(maxsplit=9)
        if len(words) != 10:
            raise wrong(where, "ID QW QX QY QZ TX TY TZ CAMERA NAME", line)
        pose = _numbers(words[1:8], f"{where}: pose")
        camera = _whole(words[8], f"{where}: camera id")
        # The observations stand in the next line, which may be empty; it is never a comment.
        observations = next(lines, (0, ""))[1].split()
        if len(observations) % 3:
            raise wrong(
                f"{path}: line {number + 1}", "X Y POINT3D_ID for each observation", f"{len(observations)} words"
            )
        yield _image(where, _whole(words[0], f"{where}: id"), pose, camera, words[9])


def _text_points(path: Path) -> Points:
    rows = []
    for number, line in _lines(path):
        if not line or line.startswith("#"):
            continue
        words = line.split()
        if len(words) < 8 or len(words) % 2:
            raise wrong(f"{path}: line {number}", "ID X Y Z R G B ERROR and pairs of a track", line)
        rows.append(tuple(_numbers(words[1:8], f"{path}: line {number}")))
    return _points(path, rows)


def write_model(folder: Path, model: ColmapModel, *, binary: bool) -> None:
    """Write cameras, images and points3D into an existing folder, each atomically; the same model, the same bytes."""
    for name, content in (_binary_files(model) if binary else _text_files(model)).items():
        write_bytes(folder / name, content)


def _binary_files(model: ColmapModel) -> dict[str, bytes]:
    cameras = struct.pack("<Q", len(model.cameras))
    for camera in model.cameras.values():
        head = struct.pack("<iiQQ", camera.id, _IDS[camera.model], camera.width, camera.height)
        cameras += head + struct.pack(f"<{len(camera.parameters)}d", *camera.parameters)
    images = [struct.pack("<Q", len(model.images))]
    for image in model.images:
        images.append(struct.pack("<i7di", image.id, *image.quaternion, *image.translation, image.camera_id))
        images.append(image.name.encode() + b"\0" + struct.pack("<Q", 0))
    points = [struct.pack("<Q", 0 if model.points is None else len(model.points.positions))]
    if model.points is not None:
        for index, (position, color, error) in enumerate(_rows(model.points), 1):
            points.append(struct.pack("<Q3d3BdQ", index, *position, *color, error, 0))
    return {"cameras.bin": cameras, "images.bin": b"".join(images), "points3D.bin": b"".join(points)}


def _text_files(model: ColmapModel) -> dict[str, bytes]:
    cameras = ["# CAMERA_ID MODEL WIDTH HEIGHT PARAMS[]"]
    for camera in model.cameras.values():
        numbers = " ".join(map(repr, camera.parameters))
        cameras.append(f"{camera.id} {camera.model} {camera.width} {camera.height} {numbers}")
    images = ["# IMAGE_ID QW QX QY QZ TX TY TZ CAMERA_ID NAME, then a line of observations X Y POINT3D_ID"]
    for image in model.images:
        numbers = " ".join(map(repr, (*image.quaternion, *image.translation)))
        images += [f"{image.id} {numbers} {image.camera_id} {image.name}", ""]
    points = ["# POINT3D_ID X Y Z R G B ERROR TRACK[] as (IMAGE_ID, POINT2D_IDX)"]
    for index, (position, color, error) in enumerate(_rows(model.points) if model.points is not None else (), 1):
        points.append(" ".join([str(index), *map(repr, position), *map(str, color), repr(error)]))
    files = {"cameras.txt": cameras, "images.txt": images, "points3D.txt": points}
    return {name: ("\n".join(lines) + "\n").encode() for name, lines in files.items()}


def _rows(points: Points) -> Iterator[tuple[list[float], list[int], float]]:
    return zip(points.positions.tolist(), points.colors.tolist(), points.errors.tolist(), strict=True)
