"""Checked access to what a file says: each value of the right type, finite and in range, or an error that names it.

Does NOT know formats.  A `Record` is one JSON object together with the words that say where it stands, for example
`/data/fox/transforms.json: frames[3]`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float64

from recon4d.core import Camera, InputError
from recon4d.data.files import inside
from recon4d.data.images import IMAGE_SUFFIXES
from recon4d.data.lens import Lens

MAX_SIDE = 1 << 16  # Pixels; anything larger is a broken or hostile file.
MAX_PIXELS = 1e9  # Of focal lengths and image centres.
MAX_BEND = 1e6  # Of distortion coefficients.
MAX_LENGTH = 1e15  # Of camera positions.
RIGID_TOLERANCE = 1e-3  # Files written with few digits must pass; a scale of 1.01 must not.


def wrong(where: str, expected: str, got: object, fix: str = "correct the file or export it again") -> InputError:
    """The error for a value that a file holds and should not."""
    text = repr(got) if not isinstance(got, str) else got
    return InputError(where, expected=expected, got=text if len(text) <= 120 else text[:117] + "...", fix=fix)


class Record:
    """One JSON object of a file.

    Args:
        content: the object.
        where: file and place, the beginning of every error text.
    """

    def __init__(self, content: object, where: str) -> None:
        if not isinstance(content, Mapping):
            raise wrong(where, "an object {...}", type(content).__name__)
        self.content: Mapping[str, object] = content
        self.where = where

    def place(self, key: str) -> str:
        """Words for the value `key`."""
        return f"{self.where}{'.' if self.where.endswith(']') else ': '}{key}"

    def has(self, key: str) -> bool:
        """Whether the value is there and not null."""
        return self.content.get(key) is not None

    def value(self, key: str) -> object:
        """The raw value; missing is an error."""
        if not self.has(key):
            raise wrong(self.place(key), "this field", "nothing", "add the field or export the file again")
        return self.content[key]

    def number(
        self, key: str, default: float | None = None, *, above: float = -math.inf, below: float = math.inf
    ) -> float:
        """A finite number strictly between `above` and `below`; `default` where it is missing."""
        if default is not None and not self.has(key):
            return default
        return number(self.value(key), self.place(key), above=above, below=below)

    def whole(self, key: str, default: int | None = None, *, least: int = 0, most: int = 2**31 - 1) -> int:
        """A whole number (3 or 3.0, not 3.5) from `least` to `most`; `default` where it is missing."""
        if default is not None and not self.has(key):
            return default
        value = number(self.value(key), self.place(key))
        if value != int(value) or not least <= value <= most:
            raise wrong(self.place(key), f"a whole number from {least} to {most}", self.content[key])
        return int(value)

    def text(self, key: str, default: str | None = None) -> str:
        """A string that is not empty."""
        if default is not None and not self.has(key):
            return default
        value = self.value(key)
        if not isinstance(value, str) or not value:
            raise wrong(self.place(key), "a string that is not empty", value)
        return value

    def items(self, key: str) -> list[object]:
        """A list."""
        value = self.value(key)
        if not isinstance(value, list):
            raise wrong(self.place(key), "a list [...]", type(value).__name__)
        return value

    def texts(self, key: str) -> list[str]:
        """A list of strings."""
        items = self.items(key)
        for index, item in enumerate(items):
            if not isinstance(item, str):
                raise wrong(f"{self.place(key)}[{index}]", "a string", item)
        return [str(item) for item in items]

    def records(self, key: str) -> list[Record]:
        """A list of objects."""
        return [Record(item, f"{self.place(key)}[{index}]") for index, item in enumerate(self.items(key))]

    def array(self, key: str, *shapes: tuple[int, ...]) -> Float64[np.ndarray, "*shape"]:
        """Nested lists of finite numbers with one of the given shapes."""
        return array(self.value(key), self.place(key), *shapes)

    def file(self, root: Path, key: str) -> Path:
        """A file inside `root` that exists; an image's suffix may be left out."""
        return existing(root, self.text(key), self.place(key))

    def optional_file(self, root: Path, key: str) -> Path | None:
        """As `file`, None where the field is missing."""
        return self.file(root, key) if self.has(key) else None


def number(value: object, where: str, *, above: float = -math.inf, below: float = math.inf) -> float:
    """A finite number strictly between two bounds."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise wrong(where, "a number", value)
    try:
        result = float(value)
    except OverflowError:
        result = math.inf
    if not math.isfinite(result) or not above < result < below:
        bounds = "" if (above, below) == (-math.inf, math.inf) else f" between {above:g} and {below:g}, both excluded"
        raise wrong(where, f"a finite number{bounds}", value if abs(result) < math.inf else "one that is not finite")
    return result


def array(value: object, where: str, *shapes: tuple[int, ...]) -> Float64[np.ndarray, "*shape"]:
    """Nested lists of finite numbers with one of the given shapes."""
    shape: list[int] = []
    level = value
    while isinstance(level, list):
        shape.append(len(level))
        level = level[0] if level else None
    expected = "numbers [" + "] or [".join(", ".join(map(str, wanted)) for wanted in shapes) + "]"
    if tuple(shape) not in shapes:
        raise wrong(where, expected, f"shape {shape}")
    flat: list[float] = []

    def collect(item: object, depth: int, place: str) -> None:
        if depth == len(shape):
            flat.append(number(item, place))
            return
        if not isinstance(item, list) or len(item) != shape[depth]:
            raise wrong(where, expected, "rows of different lengths")
        for index, child in enumerate(item):
            collect(child, depth + 1, f"{place}[{index}]")

    collect(value, 0, where)
    return np.array(flat).reshape(shape)


def rigid(matrix: Float64[np.ndarray, "r c"], where: str) -> Float64[np.ndarray, "4 4"]:
    """A [3, 4] or [4, 4] matrix as a rigid [4, 4] transform; small errors of rounding are removed.

    Raises:
        InputError: a last row other than 0 0 0 1, scale or shear, or a mirror.
    """
    full = np.eye(4)
    full[: matrix.shape[0]] = matrix
    if not np.allclose(full[3], (0, 0, 0, 1), atol=RIGID_TOLERANCE):
        raise wrong(where, "a last row 0 0 0 1", str(full[3].tolist()))
    rotation = full[:3, :3]
    error = float(np.abs(rotation @ rotation.T - np.eye(3)).max())
    if error > RIGID_TOLERANCE:
        scale = float(np.linalg.norm(rotation, axis=0).mean())
        got = f"axes that are not unit and perpendicular (error {error:.2g}, mean length {scale:.4g})"
        raise wrong(where, "a rigid matrix [R | t]", got, "move scale out of the camera matrices")
    if np.linalg.det(rotation) < 0:
        raise wrong(where, "a rotation", "a mirror image (determinant -1)", "flip one axis of the camera")
    u, _, vt = np.linalg.svd(rotation)
    full[:3, :3] = u @ vt if error > 1e-12 else rotation
    full[3] = (0, 0, 0, 1)
    return full


def rigid_inverse(matrix: Float64[np.ndarray, "4 4"]) -> Float64[np.ndarray, "4 4"]:
    """Inverse of a rigid transform."""
    result = np.eye(4)
    result[:3, :3] = matrix[:3, :3].T
    result[:3, 3] = -matrix[:3, :3].T @ matrix[:3, 3]
    return result


def make_camera(
    where: str, cam_from_world: Float64[np.ndarray, "4 4"], lens: Lens, width: int, height: int
) -> tuple[Camera, Lens | None]:
    """The pinhole camera with the lens's focal lengths and centre, and the lens if there is something to undo.

    Raises:
        InputError: numbers so large that arithmetic with them would overflow; names `where`.
    """
    for name, value in asdict(lens).items():
        most = MAX_PIXELS if name in ("fx", "fy", "cx", "cy", "skew") else MAX_BEND
        if not abs(value) <= most:
            raise wrong(f"{where}: lens {name}", f"a number of at most {most:g}", value)
    if not (np.abs(cam_from_world) <= MAX_LENGTH).all():
        raise wrong(f"{where}: camera centre", f"numbers of at most {MAX_LENGTH:g}", "larger ones")
    K = torch.tensor([[lens.fx, 0, lens.cx], [0, lens.fy, lens.cy], [0, 0, 1]], dtype=torch.float64)
    return Camera(K, torch.from_numpy(cam_from_world.copy()), width, height), None if lens.is_pinhole else lens


def lens_of(camera: Camera, distortion: Lens | None) -> Lens:
    """The lens of a view's file: `distortion`, or the pinhole camera's own numbers."""
    if distortion is not None:
        return distortion
    return Lens(*(float(camera.K[i, j]) for i, j in ((0, 0), (1, 1), (0, 2), (1, 2))))


def matrix_of(camera: Camera) -> Float64[np.ndarray, "4 4"]:
    """`cam_from_world` as float64, rigid to the last digit, so that what is written passes the reader's check."""
    return rigid(camera.cam_from_world.detach().cpu().double().numpy().copy(), "View.camera.cam_from_world")


def existing(root: Path, name: str, where: str) -> Path:
    """A file inside `root`; an image's suffix may be left out.

    Raises:
        InputError: it leads out of `root` or does not exist.
    """
    path = inside(root, name, what=where)
    if path.is_file():
        return path
    for suffix in sorted(IMAGE_SUFFIXES, key=lambda suffix: (suffix != ".png", suffix)):
        with_suffix = path.with_name(path.name + suffix)
        if with_suffix.is_file():
            return with_suffix
    raise wrong(where, "a file that exists", str(path), "add the missing file or remove its entry")


def stem(name: str) -> str:
    """A file name without `./` in front and image suffix behind, for `View.name`."""
    parts = [part for part in name.replace("\\", "/").split("/") if part not in ("", ".")]
    plain = "/".join(parts)
    for suffix in IMAGE_SUFFIXES:
        if plain.lower().endswith(suffix):
            return plain[: -len(suffix)]
    return plain


def require_cameras(views: Sequence[object], cameras: Sequence[Camera | None]) -> list[Camera]:
    """The cameras of views to be written.

    Raises:
        InputError: no views, or a view without a camera.
    """
    if not views:
        raise InputError("views", expected="at least one view", got="none", fix="pass the views to write")
    for index, camera in enumerate(cameras):
        if camera is None:
            raise InputError(
                f"views[{index}].camera", expected="a camera", got="None", fix="this format needs one for each view"
            )
    return [camera for camera in cameras if camera is not None]
