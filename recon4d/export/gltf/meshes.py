"""Layers' meshes as glTF nodes: geometry, material, skin, shapes.  Does NOT animate; see `animation`."""

from __future__ import annotations

import io
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float32, Int64, UInt8

from recon4d.core.srgb import linear_from_display
from recon4d.export.gltf.container import INDICES, VERTICES, GlbBuilder
from recon4d.export.gltf.space import Space, xyzw
from recon4d.export.mesh.layers import LayerMesh

UNLIT = "KHR_materials_unlit"


@dataclass(frozen=True)
class Placed:
    """Where a layer is in the file.

    Attributes:
        node: of the mesh.
        root: node of the joint above all others, None without bones.
        joints: nodes of the bones.
    """

    node: int
    root: int | None = None
    joints: tuple[int, ...] = ()


def add_layer(glb: GlbBuilder, layer: LayerMesh, space: Space) -> Placed:
    """Add a layer's nodes; those without a parent are to be put into the scene by the caller.

    Args:
        glb: the file.
        layer: what to add.
        space: glTF's.
    """
    base = layer.positions[0].astype(np.float64) if layer.motion == "shapes" else layer.mesh.vertices
    attributes: dict[str, int] = {}
    positions = space.points(base)[layer.cut.origin]
    attributes["POSITION"] = glb.array(positions, target=VERTICES, bounds=True)
    if layer.texture is not None:
        attributes["TEXCOORD_0"] = glb.array(layer.cut.uv, target=VERTICES)
    else:
        attributes["COLOR_0"] = glb.array(
            vertex_colors(layer.colors)[layer.cut.origin], target=VERTICES, normalized=True
        )
    if layer.skin is not None and layer.bones is not None:
        few = len(layer.bones) + 1 <= 256
        joints = np.where(layer.skin.weights > 0, layer.skin.indices, 0)[layer.cut.origin]
        attributes["JOINTS_0"] = glb.array(joints.astype(np.uint8 if few else np.uint16), target=VERTICES)
        attributes["WEIGHTS_0"] = glb.array(layer.skin.weights[layer.cut.origin], target=VERTICES)
    primitive: dict[str, Any] = {
        "attributes": attributes,
        "indices": glb.array(index_array(layer.cut.faces, len(positions)), target=INDICES),
        "material": _material(glb, layer),
        "mode": 4,
    }
    mesh: dict[str, Any] = {"name": layer.name, "primitives": [primitive]}
    if layer.keys:
        primitive["targets"] = [
            {"POSITION": glb.array(shape, target=VERTICES, bounds=True)}
            for shape in (
                space.points(layer.positions[k] - layer.positions[0])[layer.cut.origin] for k in layer.keys[1:]
            )
        ]
        mesh["weights"] = [0.0] * (len(layer.keys) - 1)
    node: dict[str, Any] = {"name": layer.name, "mesh": glb.add("meshes", mesh)}
    if layer.motion != "bones" or layer.bones is None:
        return Placed(glb.add("nodes", node))
    joints_added = _add_joints(glb, layer, space)
    node["skin"] = joints_added[1]
    root, bones = joints_added[0], joints_added[2]
    return Placed(glb.add("nodes", node), root, bones)


def index_array(faces: Int64[np.ndarray, "f 3"], vertices: int) -> np.ndarray:
    """Indices as 16-bit numbers where they fit: 65535 itself is reserved."""
    return faces.reshape(-1).astype(np.uint16 if vertices < 65535 else np.uint32)


def vertex_colors(colors: Float32[np.ndarray, "v 3"]) -> np.ndarray:
    """Display colours as glTF has vertex colours: linear, [V, 4] 16-bit fractions."""
    linear = linear_from_display(colors.clip(0, 1).astype(np.float64))
    opaque = np.concatenate([linear, np.ones((len(linear), 1))], axis=1)
    return np.rint(opaque * 65535).astype(np.uint16)


def _add_joints(glb: GlbBuilder, layer: LayerMesh, space: Space) -> tuple[int, int, tuple[int, ...]]:
    """The root joint, the skin, and the bones' nodes in their rest pose under the root."""
    bones = layer.bones
    assert bones is not None
    turns, places = space.rotations(bones.rest_rotations), space.points(bones.rest_translations)
    joints = tuple(
        glb.add(
            "nodes",
            {
                "name": f"{layer.name} bone {b}",
                "rotation": turn.astype(float).tolist(),
                "translation": place.astype(float).tolist(),
            },
        )
        for b, (turn, place) in enumerate(zip(xyzw(turns), places, strict=True))
    )
    root = glb.add("nodes", {"name": f"{layer.name} root", "children": list(joints)})
    inverse = np.tile(np.eye(4), (len(joints) + 1, 1, 1))
    inverse[1:, :3, :3] = _matrices(turns).swapaxes(-1, -2)
    inverse[1:, :3, 3] = -(inverse[1:, :3, :3] @ places.astype(np.float64)[..., None])[..., 0]
    # Bone b is joint b, and the root comes last, so that weights keep the bones' numbers.
    ordered = np.concatenate([inverse[1:], inverse[:1]])
    columns = ordered.swapaxes(-1, -2).reshape(-1, 16).astype(np.float32)
    skin = glb.add(
        "skins",
        {
            "name": layer.name,
            "joints": [*joints, root],
            "skeleton": root,
            "inverseBindMatrices": glb.array(columns),
        },
    )
    return root, skin, joints


def _matrices(rotations_wxyz: np.ndarray) -> np.ndarray:
    import torch

    from recon4d.core import quaternion

    return quaternion.to_matrix(torch.from_numpy(rotations_wxyz)).numpy()


def _material(glb: GlbBuilder, layer: LayerMesh) -> int:
    shading: dict[str, Any] = {"metallicFactor": 0.0, "roughnessFactor": 1.0}
    if layer.texture is not None:
        image = glb.add(
            "images",
            {"name": layer.name, "mimeType": "image/png", "bufferView": glb.view(png_bytes(layer.texture))},
        )
        sampler = glb.add("samplers", {"magFilter": 9729, "minFilter": 9987, "wrapS": 33071, "wrapT": 33071})
        shading["baseColorTexture"] = {"index": glb.add("textures", {"source": image, "sampler": sampler})}
    material: dict[str, Any] = {
        "name": layer.name,
        "pbrMetallicRoughness": shading,
        # Colours are those of the film: its light is in them already.
        "extensions": {UNLIT: {}},
    }
    if not layer.sound.watertight:
        material["doubleSided"] = True
    used: list[str] = glb.document.setdefault("extensionsUsed", [])
    if UNLIT not in used:
        used.append(UNLIT)
    return glb.add("materials", material)


def png_bytes(image: UInt8[np.ndarray, "h w 3"]) -> bytes:
    """An image as a PNG file."""
    from PIL import Image

    stream = io.BytesIO()
    Image.fromarray(image).save(stream, "PNG", optimize=True)
    return stream.getvalue()
