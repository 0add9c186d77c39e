"""Point clouds in PLY: positions with optional colours, ASCII or binary, sizes checked before anything is allocated.

Reads the element `vertex` (which must come first) with scalar properties; faces and other elements after it are
ignored.  Writes binary little-endian with x y z as double and red green blue as uchar.  Does NOT know splats or meshes.
"""

from __future__ import annotations

import io
from pathlib import Path
from typing import BinaryIO

import numpy as np
from jaxtyping import Float64

from recon4d.data.dataset import Points
from recon4d.data.files import write_bytes
from recon4d.data.formats.record import wrong

Columns = dict[str, Float64[np.ndarray, " p"]]

_TYPES = {
    "char": "i1", "uchar": "u1", "short": "i2", "ushort": "u2", "int": "i4", "uint": "u4", "float": "f4",
    "int8": "i1", "uint8": "u1", "int16": "i2", "uint16": "u2", "int32": "i4", "uint32": "u4", "float32": "f4",
    "double": "f8", "float64": "f8",
}  # fmt: skip
_ORDERS = {"binary_little_endian": "<", "binary_big_endian": ">", "ascii": ""}
_MAX_HEADER_LINES = 10_000


def read_ply_points(path: str | Path) -> Points:
    """Read positions and, where there are some, colours (gray without).

    Raises:
        InputError: not a PLY, truncated, no vertices first, or no finite x y z.
    """
    path = Path(path)
    with path.open("rb") as stream:
        order, count, fields = _read_header(stream, path)
        if order:
            table = _read_binary(stream, path, count, np.dtype([(name, order + kind) for name, kind in fields]))
        else:
            table = _read_ascii(stream, path, count, [name for name, _ in fields])
    for name in "xyz":
        if name not in table:
            raise wrong(f"{path}: element vertex", f"a property {name}", str(list(table)))
    positions = np.stack([table[name] for name in "xyz"], -1)
    if not np.isfinite(positions).all():
        raise wrong(f"{path}: element vertex", "finite positions", "NaN or infinity")
    colors = np.full((count, 3), 128, np.uint8)
    if all(name in table for name in ("red", "green", "blue")):
        channels = np.stack([table[name] for name in ("red", "green", "blue")], -1)
        unit = dict(fields)["red"].startswith("f")
        colors = np.clip(np.rint(channels * (255 if unit else 1)), 0, 255).astype(np.uint8)
    return Points(positions, colors, np.full(count, -1.0))


def _read_header(stream: BinaryIO, path: Path) -> tuple[str, int, list[tuple[str, str]]]:
    def line() -> list[str]:
        return stream.readline(4096).decode("ascii", "replace").split()

    if line() != ["ply"]:
        raise wrong(str(path), "a PLY file", "another first line")
    order: str | None = None
    count = -1
    fields: list[tuple[str, str]] = []
    elements = 0
    for _ in range(_MAX_HEADER_LINES):
        words = line()
        match words:
            case ["end_header"]:
                break
            case ["format", name, "1.0"] if name in _ORDERS:
                order = _ORDERS[name]
            case ["element", name, number]:
                elements += 1
                if elements == 1:
                    if name != "vertex" or not number.isdecimal():
                        raise wrong(f"{path}: first element", "element vertex COUNT", " ".join(words))
                    count = int(number)
            case ["property", kind, name] if elements == 1 and kind in _TYPES:
                fields.append((name, _TYPES[kind]))
            case ["property", *_] if elements > 1:
                pass
            case ["comment" | "obj_info", *_]:
                pass
            case _:
                raise wrong(f"{path}: header", "a line that PLY knows", " ".join(words) or "an empty line or the end")
    if order is None or count < 0 or not fields or len({name for name, _ in fields}) != len(fields):
        raise wrong(f"{path}: header", "a format, and vertices with different properties", "one that lacks them")
    return order, count, fields


def _read_binary(stream: BinaryIO, path: Path, count: int, dtype: np.dtype[np.void]) -> Columns:
    there = path.stat().st_size - stream.tell()
    if count * dtype.itemsize > there:
        raise wrong(f"{path}: element vertex", f"{count * dtype.itemsize} bytes", f"{there} bytes: truncated")
    rows = np.frombuffer(stream.read(count * dtype.itemsize), dtype)
    return {name: rows[name].astype(np.float64) for name in dtype.names or ()}


def _read_ascii(stream: BinaryIO, path: Path, count: int, names: list[str]) -> Columns:
    if count * 2 > path.stat().st_size:  # A row needs a digit and a line end at least.
        raise wrong(f"{path}: element vertex", f"{count} rows", "a file too short for them")
    if not count:
        return {name: np.empty(0) for name in names}
    lines = [stream.readline() for _ in range(count)]
    try:
        rows = np.loadtxt(io.BytesIO(b"".join(lines)), ndmin=2)
    except ValueError as error:
        raise wrong(f"{path}: element vertex", "rows of numbers", str(error)) from None
    if rows.shape != (count, len(names)):
        raise wrong(f"{path}: element vertex", f"{count} rows of {len(names)} numbers", f"{list(rows.shape)}")
    return {name: rows[:, index] for index, name in enumerate(names)}


def write_ply_points(path: str | Path, points: Points) -> None:
    """Write points, binary little-endian, atomically."""
    dtype = np.dtype([(name, "<f8") for name in "xyz"] + [(name, "u1") for name in ("red", "green", "blue")])
    rows = np.empty(len(points.positions), dtype)
    for index, (axis, channel) in enumerate(zip("xyz", ("red", "green", "blue"), strict=True)):
        rows[axis], rows[channel] = points.positions[:, index], points.colors[:, index]
    properties = "".join(f"property double {axis}\n" for axis in "xyz")
    properties += "".join(f"property uchar {channel}\n" for channel in ("red", "green", "blue"))
    header = f"ply\nformat binary_little_endian 1.0\nelement vertex {len(rows)}\n{properties}end_header\n"
    write_bytes(path, header.encode("ascii") + rows.tobytes())
