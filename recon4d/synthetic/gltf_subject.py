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

from recon4d.core import InputError
from recon4d.synthetic.gltf_animation import Channel, read_channels
from recon4d.synthetic.gltf_file import GltfFile
from recon4d.synthetic.gltf_mesh import Material, Primitive, read_primitives
from recon4d.synthetic.gltf_nodes import NodeTree
from recon4d.synthetic.skeleton import skin
from recon4d.synthetic.subject import Subject, SubjectRig

_AXES = np.array([[0.0, 0, 1, 0], [1, 0, 0, 0], [0, 1, 0, 0], [0, 0, 0, 1]])
_RADIUS = 1.1  # distance of the farthest vertex from the middle, over the whole clip
_PROBES = 17  # moments at which the size of the clip is taken


class GltfClip:
    """The meshes of a .glb moved by one of its animations, in the file's own axes and units.

    Attributes:
        action: name of the animation, or None when the file has none.
        duration: its length in seconds.
        faces: [F, 3] over all vertices.
        primitives: the parts, in the order of their vertices.
    """

    def __init__(self, path: Path, action: str | None = None, hide: Sequence[str] = ()) -> None:
        self.file = GltfFile(path)
        self.tree = NodeTree(self.file)
        self.action, self._channels = _choose_action(self.file, action)
        self._start = min((float(c.times[0]) for c in self._channels), default=0.0)
        end = max((float(c.times[-1]) for c in self._channels), default=0.0)
        self.duration = max(end - self._start, 1e-3)
        shown = self.tree.reachable() - self.tree.hidden(hide)
        nodes = [i for i in self.tree.order if i in shown and "mesh" in self.tree.nodes[i]]
        self.primitives: list[Primitive] = [p for i in nodes for p in read_primitives(self.file, i)]
        if not self.primitives or not sum(len(p.faces) for p in self.primitives):
            raise InputError(
                path.name, expected="a mesh with triangles", got="none that is shown", fix="hide fewer nodes"
            )
        self._skins = {i: self._read_skin(i) for i in {p.node for p in self.primitives} if "skin" in self.tree.nodes[i]}
        starts = np.cumsum([0, *(len(p.positions) for p in self.primitives)])
        self.starts: list[int] = [int(s) for s in starts]
        self.faces = np.concatenate([p.faces + s for p, s in zip(self.primitives, starts[:-1], strict=True)])

    def _read_skin(self, node: int) -> tuple[list[int], Float[np.ndarray, "j 4 4"]]:
        """The joints of a node's skin and their inverse bind matrices."""
        skin_entry = self.file.item("skins", self.tree.nodes[node]["skin"])
        joints = skin_entry.get("joints", [])
        for joint in joints:
            self.file.item("nodes", joint)
        inverse = np.tile(np.eye(4), (len(joints), 1, 1))
        if "inverseBindMatrices" in skin_entry:
            stored = self.file.accessor(skin_entry["inverseBindMatrices"]).astype(np.float64)
            if stored.shape[0] < len(joints) or stored.shape[1] != 16:
                raise self.file.fail("inverseBindMatrices", f"{len(joints)} matrices", str(stored.shape))
            inverse = stored[: len(joints)].reshape(-1, 4, 4).transpose(0, 2, 1)
        highest = max((int(p.joints.max(initial=0)) for p in self.primitives if p.node == node), default=0)
        if highest >= len(joints):
            raise self.file.fail("JOINTS_0", f"indices below {len(joints)}", str(highest))
        return joints, inverse

    def vertices_at(self, time: float) -> Float[np.ndarray, "v 3"]:
        """All vertices [V, 3] at a time of the clip."""
        moment = self._start + time
        world = self.tree.world_matrices(self._channels, moment)
        parts = []
        for p in self.primitives:
            positions = p.positions
            if len(p.morphs):
                weights = self.tree.morph_weights(p.node, self._channels, moment, len(p.morphs))
                positions = positions + (weights[:, None, None] * p.morphs).sum(0)
            if p.node in self._skins:
                joints, inverse = self._skins[p.node]
                parts.append(skin(positions, world[joints] @ inverse, p.joints, _normalised(p.weights)))
            else:
                parts.append(skin(positions, world[p.node][None], np.zeros((len(positions), 1), np.int64),
                                  np.ones((len(positions), 1))))  # fmt: skip
        return np.concatenate(parts)

    def joint_nodes(self) -> list[int]:
        """All joints of the skins in use, parents before children."""
        used = {j for joints, _ in self._skins.values() for j in joints}
        return [i for i in self.tree.order if i in used]

    def world_matrices(self, time: float) -> Float[np.ndarray, "n 4 4"]:
        """`world_from_node` of all nodes at a time of the clip, in the file's axes."""
        return self.tree.world_matrices(self._channels, self._start + time)

    def bind_frames(self, joints: list[int]) -> Float[np.ndarray, "b 4 4"]:
        """Frames of `joints` in which their skin was bound to them; the first skin's where several share a joint."""
        frames: dict[int, Float[np.ndarray, "4 4"]] = {}
        for of_skin, inverse in self._skins.values():
            for joint, matrix in zip(of_skin, inverse, strict=True):
                if abs(np.linalg.det(matrix)) < 1e-30:
                    raise self.file.fail("inverseBindMatrices", "matrices with an inverse", f"one of joint {joint}")
                frames.setdefault(joint, np.linalg.inv(matrix))
        return np.stack([frames[joint] for joint in joints])

    def influences(self, joints: list[int]) -> tuple[Int[np.ndarray, "v k"], Float[np.ndarray, "v k"]]:
        """Influences of all vertices over `joints`; zero weights for vertices of meshes without a skin."""
        width = max([4, *(p.joints.shape[1] for p in self.primitives)])
        place = {node: i for i, node in enumerate(joints)}
        indices = np.zeros((self.starts[-1], width), np.int64)
        weights = np.zeros((self.starts[-1], width))
        for p, start in zip(self.primitives, self.starts, strict=False):
            if p.node in self._skins:
                of_skin = np.array([place[j] for j in self._skins[p.node][0]])
                rows = slice(start, start + len(p.positions))
                indices[rows, : p.joints.shape[1]] = of_skin[p.joints]
                weights[rows, : p.joints.shape[1]] = _normalised(p.weights)
        return indices, weights


def _normalised(weights: Float[np.ndarray, "v j"]) -> Float[np.ndarray, "v j"]:
    total = weights.sum(1, keepdims=True)
    return weights / np.where(total > 0, total, 1.0)


def _choose_action(file: GltfFile, action: str | None) -> tuple[str | None, list[Channel]]:
    animations = file.items("animations")
    names = [str(a.get("name", f"animation_{i}")) for i, a in enumerate(animations)]
    if action is None:
        return (names[0], read_channels(file, animations[0])) if animations else (None, [])
    if action not in names:
        # FBX exporters put the armature's name in front: "Armature|Walk".
        short = [i for i, n in enumerate(names) if n.rsplit("|", 1)[-1] == action]
        if len(short) != 1:
            raise InputError(
                "action", expected=f"one of {', '.join(names) or '(the file has none)'}", got=repr(action),
                fix="choose a clip of the list",
            )  # fmt: skip
        action = names[short[0]]
    return action, read_channels(file, animations[names.index(action)])


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
        self._materials = [Material(clip.file, None if m == -1 else m, mottle) for m in used]
        numbers = [used.index(-1 if p.material is None else p.material) for p in clip.primitives]
        self._of_face = np.repeat(numbers, [len(p.faces) for p in clip.primitives])

    def __call__(self, face: Int[np.ndarray, "n"], barycentric: Float[np.ndarray, "n 3"]) -> Float[np.ndarray, "n 3"]:
        corners, b = self._faces[face], barycentric[..., None]
        uv, tint, points = ((a[corners] * b).sum(1) for a in (self._uv, self._colors, self._rest))
        out = np.zeros((len(face), 3))
        for number, material in enumerate(self._materials):
            here = self._of_face[face] == number
            out[here] = material.color_at(uv[here], tint[here], points[here])
        return out


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
