"""Splats as a binary glTF file with the extension KHR_gaussian_splatting (a release candidate, 2026).

One primitive of points.  Scales are linear, opacities plain, quaternions xyzw, colours display sRGB, as the extension
wants them; COLOR_0 shows plain coloured points to programs that do not know it.  The kernel "ellipse" is a solid one,
so surfels are ellipsoids with a thin third axis.  glTF is y up: the splats themselves are turned, not a node, because
viewers differ in whether a node turns colours too.
"""

from __future__ import annotations

import json
import math
import struct
from pathlib import Path
from typing import Any

import numpy as np

from recon4d.core.srgb import linear_from_display
from recon4d.data.files import write_bytes
from recon4d.export.splats.ply import scales_of
from recon4d.export.splats.state import Splats

NAME = "KHR_gaussian_splatting"
_FLOAT, _BYTE, _ARRAY_BUFFER, _POINTS = 5126, 5121, 34962, 0
_KINDS = {1: "SCALAR", 3: "VEC3", 4: "VEC4"}


def write_splat_glb(path: Path, splats: Splats, *, name: str = "splats", extras: dict[str, Any] | None = None) -> None:
    """Write one file atomically; the same splats give the same bytes.

    Args:
        path: target, ending in .glb.
        splats: what to write, already in glTF's axes (y up).
        name: of the node and the mesh.
        extras: free JSON values for the asset.
    """
    attributes = _attributes(splats)
    views, accessors, chunks, offset = [], [], [], 0
    for label, values in attributes.items():
        chunk = values.tobytes()
        views.append({"buffer": 0, "byteOffset": offset, "byteLength": len(chunk), "target": _ARRAY_BUFFER})
        accessor: dict[str, Any] = {
            "bufferView": len(views) - 1,
            "componentType": _BYTE if values.dtype == np.uint8 else _FLOAT,
            "count": len(values),
            "type": _KINDS[values.shape[1]],
        }
        if values.dtype == np.uint8:
            accessor["normalized"] = True
        if label == "POSITION":
            accessor |= {"min": values.min(0).tolist(), "max": values.max(0).tolist()}
        accessors.append(accessor)
        chunks.append(chunk)
        offset += len(chunk)
    primitive = {
        "attributes": {label: i for i, label in enumerate(attributes)},
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
    document = {
        "asset": {"version": "2.0", "generator": "recon4d", **({"extras": extras} if extras else {})},
        "extensionsUsed": [NAME],
        "scene": 0,
        "scenes": [{"nodes": [0]}],
        "nodes": [{"mesh": 0, "name": name}],
        "meshes": [{"name": name, "primitives": [primitive]}],
        "accessors": accessors,
        "bufferViews": views,
        "buffers": [{"byteLength": offset}],
    }
    write_bytes(path, _container(document, b"".join(chunks)))


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
        attributes[label] = np.ascontiguousarray(values, np.uint8 if values.dtype == np.uint8 else np.dtype("<f4"))
    return attributes


def _container(document: dict[str, Any], binary: bytes) -> bytes:
    text = json.dumps(document, separators=(",", ":"), allow_nan=False).encode()
    text += b" " * (-len(text) % 4)
    binary += b"\0" * (-len(binary) % 4)
    total = 12 + 8 + len(text) + 8 + len(binary)
    head = struct.pack("<III", 0x46546C67, 2, total) + struct.pack("<II", len(text), 0x4E4F534A)
    return head + text + struct.pack("<II", len(binary), 0x004E4942) + binary
