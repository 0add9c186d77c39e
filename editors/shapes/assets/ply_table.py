"""The tables of a PLY file: any elements, ASCII or binary, lists of up to four corners for faces.

Counts are checked against the size of the file before anything is allocated, and nothing is read by half.  Does NOT
know what the columns mean.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float64, Int64, Shaped

from recon4d.core import InputError

MAX_BYTES = 1 << 31
_MAX_HEADER = 1 << 16
_TYPES = {
    "char": "i1", "uchar": "u1", "short": "i2", "ushort": "u2", "int": "i4", "uint": "u4", "float": "f4",
    "int8": "i1", "uint8": "u1", "int16": "i2", "uint16": "u2", "int32": "i4", "uint32": "u4", "float32": "f4",
    "double": "f8", "float64": "f8",
}  # fmt: skip
_ORDERS = {"ascii": "", "binary_little_endian": "<", "binary_big_endian": ">"}


@dataclass(frozen=True, eq=False)
class PlyTables:
    """A PLY file in memory.

    Attributes:
        path: the file.
        comments: the header's comments.
        columns: for each element, its scalar properties by name.
        kinds: for each element, numpy's names of their types.
        faces: [F, 3] triangles of the element `face`, polygons cut into fans; None when the file has no such element.
    """

    path: Path
    comments: tuple[str, ...]
    columns: dict[str, dict[str, Shaped[np.ndarray, " n"]]]
    kinds: dict[str, dict[str, str]]
    faces: Int64[np.ndarray, "f 3"] | None

    def stack(self, element: str, names: tuple[str, ...]) -> Float64[np.ndarray, "n c"]:
        """Columns side by side as float64.

        Raises:
            InputError: one is missing, or a value is not finite.
        """
        table = self.columns.get(element, {})
        missing = [name for name in names if name not in table]
        if missing:
            raise self.fail(f"element {element}", f"properties {', '.join(names)}", f"none called {', '.join(missing)}")
        values = np.stack([table[name].astype(np.float64) for name in names], -1)
        if not np.isfinite(values).all():
            raise self.fail(f"element {element}: {', '.join(names)}", "finite numbers", "NaN or infinity")
        return values

    def fail(self, what: str, expected: str, got: str) -> InputError:
        """The error for something wrong inside this file."""
        return wrong(self.path, what, expected, got)


def wrong(path: Path, what: str, expected: str, got: str) -> InputError:
    """The error for something wrong inside a file."""
    return InputError(f"{path.name}: {what}", expected=expected, got=got[:120], fix="export the file again")


@dataclass
class _Element:
    name: str
    count: int
    scalars: list[tuple[str, str]] = field(default_factory=list)
    lists: list[tuple[str, str, str]] = field(default_factory=list)


def read_ply(path: Path) -> PlyTables:
    """Read all scalar columns, and the faces.

    Raises:
        InputError: a file that is missing, no PLY, too large, damaged, or with counts that it does not hold.
    """
    content = read_capped(path)
    end = content[:_MAX_HEADER].find(b"end_header")
    body = content.find(b"\n", end) + 1
    if not content.startswith(b"ply") or end < 0 or body == 0:
        raise wrong(path, "header", "a PLY file", f"{len(content)} bytes beginning {content[:12]!r}")
    order, comments, elements = _parse_header(path, content[:end].decode("ascii", "replace").splitlines())
    columns: dict[str, dict[str, Any]] = {}
    faces: Int64[np.ndarray, "f 3"] | None = None
    reader = _Words(path, content[body:]) if order == "" else _Bytes(path, memoryview(content)[body:], order)
    for element in elements:
        if element.lists:
            corners = reader.polygons(element)
            if element.name == "face":
                faces = corners
        else:
            columns[element.name] = reader.rows(element)
    kinds = {e.name: dict(e.scalars) for e in elements}
    return PlyTables(path, comments, columns, kinds, faces)


def read_capped(path: Path) -> bytes:
    """The bytes of a file of a sane size.

    Raises:
        InputError: it cannot be read or is larger than 2 GiB.
    """
    try:
        size = path.stat().st_size
        content = path.read_bytes() if size <= MAX_BYTES else None
    except OSError as error:
        raise InputError(
            str(path), expected="a readable file", got=error.strerror or str(error), fix="check the path"
        ) from None
    if content is None:
        raise wrong(path, "size", f"at most {MAX_BYTES} bytes", str(size))
    return content


def _parse_header(path: Path, lines: list[str]) -> tuple[str, tuple[str, ...], list[_Element]]:
    order: str | None = None
    comments: list[str] = []
    elements: list[_Element] = []
    for line in lines[1:]:
        match line.split():
            case ["format", name, "1.0"] if name in _ORDERS:
                order = _ORDERS[name]
            case ["comment" | "obj_info", *words]:
                comments.append(" ".join(words))
            case ["element", name, count] if count.isascii() and count.isdecimal() and len(count) < 12:
                if any(element.name == name for element in elements):
                    raise wrong(path, "header", "every element once", line)
                elements.append(_Element(name, int(count)))
            case ["property", "list", count_kind, kind, name] if (
                elements and count_kind in _TYPES and kind in _TYPES and _TYPES[count_kind][0] in "iu"
            ):
                elements[-1].lists.append((name, _TYPES[count_kind], _TYPES[kind]))
            case ["property", kind, name] if elements and kind in _TYPES:
                if name in dict(elements[-1].scalars):
                    raise wrong(path, "header", "every property once", line)
                elements[-1].scalars.append((name, _TYPES[kind]))
            case []:
                continue
            case _:
                raise wrong(path, "header", "format, comment, element and property lines", repr(line))
    if order is None or not elements:
        raise wrong(path, "header", "a format of version 1.0 and an element", "neither or one of them")
    for element in elements:
        if element.lists and (element.scalars or len(element.lists) > 1) and element.name != "face":
            raise wrong(path, f"element {element.name}", "no lists", element.lists[0][0])
    return order, tuple(comments), elements


def _fan(path: Path, corners: Shaped[np.ndarray, "g c"]) -> Int64[np.ndarray, "f 3"]:
    """Triangles of polygons with the same number of corners."""
    whole = corners.astype(np.int64)
    if corners.shape[1] < 3:
        raise wrong(path, "element face", "at least 3 corners", str(corners.shape[1]))
    parts = [whole[:, [0, i - 1, i]] for i in range(2, corners.shape[1])]
    return np.stack(parts, 1).reshape(-1, 3)


class _Bytes:
    """Walks over the rows of a binary body."""

    def __init__(self, path: Path, body: memoryview, order: str) -> None:
        self.path, self.body, self.order, self.at = path, body, order, 0

    def _table(self, element: _Element, kind: np.dtype[Any]) -> Shaped[np.ndarray, " n"]:
        left = len(self.body) - self.at
        if element.count * kind.itemsize > left:
            got = f"{element.count} rows of {kind.itemsize} bytes in {left} bytes"
            raise wrong(self.path, f"element {element.name}", "rows that the file holds", got)
        table = np.frombuffer(self.body, kind, element.count, self.at)
        self.at += element.count * kind.itemsize
        return table

    def rows(self, element: _Element) -> dict[str, Shaped[np.ndarray, " n"]]:
        if not element.scalars:
            return {}
        table = self._table(element, np.dtype([(name, self.order + kind) for name, kind in element.scalars]))
        return {name: table[name] for name, _ in element.scalars}

    def polygons(self, element: _Element) -> Int64[np.ndarray, "f 3"]:
        if element.scalars or len(element.lists) != 1:
            raise wrong(self.path, "element face", "one list of corners and nothing else", str(element.lists))
        (_, count_kind, kind) = element.lists[0]
        if element.count == 0:
            return np.zeros((0, 3), np.int64)
        before, found = self.at, []
        corners = np.dtype(self.order + kind)
        length = np.dtype(self.order + count_kind)
        if element.count * (length.itemsize + 3 * corners.itemsize) > len(self.body) - self.at:
            raise wrong(self.path, "element face", "faces that the file holds", str(element.count))
        # Nearly always all polygons have the same number of corners, and read as one table.
        number = int(np.frombuffer(self.body, length, 1, before)[0])
        if 3 <= number <= 4:
            row = np.dtype([("count", length), ("corners", corners, (number,))])
            if element.count * row.itemsize <= len(self.body) - before:
                table = np.frombuffer(self.body, row, element.count, before)
                if bool((table["count"] == number).all()):
                    self.at += element.count * row.itemsize
                    return _fan(self.path, table["corners"])
        for _ in range(element.count):
            if self.at + length.itemsize > len(self.body):
                raise wrong(self.path, "element face", "a whole file", "its end within the faces")
            number = int(np.frombuffer(self.body, length, 1, self.at)[0])
            self.at += length.itemsize
            if not 3 <= number <= 256 or self.at + number * corners.itemsize > len(self.body):
                raise wrong(self.path, "element face", "3 to 256 corners inside the file", str(number))
            found.append(_fan(self.path, np.frombuffer(self.body, corners, number, self.at)[None]))
            self.at += number * corners.itemsize
        return np.concatenate(found)


class _Words:
    """Walks over the numbers of an ASCII body."""

    def __init__(self, path: Path, body: bytes) -> None:
        self.path, self.words, self.at = path, body.split(), 0

    def _take(self, element: _Element, count: int) -> list[bytes]:
        if count > len(self.words) - self.at:
            got = f"{len(self.words) - self.at} numbers left, {count} needed"
            raise wrong(self.path, f"element {element.name}", "rows that the file holds", got)
        self.at += count
        return self.words[self.at - count : self.at]

    def rows(self, element: _Element) -> dict[str, Shaped[np.ndarray, " n"]]:
        width = len(element.scalars)
        words = self._take(element, element.count * width)
        try:
            table = np.array(words, dtype="S").astype(np.float64).reshape(element.count, width)
        except ValueError as error:
            raise wrong(self.path, f"element {element.name}", "numbers", str(error)) from None
        return {name: table[:, i] for i, (name, _) in enumerate(element.scalars)}

    def polygons(self, element: _Element) -> Int64[np.ndarray, "f 3"]:
        if element.scalars or len(element.lists) != 1:
            raise wrong(self.path, "element face", "one list of corners and nothing else", str(element.lists))
        if element.count > len(self.words) - self.at:
            raise wrong(self.path, "element face", "faces that the file holds", str(element.count))
        found = [np.zeros((0, 3), np.int64)]
        for _ in range(element.count):
            try:
                number = int(self._take(element, 1)[0])
                if not 3 <= number <= 256:
                    raise ValueError(f"a face of {number} corners")
                found.append(_fan(self.path, np.array([[int(w) for w in self._take(element, number)]])))
            except (ValueError, OverflowError) as error:
                if isinstance(error, InputError):
                    raise
                raise wrong(self.path, "element face", "3 to 256 whole numbers", str(error)) from None
        return np.concatenate(found)
