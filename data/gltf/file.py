"""Reads the container of a binary glTF 2.0 file (.glb): its JSON, and typed arrays out of its one binary chunk.

Every offset and count is checked against the file before anything is allocated.  External buffers, images by address,
Draco and meshopt compression are refused with a clear message.  Knows nothing of nodes or animation.
"""

from __future__ import annotations

import json
import struct
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Shaped

from recon4d.core import InputError

_MAGIC, _JSON, _BIN = 0x46546C67, 0x4E4F534A, 0x004E4942
_TYPES: dict[object, np.dtype[Any]] = {
    5120: np.dtype("<i1"),
    5121: np.dtype("<u1"),
    5122: np.dtype("<i2"),
    5123: np.dtype("<u2"),
    5125: np.dtype("<u4"),
    5126: np.dtype("<f4"),
}
_COLUMNS = {"SCALAR": 1, "VEC2": 2, "VEC3": 3, "VEC4": 4, "MAT4": 16}
_SUPPORTED = {"KHR_materials_unlit", "KHR_materials_specular", "KHR_materials_ior", "KHR_texture_transform"}
_LARGEST = 1 << 31


class GltfFile:
    """An opened .glb.

    Attributes:
        path: the file.
        json: its JSON document.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            size = path.stat().st_size
            content = path.read_bytes() if size < _LARGEST else b""
        except OSError as error:
            raise InputError(
                str(path), expected="a readable .glb file", got=error.strerror or str(error), fix="check the path"
            ) from None
        self.json, self._binary = self._split(content)
        self._check_extensions()

    def fail(self, what: str, expected: str, got: str) -> InputError:
        """The error for something wrong inside this file."""
        return InputError(f"{self.path.name}: {what}", expected=expected, got=got, fix="export the file again as .glb")

    def _split(self, content: bytes) -> tuple[dict[str, Any], memoryview]:
        if len(content) < 20 or struct.unpack_from("<II", content) != (_MAGIC, 2):
            raise self.fail("header", "a binary glTF 2.0 file", f"{len(content)} bytes beginning {content[:8]!r}")
        chunks: dict[int, memoryview] = {}
        view, position = memoryview(content), 12
        end = min(struct.unpack_from("<I", content, 8)[0], len(content))
        if struct.unpack_from("<I", content, 8)[0] > len(content):
            raise self.fail("length", f"{struct.unpack_from('<I', content, 8)[0]} bytes", f"{len(content)} (truncated)")
        while position + 8 <= end:
            length, kind = struct.unpack_from("<II", content, position)
            if position + 8 + length > end:
                raise self.fail("chunk", "a chunk inside the file", f"{length} bytes at {position} of {end}")
            chunks.setdefault(kind, view[position + 8 : position + 8 + length])
            position += 8 + length + (-length % 4)
        try:
            document = json.loads(bytes(chunks.get(_JSON, b"")))
        except (ValueError, RecursionError) as error:
            raise self.fail("JSON chunk", "JSON text", str(error)) from None
        if not isinstance(document, dict):
            raise self.fail("JSON chunk", "an object", type(document).__name__)
        return document, chunks.get(_BIN, memoryview(b""))

    def _check_extensions(self) -> None:
        required = self.json.get("extensionsRequired", [])
        unknown = sorted(set(map(str, required)) - _SUPPORTED) if isinstance(required, list) else [repr(required)]
        if unknown:
            raise self.fail("extensionsRequired", f"none but {', '.join(sorted(_SUPPORTED))}", ", ".join(unknown))

    def items(self, key: str) -> list[dict[str, Any]]:
        """A top-level list of objects, empty when absent."""
        value = self.json.get(key, [])
        if not isinstance(value, list) or not all(isinstance(item, dict) for item in value):
            raise self.fail(key, "a list of objects", type(value).__name__)
        return value

    def item(self, key: str, index: object) -> dict[str, Any]:
        """One object of a top-level list."""
        values = self.items(key)
        if isinstance(index, bool) or not isinstance(index, int) or not 0 <= index < len(values):
            raise self.fail(f"index into {key}", f"a whole number from 0 to {len(values) - 1}", repr(index))
        return values[index]

    def _number(self, holder: dict[str, Any], key: str, default: int | None = None) -> int:
        value = holder.get(key, default)
        if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value < _LARGEST:
            raise self.fail(key, "a whole number >= 0", repr(value))
        return value

    def view_bytes(self, index: object) -> memoryview:
        """The bytes of a buffer view."""
        view = self.item("bufferViews", index)
        buffer = self.item("buffers", view.get("buffer"))
        if view.get("buffer") != 0 or "uri" in buffer:
            raise self.fail("buffer", "the file's own binary chunk", str(buffer.get("uri", view.get("buffer")))[:60])
        start, length = self._number(view, "byteOffset", 0), self._number(view, "byteLength")
        if start + length > len(self._binary):
            raise self.fail(f"bufferViews[{index}]", f"bytes inside {len(self._binary)}", f"{start} + {length}")
        return self._binary[start : start + length]

    def accessor(self, index: object) -> Shaped[np.ndarray, "count columns"]:
        """An accessor's values [count, columns] in their stored type; normalised integers as float32 in [-1, 1]."""
        accessor = self.item("accessors", index)
        kind, columns = _TYPES.get(accessor.get("componentType")), _COLUMNS.get(str(accessor.get("type")))
        if kind is None or columns is None:
            got = f"{accessor.get('componentType')} {accessor.get('type')}"
            raise self.fail(f"accessors[{index}]", f"a known component type and one of {', '.join(_COLUMNS)}", got)
        count = self._number(accessor, "count")
        if "bufferView" in accessor:
            view = self.item("bufferViews", accessor["bufferView"])
            stride = self._number(view, "byteStride", 0) or kind.itemsize * columns
            offset = self._number(accessor, "byteOffset", 0)
            values = self._strided(accessor["bufferView"], index, kind, columns, count, offset, stride)
        else:
            # Zeros for a sparse accessor to fill; more of them than the file has bytes cannot be meant.
            if count * columns > max(len(self._binary), 1) * 16:
                raise self.fail(f"accessors[{index}]", "a count in proportion to the file", str(count))
            values = np.zeros((count, columns), kind)
        if "sparse" in accessor:
            self._apply_sparse(accessor["sparse"], values, index)
        if accessor.get("normalized") and kind.kind in "iu":
            return np.maximum(values.astype(np.float32) / np.iinfo(kind).max, -1.0)
        return values

    def _strided(
        self, view: object, index: object, kind: np.dtype[Any], columns: int, count: int, offset: int, stride: int
    ) -> Shaped[np.ndarray, "count columns"]:
        data = self.view_bytes(view)
        width = kind.itemsize * columns
        if count and (stride < width or offset + (count - 1) * stride + width > len(data)):
            got = f"{count} values of {width} bytes, {stride} apart, from {offset}"
            raise self.fail(f"accessors[{index}]", f"values inside {len(data)} bytes", got)
        if count == 0:
            return np.zeros((0, columns), kind)
        rows = np.ndarray((count, width), np.uint8, data, offset, (stride, 1))
        return rows.copy().view(kind).reshape(count, columns)

    def _apply_sparse(self, sparse: object, values: Shaped[np.ndarray, "count columns"], index: object) -> None:
        if not isinstance(sparse, dict):
            raise self.fail(f"accessors[{index}].sparse", "an object", type(sparse).__name__)
        count = self._number(sparse, "count")
        where, what = sparse.get("indices", {}), sparse.get("values", {})
        index_kind = _TYPES.get(where.get("componentType"))
        if index_kind is None:
            raise self.fail(f"accessors[{index}].sparse", "a known component type", repr(where.get("componentType")))
        width = values.dtype.itemsize * values.shape[1]
        offsets = self._number(where, "byteOffset", 0), self._number(what, "byteOffset", 0)
        rows = self._strided(where.get("bufferView"), index, index_kind, 1, count, offsets[0], index_kind.itemsize)
        new = self._strided(what.get("bufferView"), index, values.dtype, values.shape[1], count, offsets[1], width)
        if count and int(rows.max()) >= len(values):
            raise self.fail(f"accessors[{index}].sparse", f"indices below {len(values)}", str(int(rows.max())))
        values[rows[:, 0].astype(np.int64)] = new
