"""Writes triangle meshes as binary little-endian PLY: positions, normals, colours, texture coordinates, faces.

Does not read.  Texture coordinates are the properties `s` and `t`, origin at the lower left as most programs expect.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from jaxtyping import Float, Int

from recon4d.data.files import write_bytes


def write_ply(
    path: Path,
    vertices: Float[np.ndarray, "v 3"],
    faces: Int[np.ndarray, "f 3"],
    *,
    normals: Float[np.ndarray, "v 3"],
    colors: Float[np.ndarray, "v 3"],
    uv: Float[np.ndarray, "v 2"] | None = None,
) -> None:
    """Write one mesh atomically; the same mesh gives the same bytes.

    Args:
        path: target, ending in .ply.
        vertices: [V, 3] scene units, stored as float32.
        faces: [F, 3] vertex indices.
        normals: [V, 3] unit normals.
        colors: [V, 3] display sRGB in [0, 1], stored as 8 bits.
        uv: [V, 2] with the origin at the top left (as images have it), or None.
    """
    columns: list[tuple[str, str]] = [(name, "<f4") for name in ("x", "y", "z", "nx", "ny", "nz")]
    columns += [(name, "u1") for name in ("red", "green", "blue")]
    columns += [(name, "<f4") for name in ("s", "t")] if uv is not None else []
    table = np.empty(len(vertices), np.dtype(columns))
    for i, (axis, color) in enumerate(zip("xyz", ("red", "green", "blue"), strict=True)):
        table[axis] = vertices[:, i]
        table["n" + axis] = normals[:, i]
        table[color] = np.round(np.clip(colors[:, i], 0, 1) * 255)
    if uv is not None:
        table["s"], table["t"] = uv[:, 0], 1 - uv[:, 1]
    rows = np.empty(len(faces), np.dtype([("count", "u1"), ("corners", "<i4", 3)]))
    rows["count"], rows["corners"] = 3, faces
    kinds = {"<f4": "float", "u1": "uchar"}
    header = ["ply", "format binary_little_endian 1.0", f"element vertex {len(vertices)}"]
    header += [f"property {kinds[kind]} {name}" for name, kind in columns]
    header += [f"element face {len(faces)}", "property list uchar int vertex_indices", "end_header", ""]
    write_bytes(path, "\n".join(header).encode() + table.tobytes() + rows.tobytes())
