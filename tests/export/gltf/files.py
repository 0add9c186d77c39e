"""Reading the .glb files of these tests back, and asking other programs about them."""

from __future__ import annotations

import json
import struct
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from tests.export.clients import node_modules

_KINDS = {5126: "<f4", 5125: "<u4", 5123: "<u2", 5121: "u1"}
_SIZES = {"SCALAR": 1, "VEC2": 2, "VEC3": 3, "VEC4": 4, "MAT4": 16}


class Glb:
    """A .glb file: its document, and its accessors as arrays."""

    def __init__(self, path: Path) -> None:
        data = path.read_bytes()
        magic, version, length = struct.unpack_from("<III", data)
        assert (magic, version, length) == (0x46546C67, 2, len(data))
        size, kind = struct.unpack_from("<II", data, 12)
        assert kind == 0x4E4F534A
        self.document: dict[str, Any] = json.loads(data[20 : 20 + size])
        self._binary = data[20 + size + 8 :]

    def array(self, index: int) -> np.ndarray:
        accessor = self.document["accessors"][index]
        view = self.document["bufferViews"][accessor["bufferView"]]
        width = _SIZES[accessor["type"]]
        flat = np.frombuffer(
            self._binary, _KINDS[accessor["componentType"]], accessor["count"] * width, view["byteOffset"]
        )
        return flat.reshape(-1, width)

    def node(self, name: str) -> int:
        return next(i for i, node in enumerate(self.document["nodes"]) if node.get("name") == name)


def positions_in_three(path: Path, times: Sequence[float]) -> dict[float, dict[int, np.ndarray]]:
    """World positions [V, 3] that three.js has for every mesh node at times of the first clip."""
    script = Path(__file__).parents[2] / "synthetic" / "three_positions.mjs"
    command = ["node", str(script), str(node_modules("three")), str(path), "0", *map(repr, times)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    told = json.loads(done.stdout)
    return {
        time: {int(key.split("/")[0]): np.reshape(flat, (-1, 3)) for key, flat in told[repr(time)].items()}
        for time in times
    }
