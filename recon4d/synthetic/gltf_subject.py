"""A skinned, animated .glb as a subject: evaluates its clip to vertices in recon4d's world.

glTF is y up and looks along +z; recon4d's world is z up, so (x, y, z) becomes (z, x, y): the subject looks along +x
like the built-in creatures.  The subject is also centred and scaled, by one similarity for the whole clip, to a size
like theirs; `source["world_from_asset"]` says which.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float, Int

from recon4d.data.gltf import GltfClip, Material, skin
from recon4d.synthetic.noise import fractal_noise
from recon4d.synthetic.subject import Subject, SubjectRig

_AXES = np.array([[0.0, 0, 1, 0], [1, 0, 0, 0], [0, 1, 0, 0], [0, 0, 0, 1]])
_RADIUS = 1.1  # distance of the farthest vertex from the middle, over the whole clip
_PROBES = 17  # moments at which the size of the clip is taken


def load_gltf(path: Path, action: str | None = None, hide: Sequence[str] = (), *, mottle: bool = True) -> Subject:
    """The subject in a .glb file.

    Args:
        path: a binary glTF 2.0 file.
        action: name of the clip; the first when None.
        hide: names of nodes not to show, with their children; * and ? stand for any letters.
        mottle: give surfaces without a texture one made of noise.

    Raises:
        InputError: for a file that is not whole, an unknown clip or node, or nothing to show.
    """
    clip = GltfClip(path, action, hide)
    world_from_asset = _fit(clip)

    def vertices_at(time: float) -> Float[np.ndarray, "v 3"]:
        vertices = clip.vertices_at(time)
        nothing = np.zeros((len(vertices), 1), np.int64)
        return skin(vertices, world_from_asset[None], nothing, np.ones((len(vertices), 1)))

    rest = vertices_at(0.0)
    rig = _rig(clip, world_from_asset)
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    asset: dict[str, Any] = clip.file.json.get("asset", {})
    return Subject(
        path.stem,
        rest,
        clip.faces,
        vertices_at,
        _Painter(clip, rest, mottle),
        clip.duration,
        _is_loop(clip),
        _normal_groups(clip, rest),
        uv=np.concatenate([p.uv for p in clip.primitives]),
        rig=rig,
        source={
            "kind": "glTF",
            "file": path.name,
            "sha256": digest,
            "action": clip.action,
            "hidden": list(hide),
            "copyright": str(asset.get("copyright", "")),
            "duration": clip.duration,
            "world_from_asset": world_from_asset.tolist(),
        },
    )


def _fit(clip: GltfClip) -> Float[np.ndarray, "4 4"]:
    clouds = np.stack([clip.vertices_at(t) for t in np.linspace(0, clip.duration, _PROBES)])
    used = np.unique(clip.faces)
    points = clouds[:, used].reshape(-1, 3)
    middle = (points.min(0) + points.max(0)) / 2
    radius = float(np.linalg.norm(points - middle, axis=-1).max())
    if not np.isfinite(radius) or radius <= 0:
        raise clip.file.fail("meshes", "a surface of some size", f"radius {radius}")
    scale = _RADIUS / radius
    shift = np.eye(4)
    shift[:3, 3] = -middle
    return _AXES @ np.diag([scale, scale, scale, 1.0]) @ shift


def _is_loop(clip: GltfClip) -> bool:
    first, last = clip.vertices_at(0.0), clip.vertices_at(clip.duration)
    size = float(np.ptp(first, axis=0).max())
    return bool(np.abs(first - last).max() < 0.02 * size)


def _normal_groups(clip: GltfClip, rest: Float[np.ndarray, "v 3"]) -> Int[np.ndarray, "v"]:
    """First vertex of each group that shares a place and, when the file has normals, a normal."""
    normals = [np.zeros_like(p.positions) if p.normals is None else p.normals for p in clip.primitives]
    key = np.concatenate([np.round(rest, 5), np.round(np.concatenate(normals), 2)], 1)
    _, first, inverse = np.unique(key, axis=0, return_index=True, return_inverse=True)
    return first[inverse.reshape(-1)]


class _Painter:
    """Colours of all faces by their materials."""

    def __init__(self, clip: GltfClip, rest: Float[np.ndarray, "v 3"], mottle: bool) -> None:
        self._rest, self._faces = rest, clip.faces
        self._uv = np.concatenate([p.uv for p in clip.primitives])
        self._colors = np.concatenate([p.colors for p in clip.primitives])
        used = sorted({-1 if p.material is None else p.material for p in clip.primitives})
        self._materials = [Material(clip.file, None if m == -1 else m) for m in used]
        self._seeds = [max(m, 0) for m in used]
        self._mottle = mottle
        numbers = [used.index(-1 if p.material is None else p.material) for p in clip.primitives]
        self._of_face = np.repeat(numbers, [len(p.faces) for p in clip.primitives])

    def __call__(self, face: Int[np.ndarray, "n"], barycentric: Float[np.ndarray, "n 3"]) -> Float[np.ndarray, "n 3"]:
        corners, b = self._faces[face], barycentric[..., None]
        uv, tint, points = ((a[corners] * b).sum(1) for a in (self._uv, self._colors, self._rest))
        out = np.zeros((len(face), 3))
        for number, material in enumerate(self._materials):
            here = self._of_face[face] == number
            color = material.color_at(uv[here], tint[here])
            bare = self._mottle and not material.textured
            out[here] = mottled(color, points[here], self._seeds[number]) if bare else color
        return out


def mottled(color: Float[np.ndarray, "n 3"], points: Float[np.ndarray, "n 3"], seed: int) -> Float[np.ndarray, "n 3"]:
    """Display colours with noise on them, because nothing can be tracked on a flat colour.

    Args:
        color: [N, 3] display colours.
        points: [N, 3] places of the rest pose, of a subject about 2 units across.
        seed: number of the material, so that neighbours differ.
    """
    coarse = fractal_noise(points * 6, 4, 11 + seed, gain=0.7)
    fine = fractal_noise(points * 34, 3, 57 + seed, gain=0.7)
    # Added as well as multiplied, so that black shows it too.
    color = color * (1 + 0.55 * coarse + 0.35 * fine)[:, None] + (0.10 * coarse + 0.05 * fine)[:, None]
    return np.clip(color, 0, 1)


def _rig(clip: GltfClip, world_from_asset: Float[np.ndarray, "4 4"]) -> SubjectRig | None:
    joints = clip.joint_nodes()
    if not joints:
        return None
    place = {node: i for i, node in enumerate(joints)}

    def parent_of(node: int) -> int:
        node = clip.tree.parents[node]
        while node != -1 and node not in place:
            node = clip.tree.parents[node]
        return place.get(node, -1)

    def frames_at(time: float) -> Float[np.ndarray, "b 4 4"]:
        return world_from_asset @ clip.world_matrices(time)[joints]

    indices, weights = clip.influences(joints)
    names = tuple(clip.tree.name(j) for j in joints)
    bound = np.concatenate([p.positions for p in clip.primitives])
    bound = bound @ world_from_asset[:3, :3].T + world_from_asset[:3, 3]
    rest = world_from_asset @ clip.bind_frames(joints)
    return SubjectRig(names, tuple(parent_of(j) for j in joints), rest, bound, frames_at, indices, weights)
