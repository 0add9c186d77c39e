"""A .glb as an asset: surfels on its triangles in the pose its skin was bound in, and bones that move them.

glTF is y up and looks along +z; an asset is z up and looks along +x.  Bones of ours are rigid and
move smoothly: a joint that scales over time, or stops short, is followed as nearly as that can be, and the largest miss
is reported.  Moving morph targets are left at their first state, which counts as a miss too.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, Int

from recon4d.core import InputError, SE3Spline, quaternion
from recon4d.data.gltf import GltfClip, Material
from recon4d.editors.shapes.assets.asset import Asset, AssetMesh
from recon4d.editors.shapes.assets.sampling import mesh_surfels, sample_mesh
from recon4d.field import BonesWarp, Field, IdentityWarp

_AXES = np.array([[0.0, 0, 1, 0], [1, 0, 0, 0], [0, 1, 0, 0], [0, 0, 0, 1]])
_STEP = 1 / 60  # seconds between controls, more where a clip is so long that there would be too many
_MOST_CONTROLS = 1200
_MOST_BONES = 2048
_CHECKS = 14  # moments, none of them a control of a clip of whole frames
_SLOTS = 4


@dataclass(frozen=True, eq=False)
class _Bone:
    """A joint of one skin, or a node that carries a mesh without a skin.

    Attributes:
        node: the node that moves it.
        offset: [4, 4] what comes before the node's own matrix: the inverse bind matrix, or the identity.
        canonical: [4, 4] canonical_from_mesh: where its vertices are at rest.
    """

    node: int
    offset: Float[np.ndarray, "4 4"]
    canonical: Float[np.ndarray, "4 4"]


def read_glb(path: Path, *, surfels: int, action: str | None, hide: Sequence[str], sha256: str) -> Asset:
    """The asset in a .glb file; see `read_asset`."""
    clip = GltfClip(path, action, hide)
    bones, slots = _bones(clip)
    vertices, indices, weights = _canonical(clip, bones, slots)
    if not np.isfinite(vertices).all():
        raise clip.file.fail("meshes", "finite places", "NaN or infinity")
    face, barycentric = sample_mesh(vertices, clip.faces, surfels)
    field = Field(
        mesh_surfels(vertices, clip.faces, face, barycentric, _colors(clip, face, barycentric)),
        torch.arange(surfels),
        IdentityWarp(),
    )
    mesh = AssetMesh(vertices, clip.faces, face, barycentric)
    moving = clip.action is not None and clip.duration > 2e-3
    times = _times(clip.duration) if moving else np.zeros(1)
    frames = np.stack([_matrices(clip, bones, float(t)) for t in times], 1)  # [B, T, 4, 4] world_from_mesh
    rigid = _rigid(frames, bones, vertices, indices, weights)
    if not clip.skins and float(np.abs(rigid - np.eye(4)).max()) < 1e-9:
        return Asset(path.stem, field, mesh, sha256=sha256)
    names = tuple(clip.tree.name(bone.node) for bone in bones)
    warp = _warp(rigid, bones, times, *_blended(clip.faces[face], barycentric, indices, weights, len(bones)))
    error = _miss(clip, warp, vertices, indices, weights) if moving else 0.0
    duration = clip.duration if moving else 0.0
    return Asset(path.stem, Field(field.canonical, field.ids, warp), mesh, names, duration, error, sha256)


def _bones(clip: GltfClip) -> tuple[list[_Bone], list[np.ndarray]]:
    """All bones, and for each primitive the bones of its joints (a single one where it has no skin)."""
    rest = _AXES @ clip.tree.world_matrices([], 0.0)
    places: dict[tuple[int, bytes], int] = {}
    bones: list[_Bone] = []
    slots: list[np.ndarray] = []
    bound: Float[np.ndarray, "4 4"] | None = None
    of_joint: dict[int, int] = {}

    def add(node: int, offset: Float[np.ndarray, "4 4"], canonical: Float[np.ndarray, "4 4"]) -> int:
        key = (node, np.round(np.concatenate([offset, canonical]), 9).tobytes())
        if key not in places:
            places[key] = len(bones)
            bones.append(_Bone(node, offset, canonical))
        return places[key]

    for primitive in clip.primitives:
        if primitive.node in clip.skins:
            joints, inverse = clip.skins[primitive.node]
            if not joints:
                raise clip.file.fail("skins", "at least one joint", "none")
            # One similarity for all vertices of a skin: where its first joint has them at rest.
            own = _similarity(rest[joints[0]] @ inverse[0])
            bound = own if bound is None else bound
            numbers = [add(joint, offset, own) for joint, offset in zip(joints, inverse, strict=True)]
            of_joint.update(dict(zip(joints, numbers, strict=True)))
            slots.append(np.array(numbers))
        else:
            slots.append(np.zeros(0, np.int64))
    for number, primitive in enumerate(clip.primitives):
        if primitive.node in clip.skins:
            continue
        # A thing without a skin on a skeleton's node (a sword) goes where the bound skeleton would hold it.
        node = primitive.node
        while node != -1 and node not in of_joint:
            node = clip.tree.parents[node]
        canonical = rest[primitive.node]
        if node != -1:
            joint = bones[of_joint[node]]
            canonical = joint.canonical @ _inverse(clip, rest[joint.node] @ joint.offset) @ canonical
        slots[number] = np.array([add(primitive.node, np.eye(4), canonical)])
    if len(bones) > _MOST_BONES:
        raise clip.file.fail("skins and nodes", f"at most {_MOST_BONES} bones", str(len(bones)))
    return bones, slots


def _inverse(clip: GltfClip, matrix: Float[np.ndarray, "4 4"]) -> Float[np.ndarray, "4 4"]:
    if not np.isfinite(matrix).all() or abs(np.linalg.det(matrix)) < 1e-30:
        raise clip.file.fail("nodes", "matrices with an inverse", "one without")
    return np.linalg.inv(matrix)


def _similarity(matrix: Float[np.ndarray, "4 4"]) -> Float[np.ndarray, "4 4"]:
    """The similarity nearest to a matrix: its rotation, its mean scale, its place."""
    out = np.eye(4)
    size = float(np.cbrt(abs(np.linalg.det(matrix[:3, :3])))) if np.isfinite(matrix).all() else 0.0
    out[:3, :3] = _rotations(matrix[None, :3, :3])[0] * (size if size > 0 else 1.0)
    out[:3, 3] = matrix[:3, 3]
    return out


def _rotations(matrices: Float[np.ndarray, "n 3 3"]) -> Float[np.ndarray, "n 3 3"]:
    """Rotations nearest to matrices (polar decomposition)."""
    u, _, vh = np.linalg.svd(np.nan_to_num(matrices))
    u[:, :, 2] *= np.sign(np.linalg.det(u @ vh))[:, None]
    return u @ vh


def _canonical(
    clip: GltfClip, bones: list[_Bone], slots: list[np.ndarray]
) -> tuple[Float[np.ndarray, "v 3"], Int[np.ndarray, "v j"], Float[np.ndarray, "v j"]]:
    """Vertices in the canonical state, and the bones they follow."""
    parts, indices, weights = [], [], []
    width = max(1, *(p.joints.shape[1] for p in clip.primitives))
    for primitive, of_part in zip(clip.primitives, slots, strict=True):
        positions = primitive.positions
        if len(primitive.morphs):
            shares = clip.tree.morph_weights(primitive.node, [], 0.0, len(primitive.morphs))
            positions = positions + (shares[:, None, None] * primitive.morphs).sum(0)
        matrix = bones[of_part[0]].canonical
        parts.append(positions @ matrix[:3, :3].T + matrix[:3, 3])
        index = np.zeros((len(positions), width), np.int64)
        weight = np.zeros((len(positions), width))
        if primitive.node in clip.skins:
            index[:, : primitive.joints.shape[1]] = of_part[primitive.joints]
            weight[:, : primitive.joints.shape[1]] = np.maximum(primitive.weights, 0)
        total = weight.sum(1, keepdims=True)
        alone = total[:, 0] <= 0
        index[alone, 0], weight[alone, 0] = of_part[0], 1.0
        indices.append(index)
        weights.append(weight / np.where(total > 0, total, 1.0))
    return np.concatenate(parts), np.concatenate(indices), np.concatenate(weights)


def _colors(
    clip: GltfClip, face: Int[np.ndarray, "n"], barycentric: Float[np.ndarray, "n 3"]
) -> Float[np.ndarray, "n 3"]:
    of_face = np.repeat(np.arange(len(clip.primitives)), [len(p.faces) for p in clip.primitives])
    uv, tint = (np.concatenate([getattr(p, name) for p in clip.primitives]) for name in ("uv", "colors"))
    corners, share = clip.faces[face], barycentric[..., None]
    uv, tint = (uv[corners] * share).sum(1), (tint[corners] * share).sum(1)
    out = np.zeros((len(face), 3))
    materials: dict[int | None, Material] = {}
    for number, primitive in enumerate(clip.primitives):
        here = of_face[face] == number
        if here.any():
            if primitive.material not in materials:
                materials[primitive.material] = Material(clip.file, primitive.material)
            out[here] = materials[primitive.material].color_at(uv[here], tint[here])
    return out


def _times(duration: float) -> Float[np.ndarray, " t"]:
    step = max(_STEP, duration / _MOST_CONTROLS)
    return np.linspace(0, duration, max(8, 2 * math.ceil(duration / step) + 1))


def _matrices(clip: GltfClip, bones: list[_Bone], time: float) -> Float[np.ndarray, "b 4 4"]:
    world = _AXES @ clip.world_matrices(time)
    return np.stack([world[bone.node] @ bone.offset for bone in bones])


def _rigid(
    frames: Float[np.ndarray, "b t 4 4"],
    bones: list[_Bone],
    vertices: Float[np.ndarray, "v 3"],
    indices: Int[np.ndarray, "v j"],
    weights: Float[np.ndarray, "v j"],
) -> Float[np.ndarray, "b t 4 4"]:
    """world_from_canonical of every bone as rigid motions that keep the middle of what follows it exact."""
    canonical = np.stack([bone.canonical for bone in bones])
    if not np.isfinite(frames).all() or bool((np.abs(np.linalg.det(canonical)) < 1e-30).any()):
        raise InputError(
            "nodes", expected="finite matrices with an inverse", got="one without", fix="export the file again"
        )
    motion = frames @ np.linalg.inv(canonical)[:, None]
    share = np.zeros((len(bones), 4))
    homogeneous = np.concatenate([vertices, np.ones((len(vertices), 1))], 1)
    for slot in range(indices.shape[1]):
        np.add.at(share, indices[:, slot], weights[:, slot : slot + 1] * homogeneous)
    middle = np.where(share[:, 3:] > 0, share[:, :3] / np.maximum(share[:, 3:], 1e-12), vertices.mean(0))
    out = np.tile(np.eye(4), (*frames.shape[:2], 1, 1))
    out[..., :3, :3] = _rotations(motion[..., :3, :3].reshape(-1, 3, 3)).reshape(*frames.shape[:2], 3, 3)
    moved = np.einsum("btij,bj->bti", motion[..., :3, :3], middle) + motion[..., :3, 3]
    out[..., :3, 3] = moved - np.einsum("btij,bj->bti", out[..., :3, :3], middle)
    return out


def _blended(
    corners: Int[np.ndarray, "n 3"],
    barycentric: Float[np.ndarray, "n 3"],
    indices: Int[np.ndarray, "v j"],
    weights: Float[np.ndarray, "v j"],
    bones: int,
) -> tuple[Int[np.ndarray, "n 4"], Float[np.ndarray, "n 4"]]:
    """The four strongest bones of points inside triangles."""
    dense = np.zeros((len(corners), bones), np.float32)
    rows = np.arange(len(corners))
    for corner in range(3):
        for slot in range(indices.shape[1]):
            vertex = corners[:, corner]
            dense[rows, indices[vertex, slot]] += barycentric[:, corner] * weights[vertex, slot]
    order = np.argsort(-dense, axis=1, kind="stable")[:, :_SLOTS]
    strongest = np.take_along_axis(dense, order, axis=1).astype(np.float64)
    spare = ((0, 0), (0, _SLOTS - order.shape[1]))
    order, strongest = np.pad(order, spare), np.pad(strongest, spare)
    return order, strongest / strongest.sum(1, keepdims=True)


def _warp(
    rigid: Float[np.ndarray, "b t 4 4"],
    bones: list[_Bone],
    times: Float[np.ndarray, " t"],
    indices: Int[np.ndarray, "n 4"],
    weights: Float[np.ndarray, "n 4"],
) -> BonesWarp:
    # A joint's own frame in the canonical state; the frame of a node without a skin is that of its mesh.
    rest = np.stack([bone.canonical @ _bind_frame(bone) for bone in bones])
    frame = np.tile(np.eye(4), (len(bones), 1, 1))
    frame[:, :3, :3] = _rotations(rest[:, :3, :3])
    frame[:, :3, 3] = rest[:, :3, 3]
    poses = torch.from_numpy(rigid @ frame[:, None])
    rotations = quaternion.from_matrix(poses[..., :3, :3].contiguous())
    translations = poses[..., :3, 3].contiguous()
    if len(times) == 1:
        path = SE3Spline.constant(rotations[:, 0], translations[:, 0])
    else:
        path = SE3Spline.fit(torch.from_numpy(times), rotations, translations, step=2 * float(times[1] - times[0]))
    return BonesWarp(
        root=None,
        rest_rotations_wxyz=quaternion.from_matrix(torch.from_numpy(frame[:, :3, :3].copy())).float(),
        rest_translations=torch.from_numpy(frame[:, :3, 3].copy()).float(),
        path=path.to(torch.float32),
        weight_indices=torch.from_numpy(indices.astype(np.int64)),
        weights=torch.from_numpy(weights).float(),
    )


def _bind_frame(bone: _Bone) -> Float[np.ndarray, "4 4"]:
    """mesh_from_joint where the skin was bound."""
    if abs(np.linalg.det(bone.offset)) < 1e-30:
        return np.eye(4)
    return np.linalg.inv(bone.offset)


def _miss(
    clip: GltfClip,
    warp: BonesWarp,
    vertices: Float[np.ndarray, "v 3"],
    indices: Int[np.ndarray, "v j"],
    weights: Float[np.ndarray, "v j"],
) -> float:
    """Largest distance between the file's vertices and ours, as a share of the asset's size."""
    times = torch.linspace(0, clip.duration, _CHECKS, dtype=torch.float64)
    rotations, shifts = warp.transforms_at(times)
    turns, shifts_ = quaternion.to_matrix(rotations).double().numpy(), shifts.double().numpy()
    worst = 0.0
    for k, time in enumerate(times.tolist()):
        ours = np.zeros((len(vertices), 3))
        for slot in range(indices.shape[1]):
            bone = indices[:, slot]
            moved = np.einsum("vij,vj->vi", turns[k, bone], vertices) + shifts_[k, bone]
            ours += weights[:, slot : slot + 1] * moved
        theirs = clip.vertices_at(time) @ _AXES[:3, :3].T
        worst = max(worst, float(np.linalg.norm(ours - theirs, axis=-1).max()))
    return worst / max(float(np.linalg.norm(np.ptp(vertices, axis=0))), 1e-12)
