"""The meshes of a .glb moved by one of its animations.

Everything stays in the file's own axes and units.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from jaxtyping import Float, Int

from recon4d.core import InputError
from recon4d.data.gltf.animation import Channel, read_channels
from recon4d.data.gltf.file import GltfFile
from recon4d.data.gltf.mesh import Primitive, read_primitives
from recon4d.data.gltf.nodes import NodeTree
from recon4d.data.gltf.skin import skin


class GltfClip:
    """The meshes of a .glb moved by one of its animations, in the file's own axes and units.

    Attributes:
        action: name of the animation, or None when the file has none.
        duration: its length in seconds.
        faces: [F, 3] over all vertices.
        primitives: the parts, in the order of their vertices.
        skins: for each node with a skin, the nodes of its joints and their inverse bind matrices.
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
        self.skins = {i: self._read_skin(i) for i in {p.node for p in self.primitives} if "skin" in self.tree.nodes[i]}
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
            if p.node in self.skins:
                joints, inverse = self.skins[p.node]
                parts.append(skin(positions, world[joints] @ inverse, p.joints, _normalised(p.weights)))
            else:
                parts.append(skin(positions, world[p.node][None], np.zeros((len(positions), 1), np.int64),
                                  np.ones((len(positions), 1))))  # fmt: skip
        return np.concatenate(parts)

    def joint_nodes(self) -> list[int]:
        """All joints of the skins in use, parents before children."""
        used = {j for joints, _ in self.skins.values() for j in joints}
        return [i for i in self.tree.order if i in used]

    def world_matrices(self, time: float) -> Float[np.ndarray, "n 4 4"]:
        """`world_from_node` of all nodes at a time of the clip, in the file's axes."""
        return self.tree.world_matrices(self._channels, self._start + time)

    def bind_frames(self, joints: list[int]) -> Float[np.ndarray, "b 4 4"]:
        """Frames of `joints` in which their skin was bound to them; the first skin's where several share a joint."""
        frames: dict[int, Float[np.ndarray, "4 4"]] = {}
        for of_skin, inverse in self.skins.values():
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
            if p.node in self.skins:
                of_skin = np.array([place[j] for j in self.skins[p.node][0]])
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
