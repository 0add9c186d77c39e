"""Meshes of other programs and of our own synthetic scenes: PLY (ASCII and binary) and OBJ, as plain triangles.

Vertices keep the order of the file, by which they are followed through time.  Polygons are cut into fans.  Colours,
normals, texture coordinates, groups and materials are ignored.  Counts are checked against the size of the file before
anything is allocated.  Does NOT write files.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from recon4d.core import InputError
from recon4d.evaluate.surfaces import Mesh

_TYPES = {
    "char": "i1", "uchar": "u1", "short": "i2", "ushort": "u2", "int": "i4", "uint": "u4", "float": "f4",
    "int8": "i1", "uint8": "u1", "int16": "i2", "uint16": "u2", "int32": "i4", "uint32": "u4", "float32": "f4",
    "double": "f8", "float64": "f8",
}  # fmt: skip
_ORDERS = {"ascii": "", "binary_little_endian": "<", "binary_big_endian": ">"}
_INDEX_NAMES = ("vertex_indices", "vertex_index")


def read_mesh(path: Path) -> Mesh:
    """The triangles of a .ply or .obj file.

    Raises:
        InputError: the file is missing, of another kind, damaged, or without triangles.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise InputError(
            str(path), expected="a readable mesh", got=error.strerror or str(error), fix="check the path"
        ) from None
    try:
        vertices, polygons = _read_obj(data) if path.suffix.lower() == ".obj" else _read_ply(data)
        return Mesh(vertices, _fans(polygons))
    except InputError as error:
        raise InputError(str(path), expected=error.expected, got=error.got, fix=error.fix) from error
    except (ValueError, IndexError, KeyError, OverflowError) as error:
        raise InputError(
            str(path), expected="a whole PLY or OBJ mesh", got=str(error) or type(error).__name__, fix="write it again"
        ) from error


@dataclass
class _Element:
    """One element of a PLY header: its name, how many, and its properties (list properties with their count's type)."""

    name: str
    count: int
    properties: list[tuple[str, str, str | None]] = field(default_factory=list)

    def plain_type(self, order: str) -> np.dtype[np.void] | None:
        """The type of a row, or None where it has a list."""
        if any(count is not None for _, _, count in self.properties):
            return None
        return np.dtype([(name, order + kind) for name, kind, _ in self.properties])


def _read_ply(data: bytes) -> tuple[np.ndarray, list[np.ndarray]]:
    end = data.find(b"end_header")
    lines = data[: max(end, 0)].decode("ascii", "replace").splitlines()
    if end < 0 or not lines or lines[0].strip() != "ply":
        raise ValueError("no PLY header")
    order, elements = "none", list[_Element]()
    for words in (line.split() for line in lines[1:]):
        match words:
            case ["format", name, "1.0"]:
                order = _ORDERS[name]
            case ["element", name, count]:
                elements.append(_Element(name, int(count)))
            case ["property", "list", count_kind, kind, name]:
                elements[-1].properties.append((name, _TYPES[kind], _TYPES[count_kind]))
            case ["property", kind, name]:
                elements[-1].properties.append((name, _TYPES[kind], None))
    body = data[data.index(b"\n", end) + 1 :]
    if order == "none" or any(not 0 <= element.count <= len(body) for element in elements):
        raise ValueError("a header that does not fit the file")
    tables = _ascii_tables(body, elements) if order == "" else _binary_tables(body, elements, order)
    if any(isinstance(tables["vertex"][axis], list) for axis in "xyz"):
        raise ValueError("coordinates that are lists")
    vertices = np.stack([tables["vertex"][axis].astype(np.float64) for axis in "xyz"], -1)
    names = [name for name in _INDEX_NAMES if isinstance(tables["face"].get(name), list)]
    if not names:
        raise ValueError("faces without a list vertex_indices")
    return vertices, tables["face"][names[0]]


def _binary_tables(body: bytes, elements: list[_Element], order: str) -> dict[str, dict[str, Any]]:
    tables: dict[str, dict[str, Any]] = {}
    at = 0
    for element in elements:
        row = element.plain_type(order)
        if row is None and len(element.properties) == 1 and element.count:
            # The usual list of triangles, all of the same size, reads as one table.
            name, kind, count_kind = element.properties[0]
            size = _length(body, order + str(count_kind), at)
            row = np.dtype([("count", order + str(count_kind)), (name, order + kind, (size,))])
            if at + element.count * row.itemsize <= len(body):
                rows = np.frombuffer(body, row, element.count, at)
                if (rows["count"] == size).all():
                    tables[element.name] = {name: [rows[name]]}
                    at += element.count * row.itemsize
                    continue
            row = None
        if row is not None:
            rows = np.frombuffer(body, row, element.count, at)
            tables[element.name] = {name: rows[name] for name, _, _ in element.properties}
            at += element.count * row.itemsize
            continue
        lists: dict[str, list[np.ndarray]] = {name: [] for name, _, _ in element.properties}
        for _ in range(element.count):
            for name, kind, count_kind in element.properties:
                size = 1
                if count_kind is not None:
                    size = _length(body, order + count_kind, at)
                    at += np.dtype(count_kind).itemsize
                lists[name].append(np.frombuffer(body, order + kind, size, at)[None])
                at += size * np.dtype(kind).itemsize
        tables[element.name] = lists
    return tables


def _length(body: bytes, kind: str, at: int) -> int:
    """The length of a list, from its type and place."""
    size = int(np.frombuffer(body, kind, 1, at)[0])
    if not 0 <= size <= len(body):
        raise ValueError("a list that goes on beyond the file")
    return size


def _ascii_tables(body: bytes, elements: list[_Element]) -> dict[str, dict[str, Any]]:
    words = body.split()
    tables: dict[str, dict[str, Any]] = {}
    at = 0
    for element in elements:
        if element.plain_type("") is not None:
            width = len(element.properties)
            table = np.array(words[at : at + element.count * width], dtype=np.float64).reshape(element.count, width)
            tables[element.name] = {name: table[:, i] for i, (name, _, _) in enumerate(element.properties)}
            at += element.count * width
            continue
        lists: dict[str, list[np.ndarray]] = {name: [] for name, _, _ in element.properties}
        for _ in range(element.count):
            for name, _, count_kind in element.properties:
                size = 1 if count_kind is None else int(words[at])
                at += count_kind is not None
                if size < 0 or at + size > len(words):
                    raise ValueError("a list that goes on beyond the file")
                lists[name].append(np.array(words[at : at + size], dtype=np.float64)[None])
                at += size
        tables[element.name] = lists
    return tables


def _read_obj(data: bytes) -> tuple[np.ndarray, list[np.ndarray]]:
    vertices, polygons = [], []
    for line in data.decode("utf-8", "replace").splitlines():
        words = line.split()
        if words[:1] == ["v"]:
            vertices.append([float(word) for word in words[1:4]])
        elif words[:1] == ["f"]:
            numbers = [int(word.split("/")[0]) for word in words[1:]]
            polygons.append(np.array([n - 1 if n > 0 else len(vertices) + n for n in numbers])[None])
    return np.array(vertices, dtype=np.float64).reshape(-1, 3), polygons


def _fans(polygons: Iterable[np.ndarray]) -> np.ndarray:
    """Triangles [F, 3] of groups of polygons [G, corners]."""
    triangles = [np.zeros((0, 3), dtype=np.int64)]
    for group in polygons:
        corners = group.astype(np.int64)
        for last in range(2, corners.shape[1]):
            triangles.append(corners[:, [0, last - 1, last]])
    return np.concatenate(triangles)
