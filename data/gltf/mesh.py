"""The meshes of a glTF file: triangles, skin influences, morph targets, and the colours of their materials."""

from __future__ import annotations

import io
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float, Int

from recon4d.core.srgb import display_from_linear, linear_from_display
from recon4d.data.gltf.file import GltfFile

_TRIANGLES, _STRIP, _FAN = 4, 5, 6


@dataclass(frozen=True, eq=False)
class Primitive:
    """Triangles of one material under one node.

    Attributes:
        node: the node that carries them.
        positions: [V, 3] in the node's own frame (for skinned ones: the skin's frame).
        normals: [V, 3] or None when the file has none.
        faces: [F, 3].
        uv: [V, 2], zeros when the file has none.
        morphs: [M, V, 3] shifts of the positions.
        joints, weights: [V, J] influences (indices into the skin's joints), J = 0 when not skinned.
        material: index of the material, or None.
        colors: [V, 3] linear vertex colours, ones when the file has none.
    """

    node: int
    positions: Float[np.ndarray, "v 3"]
    normals: Float[np.ndarray, "v 3"] | None
    faces: Int[np.ndarray, "f 3"]
    uv: Float[np.ndarray, "v 2"]
    morphs: Float[np.ndarray, "m v 3"]
    joints: Int[np.ndarray, "v j"]
    weights: Float[np.ndarray, "v j"]
    material: int | None
    colors: Float[np.ndarray, "v 3"]


def read_primitives(file: GltfFile, node: int) -> list[Primitive]:
    """The triangles of a node's mesh, one entry per material; points and lines are left out."""
    carrier = file.item("nodes", node)
    mesh = file.item("meshes", carrier.get("mesh"))
    found = []
    for number, entry in enumerate(mesh.get("primitives", [])):
        mode = entry.get("mode", _TRIANGLES)
        if mode in (_TRIANGLES, _STRIP, _FAN) and "POSITION" in entry.get("attributes", {}):
            what = f"mesh {mesh.get('name', carrier.get('mesh'))}, primitive {number}"
            found.append(_primitive(file, entry, node, "skin" in carrier, mode, what))
    return found


def _primitive(file: GltfFile, entry: dict[str, Any], node: int, skinned: bool, mode: int, what: str) -> Primitive:
    attributes = entry["attributes"]
    positions = file.accessor(attributes["POSITION"]).astype(np.float64)
    count = len(positions)

    def attribute(name: str, columns: int) -> Float[np.ndarray, "v c"] | None:
        if name not in attributes:
            return None
        values = file.accessor(attributes[name]).astype(np.float64)
        if values.shape[0] != count or values.shape[1] < columns or not np.isfinite(values).all():
            raise file.fail(f"{what}: {name}", f"{count} rows of {columns} finite numbers", str(values.shape))
        return values[:, :columns]

    if positions.shape[1] != 3 or not np.isfinite(positions).all():
        raise file.fail(f"{what}: POSITION", "rows of 3 finite numbers", str(positions.shape))
    flat = file.accessor(entry["indices"])[:, 0].astype(np.int64) if "indices" in entry else np.arange(count)
    if len(flat) and (flat.max() >= count or (mode == _TRIANGLES and len(flat) % 3)):
        raise file.fail(f"{what}: indices", f"triples below {count}", f"{len(flat)} up to {flat.max()}")
    joints, weights = _influences(file, attributes, count, what) if skinned else (None, None)
    colors = attribute("COLOR_0", 3)
    uv = attribute("TEXCOORD_0", 2)
    morphs = [file.accessor(t["POSITION"]).astype(np.float64) for t in entry.get("targets", []) if "POSITION" in t]
    if any(m.shape != positions.shape for m in morphs) or len(morphs) != len(entry.get("targets", [])):
        raise file.fail(f"{what}: targets", f"POSITION [{count}, 3] in each", str([m.shape for m in morphs]))
    return Primitive(
        node,
        positions,
        attribute("NORMAL", 3),
        _triangles(flat, mode),
        np.zeros((count, 2)) if uv is None else uv,
        np.stack(morphs) if morphs else np.zeros((0, count, 3)),
        np.zeros((count, 0), np.int64) if joints is None else joints,
        np.zeros((count, 0)) if weights is None else weights,
        entry.get("material"),
        np.ones((count, 3)) if colors is None else colors,
    )


def _triangles(flat: Int[np.ndarray, "n"], mode: int) -> Int[np.ndarray, "f 3"]:
    if mode == _TRIANGLES:
        return flat.reshape(-1, 3)
    if mode == _FAN:
        return np.stack([np.repeat(flat[:1], max(len(flat) - 2, 0)), flat[1:-1], flat[2:]], -1)
    strip = np.stack([flat[:-2], flat[1:-1], flat[2:]], -1)
    strip[1::2] = strip[1::2, [1, 0, 2]]
    return strip


def _influences(
    file: GltfFile, attributes: dict[str, Any], count: int, what: str
) -> tuple[Int[np.ndarray, "v j"], Float[np.ndarray, "v j"]]:
    joints, weights = [], []
    for number in range(8):
        if f"JOINTS_{number}" not in attributes or f"WEIGHTS_{number}" not in attributes:
            break
        joints.append(file.accessor(attributes[f"JOINTS_{number}"]).astype(np.int64))
        weights.append(file.accessor(attributes[f"WEIGHTS_{number}"]).astype(np.float64))
        if joints[-1].shape != (count, 4) or weights[-1].shape != (count, 4):
            raise file.fail(f"{what}: JOINTS_{number}", f"[{count}, 4]", str(joints[-1].shape))
    if not joints:
        raise file.fail(f"{what}", "JOINTS_0 and WEIGHTS_0 on a skinned mesh", "neither")
    return np.concatenate(joints, 1), np.concatenate(weights, 1)


class Material:
    """Base colour of a material: factor times texture times vertex colour, opaque.

    Transparency, metalness, roughness and light given off are left out: what is shown is a matte surface.

    Attributes:
        textured: whether it has a texture.
    """

    def __init__(self, file: GltfFile, index: int | None) -> None:
        material = {} if index is None else file.item("materials", index)
        pbr = material.get("pbrMetallicRoughness", {})
        factor = np.asarray(pbr.get("baseColorFactor", [1.0] * 4), np.float64)
        if factor.shape != (4,):
            raise file.fail(f"materials[{index}].baseColorFactor", "4 numbers", str(factor.shape))
        self._factor = factor[:3]
        self._image, self._wrap = _base_image(file, pbr)
        self.textured = self._image is not None

    def color_at(
        self, uv: Float[np.ndarray, "n 2"], vertex_color: Float[np.ndarray, "n 3"]
    ) -> Float[np.ndarray, "n 3"]:
        """Display colours at texture coordinates, on vertices of these linear colours."""
        light = self._factor * vertex_color
        if self._image is not None:
            light = light * linear_from_display(_bilinear(self._image, uv, self._wrap))
        return np.clip(display_from_linear(np.clip(light, 0, 1)), 0, 1)


def _base_image(file: GltfFile, pbr: dict[str, Any]) -> tuple[Float[np.ndarray, "h w 3"] | None, tuple[int, int]]:
    reference = pbr.get("baseColorTexture")
    if not isinstance(reference, dict) or reference.get("texCoord", 0) != 0:
        return None, (10497, 10497)
    texture = file.item("textures", reference.get("index"))
    image = file.item("images", texture.get("source"))
    if "bufferView" not in image:
        raise file.fail("images", "an image inside the file", str(image.get("uri"))[:60])
    sampler = file.item("samplers", texture["sampler"]) if "sampler" in texture else {}
    from PIL import Image as pil_image  # noqa: N813  (heavy: imported where it is used)

    try:
        with pil_image.open(io.BytesIO(bytes(file.view_bytes(image["bufferView"])))) as opened:
            pixels = np.asarray(opened.convert("RGB"), np.float64) / 255
    except (OSError, ValueError, SyntaxError, pil_image.DecompressionBombError) as error:
        raise file.fail("images", "a PNG or JPEG image", str(error)) from None
    return pixels, (sampler.get("wrapS", 10497), sampler.get("wrapT", 10497))


def _bilinear(
    image: Float[np.ndarray, "h w 3"], uv: Float[np.ndarray, "n 2"], wrap: tuple[int, int]
) -> Float[np.ndarray, "n 3"]:
    size = np.array([image.shape[1], image.shape[0]])
    position = uv * size - 0.5
    low = np.floor(position).astype(np.int64)
    weight = position - low

    def index(corner: Int[np.ndarray, "n 2"], axis: int) -> Int[np.ndarray, "n"]:
        value, n = corner[:, axis], int(size[axis])
        if wrap[axis] == 33071:  # clamp to the edge
            return np.clip(value, 0, n - 1)
        if wrap[axis] == 33648:  # mirrored
            folded = value % (2 * n)
            return np.minimum(folded, 2 * n - 1 - folded)
        return value % n

    out = np.zeros((len(uv), 3))
    for dx in (0, 1):
        for dy in (0, 1):
            corner = low + np.array([dx, dy])
            share = np.where(dx, weight[:, 0], 1 - weight[:, 0]) * np.where(dy, weight[:, 1], 1 - weight[:, 1])
            out += share[:, None] * image[index(corner, 1), index(corner, 0)]
    return out
