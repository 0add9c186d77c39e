"""Helpers of these tests: an independent z-buffer, a reader for our PLY files, and a builder of small .glb files."""

from __future__ import annotations

import json
import struct
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest


@dataclass
class Raster:
    """What a z-buffer sees at sample points: faces (-1 for none), barycentric coordinates and camera-frame depth."""

    face: np.ndarray
    barycentric: np.ndarray
    depth: np.ndarray


def rasterize_triangles(
    vertices: np.ndarray,
    faces: np.ndarray,
    k: np.ndarray,
    cam_from_world: np.ndarray,
    width: int,
    height: int,
    side: int,
) -> Raster:
    """Plain z-buffer at side x side points of every pixel, by projecting triangles: shares nothing with ray casting."""
    in_cam = vertices @ cam_from_world[:3, :3].T + cam_from_world[:3, 3]
    xy = in_cam[:, :2] / in_cam[:, 2:] * [k[0, 0], k[1, 1]] + k[:2, 2]
    w, h = width * side, height * side
    # Sample (i, j) lies at ((i + 0.5) / side, (j + 0.5) / side) pixels.
    grid = xy * side - 0.5
    out = Raster(np.full((h, w), -1), np.zeros((h, w, 3)), np.full((h, w), np.inf))
    inverse_z = 1 / in_cam[:, 2]
    for index, (a, b, c) in enumerate(faces):
        p = grid[[a, b, c]]
        low = np.maximum(np.ceil(p.min(0)), 0).astype(int)
        high = np.minimum(np.floor(p.max(0)), [w - 1, h - 1]).astype(int)
        area = (p[1, 0] - p[0, 0]) * (p[2, 1] - p[0, 1]) - (p[1, 1] - p[0, 1]) * (p[2, 0] - p[0, 0])
        if (high < low).any() or abs(area) < 1e-12:
            continue
        x = np.arange(low[0], high[0] + 1)[None, :]
        y = np.arange(low[1], high[1] + 1)[:, None]
        e0 = ((p[2, 0] - p[1, 0]) * (y - p[1, 1]) - (p[2, 1] - p[1, 1]) * (x - p[1, 0])) / area
        e1 = ((p[0, 0] - p[2, 0]) * (y - p[2, 1]) - (p[0, 1] - p[2, 1]) * (x - p[2, 0])) / area
        e2 = 1 - e0 - e1
        inside = (e0 >= 0) & (e1 >= 0) & (e2 >= 0)
        weights = np.stack([e0 * inverse_z[a], e1 * inverse_z[b], e2 * inverse_z[c]], -1)
        z = 1 / np.where(inside, weights.sum(-1), 1.0)
        window = (slice(low[1], high[1] + 1), slice(low[0], high[0] + 1))
        nearer = inside & (z < out.depth[window])
        out.depth[window][nearer] = z[nearer]
        out.face[window][nearer] = index
        out.barycentric[window][nearer] = (weights * z[..., None])[nearer]
    return out


def read_ply(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """The vertex table (with named columns) and the faces [F, 3] of one of our own PLY files."""
    content = path.read_bytes()
    end = content.index(b"end_header\n") + len(b"end_header\n")
    lines = content[:end].decode().splitlines()
    counts = [int(line.split()[2]) for line in lines if line.startswith("element")]
    kinds = {"float": "<f4", "uchar": "u1"}
    columns = [
        (line.split()[2], kinds[line.split()[1]])
        for line in lines
        if line.startswith(("property float", "property uchar"))
    ]
    table = np.frombuffer(content, np.dtype(columns), counts[0], end)
    rows = np.frombuffer(content, np.dtype([("n", "u1"), ("v", "<i4", 3)]), counts[1], end + table.nbytes)
    assert end + table.nbytes + rows.nbytes == len(content)
    assert (rows["n"] == 3).all()
    return table, rows["v"].astype(int)


def build_glb(document: dict[str, Any], arrays: list[np.ndarray]) -> bytes:
    """A .glb whose accessor i is `arrays[i]`, each in a buffer view of its own."""
    binary, views, accessors = b"", [], []
    names = {1: "SCALAR", 2: "VEC2", 3: "VEC3", 4: "VEC4", 16: "MAT4"}
    kinds = {"f": 5126, "H": 5123, "B": 5121, "h": 5122, "I": 5125}
    for array in arrays:
        data = np.ascontiguousarray(array).reshape(len(array), -1)
        views.append({"buffer": 0, "byteOffset": len(binary), "byteLength": data.nbytes})
        accessors.append(
            {
                "bufferView": len(views) - 1,
                "componentType": kinds[data.dtype.char],
                "count": len(data),
                "type": names[data.shape[1]],
            }
        )
        binary += data.tobytes() + b"\0" * (-data.nbytes % 4)
    document = {"asset": {"version": "2.0"}, **document, "buffers": [{"byteLength": len(binary)}], "bufferViews": views}
    document["accessors"] = [
        a | e for a, e in zip(accessors, document.pop("accessor_extras", [{}] * len(accessors)), strict=True)
    ]
    text = json.dumps(document).encode()
    text += b" " * (-len(text) % 4)
    total = 12 + 8 + len(text) + 8 + len(binary)
    return b"".join(
        [struct.pack("<III", 0x46546C67, 2, total), struct.pack("<II", len(text), 0x4E4F534A), text,
         struct.pack("<II", len(binary), 0x004E4942), binary]
    )  # fmt: skip


def _moving_asset() -> bytes:
    """A skinned square and a morphing triangle: STEP, LINEAR and CUBICSPLINE on every kind of path."""
    generator = np.random.default_rng(3)
    f4 = np.float32
    quad = np.array([[0, 0, 0], [1, 0, 0], [1, 2, 0], [0, 2, 0]], f4)
    faces = np.array([0, 1, 2, 0, 2, 3], np.uint16)
    joints = np.array([[0, 1, 0, 0]] * 4, np.uint8)
    weights = np.array([[1, 0, 0, 0], [0.75, 0.25, 0, 0], [0.1, 0.9, 0, 0], [0, 1, 0, 0]], f4)
    inverse = np.stack([np.eye(4, dtype=f4), np.eye(4, dtype=f4)])
    inverse[1, 3, 1] = -1.0  # column-major: the second joint was bound one unit up
    triangle = np.array([[0, 0, 0], [1, 0, 0], [0, 1, 0]], f4)
    shifts = generator.normal(size=(2, 3, 3)).astype(f4)
    times = np.array([0.0, 0.5, 1.5], f4)
    turns = generator.normal(size=(3, 4)).astype(f4)
    turns /= np.linalg.norm(turns, axis=-1, keepdims=True)
    cubic_turns = generator.normal(size=(9, 4)).astype(f4)
    cubic_turns[1::3] = turns
    cubic_shifts = generator.normal(size=(9, 3)).astype(f4)
    scales = (1 + 0.3 * generator.random((3, 3))).astype(f4)
    morphing = generator.random((3, 2)).astype(f4).reshape(6, 1)
    arrays = [quad, faces, joints, weights, inverse, triangle, shifts[0], shifts[1], times, turns, cubic_turns,
              cubic_shifts, scales, morphing]  # fmt: skip
    document = {
        "scene": 0,
        "scenes": [{"nodes": [0, 3, 4]}],
        "nodes": [
            {"name": "hip", "children": [1], "translation": [0.3, 0, 0], "scale": [1.2, 1, 0.8]},
            {"name": "knee", "translation": [0, 1, 0], "children": [2]},
            {"name": "stick", "mesh": 1, "matrix": [0, 1, 0, 0, -1, 0, 0, 0, 0, 0, 1, 0, 0.5, 0.2, 0.1, 1]},
            {"name": "skin", "mesh": 0, "skin": 0},
            {"name": "free", "mesh": 1, "translation": [3, 0, 0], "weights": [0.25, 0.5]},
        ],
        "meshes": [
            {"primitives": [{"attributes": {"POSITION": 0, "JOINTS_0": 2, "WEIGHTS_0": 3}, "indices": 1}]},
            {
                "primitives": [{"attributes": {"POSITION": 5}, "targets": [{"POSITION": 6}, {"POSITION": 7}]}],
                "weights": [0, 1],
            },
        ],
        "skins": [{"joints": [0, 1], "inverseBindMatrices": 4}],
        "animations": [
            {
                "name": "all",
                "samplers": [
                    {"input": 8, "output": 9, "interpolation": "LINEAR"},
                    {"input": 8, "output": 10, "interpolation": "CUBICSPLINE"},
                    {"input": 8, "output": 11, "interpolation": "CUBICSPLINE"},
                    {"input": 8, "output": 12, "interpolation": "STEP"},
                    {"input": 8, "output": 13, "interpolation": "LINEAR"},
                ],
                "channels": [
                    {"sampler": 0, "target": {"node": 0, "path": "rotation"}},
                    {"sampler": 1, "target": {"node": 1, "path": "rotation"}},
                    {"sampler": 2, "target": {"node": 0, "path": "translation"}},
                    {"sampler": 3, "target": {"node": 1, "path": "scale"}},
                    {"sampler": 4, "target": {"node": 4, "path": "weights"}},
                ],
            },
            {"name": "still", "samplers": [], "channels": []},
        ],
    }
    return build_glb(document, arrays)


@pytest.fixture(scope="session")
def moving_glb(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small .glb that uses every kind of sampler, a skin, morph targets, and nodes with matrices."""
    path = tmp_path_factory.mktemp("glb") / "moving.glb"
    path.write_bytes(_moving_asset())
    return path


@pytest.fixture(scope="session")
def zbuffer() -> Callable[..., Raster]:
    """`rasterize_triangles`."""
    return rasterize_triangles


@pytest.fixture(scope="session")
def ply_reader() -> Callable[[Path], tuple[np.ndarray, np.ndarray]]:
    """`read_ply`."""
    return read_ply


@pytest.fixture(scope="session")
def glb_builder() -> Callable[[dict[str, Any], list[np.ndarray]], bytes]:
    """`build_glb`."""
    return build_glb
