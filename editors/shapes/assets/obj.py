"""Triangles and vertex colours of Wavefront OBJ files; groups, materials and texture coordinates are left out."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import numpy as np
from jaxtyping import Float64, Int64

from recon4d.editors.shapes.assets.ply_table import read_capped, wrong

_MAX_CORNERS = 256


def read_obj(
    path: Path,
) -> tuple[Float64[np.ndarray, "v 3"], Int64[np.ndarray, "f 3"], Float64[np.ndarray, "v 3"] | None]:
    """Vertices, triangles (polygons cut into fans), and display colours in [0, 1] where every vertex line has them.

    Raises:
        InputError: the file is missing, damaged, or names vertices that it does not have.
    """
    vertices: list[list[float]] = []
    triangles: list[tuple[int, int, int]] = []
    for number, line in enumerate(read_capped(path).decode("utf-8", "replace").splitlines(), 1):
        words = line.split()
        try:
            if words[:1] == ["v"]:
                vertices.append([float(word) for word in words[1:7]])
                if len(vertices[-1]) < 3:
                    raise ValueError("fewer than 3 coordinates")
            elif words[:1] == ["f"]:
                corners = [_index(word, len(vertices)) for word in words[1:]]
                if not 3 <= len(corners) <= _MAX_CORNERS:
                    raise ValueError(f"{len(corners)} corners")
                triangles += [(corners[0], b, c) for b, c in pairwise(corners[1:])]
        except ValueError as error:
            raise wrong(path, f"line {number}", "numbers", str(error)) from None
    colored = bool(vertices) and all(len(v) == 6 for v in vertices)
    table = np.array([v if colored else v[:3] for v in vertices], np.float64).reshape(len(vertices), -1)
    faces = np.array(triangles, np.int64).reshape(-1, 3)
    if len(faces) and (faces.min() < 0 or faces.max() >= len(vertices)):
        raise wrong(path, "faces", f"vertices 1 to {len(vertices)}", str(faces.max() + 1))
    if not np.isfinite(table).all():
        raise wrong(path, "vertices", "finite numbers", "NaN or infinity")
    return table[:, :3].reshape(-1, 3), faces, np.clip(table[:, 3:], 0, 1) if colored else None


def _index(word: str, count: int) -> int:
    number = int(word.split("/")[0])
    return number - 1 if number > 0 else count + number
