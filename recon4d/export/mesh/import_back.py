"""Reads a mesh that was exported, and changed in another program, as a change of the scene's surfels.

The changed file has the same vertices: in the same order, or told apart by their texture coordinates.  Does NOT apply
the change; `recon4d.editors.mesh_edit` does.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, Float32, Int64

from recon4d.core import InputError
from recon4d.core.srgb import display_from_linear
from recon4d.data import read_image
from recon4d.data.gltf import GltfFile, Material, Primitive
from recon4d.data.gltf.mesh import read_primitives
from recon4d.data.gltf.nodes import NodeTree
from recon4d.editors.mesh_edit import MeshChange
from recon4d.evaluate.mesh_files import read_mesh
from recon4d.export.mesh.unwrap import Unwrapped, texel_points
from recon4d.synthetic.surface import face_cross

Colors = Callable[[Float[np.ndarray, "n 2"]], Float[np.ndarray, "n 3"]]

_SAME_UV = 1e-4
_CHANGED = 1.5 / 255
_REACH = 1.5  # texels, of those that are compared
_COMPARED = 1024  # texels along a side


@dataclass(frozen=True, eq=False)
class _Exported:
    """One layer of an exported file: its triangles and material, scene_from_file, and the layer's name."""

    primitive: Primitive
    material: Material
    to_scene: Float[np.ndarray, "3 3"]
    layer: str


def read_mesh_change(
    original: Path, edited: Path, layer: str | None = None, painted: Path | None = None
) -> tuple[str, MeshChange]:
    """What was done to a mesh.

    Args:
        original: the .glb that recon4d wrote.
        edited: the .glb or .obj that the other program wrote.
        layer: which layer's mesh it is; the only one by default.
        painted: an image that replaces the texture, where the edited file has none.

    Returns:
        the layer's name, and the change in its canonical space.

    Raises:
        InputError: the original is none of recon4d's, or the edited mesh has other vertices.
    """
    source = _original(original, layer)
    first = source.primitive
    faces = np.ascontiguousarray(first.faces, np.int64)
    before = first.positions @ source.to_scene.T
    vertex_paint = np.zeros_like(before)
    repainted: Colors | None = None
    if edited.suffix.lower() == ".obj":
        after = read_mesh(edited).vertices
        if len(after) != len(before):
            raise _other_vertices(edited, len(before), len(after))
    else:
        second, material, rows = _edited(edited, source)
        after = second.positions[rows]
        if not source.material.textured and not material.textured:
            vertex_paint = display_from_linear(second.colors[rows]) - display_from_linear(first.colors)
        elif material.textured:
            repainted = partial(_texture_colors, material)
    if painted is not None:
        repainted = partial(_image_colors, _read_picture(painted))
    places, paint, reach = np.zeros((0, 3)), np.zeros((0, 3)), 0.0
    if repainted is not None and source.material.textured:
        places, paint, reach = _texture_paint(source, repainted, before, faces)
    change = MeshChange(
        torch.from_numpy(before).float(),
        torch.from_numpy(after @ source.to_scene.T).float(),
        torch.from_numpy(faces),
        torch.from_numpy(np.where(np.abs(vertex_paint) > _CHANGED, vertex_paint, 0)).float(),
        torch.from_numpy(places).float(),
        torch.from_numpy(paint).float(),
        torch.tensor([reach], dtype=torch.float32),
    )
    return source.layer, change


def _original(path: Path, layer: str | None) -> _Exported:
    file = GltfFile(path)
    extras = file.json.get("asset", {}).get("extras", {})
    matrix = np.asarray(extras.get("gltf_from_scene", []) if isinstance(extras, dict) else [], np.float64)
    if matrix.shape != (4, 4) or not np.isfinite(matrix).all() or abs(np.linalg.det(matrix)) < 1e-30:
        raise InputError(
            str(path), expected="a .glb that recon4d export wrote", got="another file", fix="name the exported file"
        )
    found: dict[str, tuple[int, dict[str, object]]] = {}
    for node, entry in enumerate(file.items("nodes")):
        if "mesh" in entry:
            told = file.item("meshes", entry["mesh"]).get("extras", {})
            if isinstance(told, dict) and isinstance(told.get("layer"), str):
                found[told["layer"]] = (node, told)
    if layer is None and len(found) == 1:
        layer = next(iter(found))
    if layer not in found:
        names = ", ".join(map(repr, found)) or "no layer"
        raise InputError(
            "layer", expected=f"one of {names}, which the file has", got=repr(layer), fix="name it with --layer"
        )
    node, told = found[layer]
    if told.get("canonical") is not True:
        raise InputError(
            str(path),
            expected="a mesh in its canonical state: with bones, or of a layer that stands still",
            got=f"one moment of {layer!r}, or a flip-book",
            fix="export it without --at and --morph",
        )
    primitives = read_primitives(file, node)
    if len(primitives) != 1:
        raise file.fail("meshes", "one set of triangles for a layer", str(len(primitives)))
    material = Material(file, primitives[0].material)
    return _Exported(primitives[0], material, np.linalg.inv(matrix)[:3, :3], layer)


def _edited(path: Path, source: _Exported) -> tuple[Primitive, Material, Int64[np.ndarray, " v"]]:
    """The mesh of the edited file, its positions in the file's world, and which of its vertices are the original's."""
    file = GltfFile(path)
    world = NodeTree(file).world_matrices([], 0.0)
    sizes, found = [0], list[tuple[str, Primitive, Int64[np.ndarray, " v"]]]()
    for node, entry in enumerate(file.items("nodes")):
        for primitive in read_primitives(file, node) if "mesh" in entry else []:
            sizes.append(len(primitive.positions))
            rows = _matching(primitive, source.primitive)
            if rows is None:
                continue
            # Where a skinned mesh's node stands means nothing in glTF.
            if "skin" not in entry:
                moved = primitive.positions @ world[node][:3, :3].T + world[node][:3, 3]
                primitive = replace(primitive, positions=moved)
            found.append((str(entry.get("name", "")), primitive, rows))
    if not found:
        raise _other_vertices(path, len(source.primitive.positions), max(sizes))
    _, primitive, rows = next((match for match in found if match[0].startswith(source.layer)), found[0])
    return primitive, Material(file, primitive.material), rows


def _matching(edited: Primitive, original: Primitive) -> Int64[np.ndarray, " v"] | None:
    """For each vertex of the original the one of the edited mesh; None where there is none.

    The same order, if the triangles are the same; else by texture coordinates, which every vertex has its own of.
    """
    count = len(original.positions)
    if len(edited.positions) == count and np.array_equal(edited.faces, original.faces):
        return np.arange(count)
    if len(np.unique(original.uv, axis=0)) < count:
        return None
    from scipy.spatial import cKDTree

    distance, rows = cKDTree(edited.uv).query(original.uv)
    return rows.astype(np.int64) if float(distance.max()) < _SAME_UV else None


def _texture_paint(
    source: _Exported, repainted: Colors, before: Float[np.ndarray, "v 3"], faces: Int64[np.ndarray, "f 3"]
) -> tuple[Float[np.ndarray, "p 3"], Float[np.ndarray, "p 3"], float]:
    """Texels whose colour is another now: their places in the scene, the change, and how far a texel reaches."""
    uv = source.primitive.uv
    cut = Unwrapped(np.arange(len(uv)), faces, uv.astype(np.float32))
    points, _ = texel_points(cut, _COMPARED)
    if len(points.face) == 0:
        return np.zeros((0, 3)), np.zeros((0, 3)), 0.0
    where = points.of(uv, faces)
    delta = repainted(where) - _texture_colors(source.material, where)
    changed = np.abs(delta).max(-1) > _CHANGED
    area = 0.5 * float(np.linalg.norm(face_cross(before, faces), axis=-1).sum())
    reach = _REACH * float(np.sqrt(area / len(points.face)))
    return points.of(before, faces)[changed], delta[changed], reach


def _texture_colors(material: Material, uv: Float[np.ndarray, "n 2"]) -> Float[np.ndarray, "n 3"]:
    return material.color_at(uv, np.ones((len(uv), 3)))


def _image_colors(picture: Float32[np.ndarray, "h w 3"], uv: Float[np.ndarray, "n 2"]) -> Float[np.ndarray, "n 3"]:
    height, width = picture.shape[:2]
    column = np.clip((uv[:, 0] * width).astype(int), 0, width - 1)
    row = np.clip((uv[:, 1] * height).astype(int), 0, height - 1)
    return picture[row, column].astype(np.float64)


def _read_picture(path: Path) -> Float32[np.ndarray, "h w 3"]:
    pixels = read_image(path)
    if pixels.ndim == 2:
        pixels = np.repeat(pixels[:, :, None], 3, axis=2)
    return pixels[:, :, :3].astype(np.float32) / np.float32(np.iinfo(pixels.dtype).max)


def _other_vertices(path: Path, wanted: int, got: int) -> InputError:
    return InputError(
        str(path),
        expected=f"the {wanted} vertices of the exported mesh, in its order or with its texture coordinates",
        got=f"a mesh of {got} vertices",
        fix="move vertices and paint, but do not add, remove or merge any",
    )
