"""Splats as a binary glTF file with the extension KHR_gaussian_splatting (a release candidate, 2026).

One primitive of points.  Scales are linear, opacities plain, quaternions xyzw, colours display sRGB, as the extension
wants them; COLOR_0 shows plain coloured points to programs that do not know it.  The kernel "ellipse" is a solid one,
so surfels are ellipsoids with a thin third axis.  glTF is y up: the splats themselves are turned, not a node, because
viewers differ in whether a node turns colours too.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np

from recon4d.core.srgb import linear_from_display
from recon4d.data.files import write_bytes
from recon4d.export.gltf.container import VERTICES, GlbBuilder
from recon4d.export.splats.ply import scales_of
from recon4d.export.splats.state import Splats

NAME = "KHR_gaussian_splatting"
_POINTS = 0


def write_splat_glb(path: Path, splats: Splats, *, name: str = "splats", extras: dict[str, Any] | None = None) -> None:
    """Write one file atomically; the same splats give the same bytes.

    Args:
        path: target, ending in .glb.
        splats: what to write, already in glTF's axes and units (y up, metres where known).
        name: of the node and the mesh.
        extras: free JSON values for the asset.
    """
    glb = GlbBuilder()
    primitive = {
        "attributes": {
            label: glb.array(values, target=VERTICES, bounds=label == "POSITION", normalized=values.dtype == np.uint8)
            for label, values in _attributes(splats).items()
        },
        "mode": _POINTS,
        "extensions": {
            NAME: {
                "kernel": "ellipse",
                "colorSpace": "srgb_rec709_display",
                "sortingMethod": "cameraDistance",
                "projection": "perspective",
            }
        },
    }
    mesh = glb.add("meshes", {"name": name, "primitives": [primitive]})
    node = glb.add("nodes", {"name": name, "mesh": mesh})
    glb.document |= {"extensionsUsed": [NAME], "scene": 0, "scenes": [{"nodes": [node]}]}
    if extras:
        glb.document["asset"]["extras"] = extras
    write_bytes(path, glb.bytes())


def _attributes(splats: Splats) -> dict[str, np.ndarray]:
    """Every attribute's values [N, columns] by name; all of them multiples of 4 bytes long."""
    x, y, z = 1, 2, 3
    base = (0.5 + splats.sh[:, 0] * math.sqrt(1 / math.pi) / 2).clip(0, 1)
    colors = np.concatenate([linear_from_display(base), splats.opacities[:, None]], 1)
    attributes = {
        "POSITION": splats.centers,
        "COLOR_0": np.rint(colors * 255).astype(np.uint8),
        f"{NAME}:ROTATION": splats.rotations_wxyz[:, [x, y, z, 0]],
        f"{NAME}:SCALE": scales_of(splats),
        f"{NAME}:OPACITY": splats.opacities[:, None],
    }
    band = 0
    while band * band < splats.sh.shape[1]:
        for i in range(2 * band + 1):
            attributes[f"{NAME}:SH_DEGREE_{band}_COEF_{i}"] = splats.sh[:, band * band + i]
        band += 1
    for label, values in attributes.items():
        attributes[label] = np.ascontiguousarray(values, np.uint8 if values.dtype == np.uint8 else np.float32)
    return attributes
