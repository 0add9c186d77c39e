"""The binary glTF container: arrays and images go in, one file comes out.

glTF 2.0, section "GLB File Format Specification".  Does NOT know meshes, bones or animation.
"""

from __future__ import annotations

import json
import struct
from typing import Any

import numpy as np

_MAGIC, _VERSION, _JSON, _BIN = 0x46546C67, 2, 0x4E4F534A, 0x004E4942
_COMPONENTS = {"float32": 5126, "uint32": 5125, "uint16": 5123, "uint8": 5121}
_TYPES = {1: "SCALAR", 2: "VEC2", 3: "VEC3", 4: "VEC4", 16: "MAT4"}
VERTICES, INDICES = 34962, 34963  # buffer view targets


class GlbBuilder:
    """Collects what a .glb consists of; the document's lists are filled by whoever knows what belongs in them.

    Attributes:
        document: the JSON so far; add to its lists, and take the index of what was added.
    """

    def __init__(self) -> None:
        self.document: dict[str, Any] = {"asset": {"version": "2.0", "generator": "recon4d"}}
        self._binary = bytearray()

    def add(self, kind: str, value: dict[str, Any]) -> int:
        """Append to one of the document's lists ("nodes", "meshes", ...) and return the index."""
        entries: list[Any] = self.document.setdefault(kind, [])
        entries.append(value)
        return len(entries) - 1

    def array(
        self, values: np.ndarray, *, target: int | None = None, bounds: bool = False, normalized: bool = False
    ) -> int:
        """Add an accessor.

        Args:
            values: [N] or [N, C], C of 1, 2, 3, 4 or 16, of float32, uint32, uint16 or uint8.  Rows of vertices are to
                be a multiple of four bytes long.
            target: `VERTICES` or `INDICES` for what a mesh uses.
            bounds: store the least and the greatest value, as positions and animation times need it.
            normalized: whole numbers stand for fractions.

        Returns:
            index of the accessor.
        """
        rows = np.ascontiguousarray(values).reshape(len(values), -1)
        accessor: dict[str, Any] = {
            "bufferView": self.view(rows.tobytes(), target=target),
            "componentType": _COMPONENTS[str(rows.dtype)],
            "count": len(rows),
            "type": _TYPES[rows.shape[1]],
        }
        if normalized:
            accessor["normalized"] = True
        if bounds:
            # float32 written with all its digits, because validators compare.
            accessor["min"] = rows.min(0).astype(np.float64).tolist()
            accessor["max"] = rows.max(0).astype(np.float64).tolist()
        return self.add("accessors", accessor)

    def view(self, content: bytes, *, target: int | None = None) -> int:
        """Add a buffer view of some bytes."""
        view: dict[str, Any] = {"buffer": 0, "byteOffset": len(self._binary), "byteLength": len(content)}
        if target is not None:
            view["target"] = target
        self._binary += content + b"\0" * (-len(content) % 4)
        return self.add("bufferViews", view)

    def bytes(self) -> bytes:
        """The file.  The same calls give the same bytes."""
        document = dict(self.document)
        if self._binary:
            document["buffers"] = [{"byteLength": len(self._binary)}]
        text = json.dumps(document, separators=(",", ":"), allow_nan=False).encode()
        text += b" " * (-len(text) % 4)
        chunks = struct.pack("<II", len(text), _JSON) + text
        if self._binary:
            chunks += struct.pack("<II", len(self._binary), _BIN) + self._binary
        return struct.pack("<III", _MAGIC, _VERSION, 12 + len(chunks)) + chunks
