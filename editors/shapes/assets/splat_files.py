"""Gaussian splats in other files than PLY, as surfels: glTF with KHR_gaussian_splatting, .splat, and what the program
splat-transform unpacks (.spz, .sog), where it is installed.

Counts are checked against the file before anything is allocated.  Turns no axes: what the file calls x stays x.
"""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Float64
from torch import Tensor

from recon4d.core import InputError, Similarity, Surfels, quaternion
from recon4d.core.spherical_harmonics import coefficients_from_color
from recon4d.data.gltf import GltfFile
from recon4d.data.gltf.nodes import NodeTree
from recon4d.editors.shapes.assets.ply_table import PlyTables, read_ply, wrong
from recon4d.editors.shapes.assets.splats import flattened
from recon4d.editors.shapes.placing import place
from recon4d.field import Field, IdentityWarp
from recon4d.scene import merge_surfels

EXTENSION = "KHR_gaussian_splatting"
PROGRAM = "splat-transform"
_POINTS = 0
_DEGREES = 4
_SECONDS = 600
_EVEN = 1e-4  # share by which a node's scales may differ
_ROW = np.dtype([("place", "<f4", 3), ("scale", "<f4", 3), ("color", "u1", 4), ("turn", "u1", 4)])


def surfels_of_splat(path: Path, content: bytes) -> Surfels:
    """The splats of a .splat file: 32 bytes each, colours without what depends on the view.

    Raises:
        InputError: another size, or turns that are none.
    """
    if not content or len(content) % _ROW.itemsize:
        raise wrong(path, "size", f"{_ROW.itemsize} bytes for every splat", f"{len(content)} bytes")
    rows = np.frombuffer(content, _ROW)
    turns = _tensor(rows["turn"].astype(np.float32) - 128)
    if not bool((turns.norm(dim=-1) > 0).all()):
        raise wrong(path, "rotations", "quaternions", "zeros")
    rotations, scales = flattened(quaternion.normalize(turns), _tensor(np.abs(rows["scale"])))
    colors = _tensor(rows["color"].astype(np.float32) / 255)
    return Surfels(_tensor(rows["place"]), rotations, scales, colors[:, 3], coefficients_from_color(colors[:, :3]))


def has_splats(file: GltfFile) -> bool:
    """Whether a glTF file has splats in it."""
    return bool(_primitives(file))


def surfels_of_gltf(file: GltfFile) -> Surfels:
    """The splats of a glTF file, where its nodes put them.

    Raises:
        InputError: splats of another kind than ellipses with display colours, numbers that are wrong, or nodes that
            stretch or mirror.
    """
    world = NodeTree(file).world_matrices([], 0.0)
    parts = []
    for node, primitive in _primitives(file):
        field = Field(surfels := _gltf_surfels(file, primitive), torch.arange(len(surfels)), IdentityWarp())
        if not np.array_equal(world[node], np.eye(4)):
            field = place(field, _similarity(file, world[node]))
        parts.append(field.canonical)
    return merge_surfels(parts)


def unpacked(path: Path) -> PlyTables:
    """The splats of a packed file (.spz, .sog), unpacked by splat-transform.

    Raises:
        InputError: the program is not installed, or cannot read the file.
    """
    program = shutil.which(PROGRAM)
    if program is None:
        raise InputError(
            str(path),
            expected=f"the program {PROGRAM}, which unpacks {path.suffix} files",
            got="none on the path",
            fix=f"npm install -g @playcanvas/{PROGRAM}, or convert the file to .ply",
        )
    with tempfile.TemporaryDirectory() as folder:
        target = Path(folder) / "splats.ply"
        command = [program, "--quiet", "--overwrite", str(path.resolve()), str(target)]
        try:
            done = subprocess.run(command, capture_output=True, text=True, timeout=_SECONDS, check=False)
        except (OSError, subprocess.TimeoutExpired) as error:
            raise wrong(path, PROGRAM, "a file that it can read", str(error)[:200]) from None
        if done.returncode or not target.exists():
            lines = (done.stderr or done.stdout).strip().splitlines()
            raise wrong(path, PROGRAM, "a file that it can read", (lines or [f"exit code {done.returncode}"])[-1][:200])
        return read_ply(target)


def _primitives(file: GltfFile) -> list[tuple[int, dict[str, Any]]]:
    """The nodes and primitives that are splats."""
    found = []
    for node, entry in enumerate(file.items("nodes")):
        if "mesh" not in entry:
            continue
        primitives = file.item("meshes", entry["mesh"]).get("primitives", [])
        for primitive in primitives if isinstance(primitives, list) else []:
            extensions = primitive.get("extensions", {}) if isinstance(primitive, dict) else {}
            if isinstance(extensions, dict) and EXTENSION in extensions:
                found.append((node, primitive))
    return found


def _gltf_surfels(file: GltfFile, primitive: dict[str, Any]) -> Surfels:
    told = primitive["extensions"][EXTENSION]
    told = told if isinstance(told, dict) else {}
    for key, value in (("kernel", "ellipse"), ("colorSpace", "srgb_rec709_display")):
        if told.get(key) != value:
            raise file.fail(f"{EXTENSION}.{key}", repr(value), repr(told.get(key))[:60])
    if primitive.get("mode") != _POINTS:
        raise file.fail("mode", "0, points", repr(primitive.get("mode"))[:60])
    attributes = primitive.get("attributes")
    attributes = attributes if isinstance(attributes, dict) else {}
    centers = _column(file, attributes, "POSITION", 3)
    count = len(centers)
    if not count:
        raise file.fail("POSITION", "at least one splat", "none")
    turns = _column(file, attributes, f"{EXTENSION}:ROTATION", 4, count)[:, [3, 0, 1, 2]]
    scales = _column(file, attributes, f"{EXTENSION}:SCALE", 3, count)
    opacities = _column(file, attributes, f"{EXTENSION}:OPACITY", 1, count)[:, 0]
    if not bool((turns.norm(dim=-1) > 0).all()):
        raise file.fail("ROTATION", "quaternions", "zeros")
    if not bool((scales >= 0).all()):
        raise file.fail("SCALE", "lengths >= 0", "others")
    rotations, flat = flattened(quaternion.normalize(turns), scales)
    return Surfels(centers, rotations, flat, opacities.clamp(0, 1), _harmonics(file, attributes, count))


def _harmonics(file: GltfFile, attributes: dict[str, Any], count: int) -> Float[Tensor, "n k 3"]:
    """Coefficients of whole degrees, as many as there are."""
    columns: list[Tensor] = []
    for degree in range(_DEGREES):
        names = [f"{EXTENSION}:SH_DEGREE_{degree}_COEF_{i}" for i in range(2 * degree + 1)]
        if degree and not any(name in attributes for name in names):
            break
        columns += [_column(file, attributes, name, 3, count) for name in names]
    return torch.stack(columns, 1)


def _column(
    file: GltfFile, attributes: dict[str, Any], name: str, columns: int, count: int | None = None
) -> Float[Tensor, "n c"]:
    if name not in attributes:
        raise file.fail("attributes", name, ", ".join(sorted(map(str, attributes)))[:200] or "none")
    values = file.accessor(attributes[name])
    if values.shape[1] != columns or (count is not None and len(values) != count):
        expected = f"{columns} columns" + ("" if count is None else f" and {count} rows")
        raise file.fail(name, expected, f"{values.shape[1]} columns and {len(values)} rows")
    return _tensor(values)


def _similarity(file: GltfFile, matrix: Float64[np.ndarray, "4 4"]) -> Similarity:
    linear = torch.from_numpy(np.ascontiguousarray(matrix[:3, :3], np.float64))
    volume = float(torch.linalg.det(linear))
    scale = max(volume, 0.0) ** (1 / 3)
    even = linear @ linear.T / max(scale, 1e-12) ** 2
    if not scale > 0 or float((even - torch.eye(3, dtype=torch.float64)).abs().max()) > _EVEN:
        raise file.fail("nodes", "splats that are turned, moved and scaled evenly", "stretched or mirrored ones")
    turn = quaternion.from_matrix(linear / scale)
    return Similarity(
        torch.tensor(scale, dtype=torch.float64), turn, torch.from_numpy(np.ascontiguousarray(matrix[:3, 3]))
    )


def _tensor(array: np.ndarray) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(array, np.float32))
