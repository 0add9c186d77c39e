"""Skeletons: joints in a tree, forward kinematics, and skin weights.

A joint's rest frame has the world's axes and sits at the joint's head, so a rest transform is a translation.  Matrices
are float64.  Knows nothing of files or rendering.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

from recon4d.synthetic.shapes import Vector
from recon4d.synthetic.surface import directed_edges

INFLUENCES = 4


@dataclass(frozen=True, eq=False)
class Skeleton:
    """Joints of a creature in its rest pose.

    Attributes:
        names: B names.
        parents: [B] index of each joint's parent, -1 for the root; a parent comes before its children.
        heads: [B, 3] where each joint turns.
        tails: [B, 3] the other end of each bone, used only to find skin weights.
        radii: [B] thickness of the flesh around each bone, used only to find skin weights.
    """

    names: tuple[str, ...]
    parents: tuple[int, ...]
    heads: Float[np.ndarray, "b 3"]
    tails: Float[np.ndarray, "b 3"]
    radii: Float[np.ndarray, "b"]

    def index(self, name: str) -> int:
        """Index of the joint of this name."""
        return self.names.index(name)

    def pose(
        self, rotations: dict[str, Float[np.ndarray, "3 3"]], root_translation: Vector = (0.0, 0.0, 0.0)
    ) -> Float[np.ndarray, "b 4 4"]:
        """Joint frames `world_from_joint` for local rotations given by joint name (identity where absent)."""
        frames = np.zeros((len(self.names), 4, 4))
        for b, (name, parent) in enumerate(zip(self.names, self.parents, strict=True)):
            local = np.eye(4)
            local[:3, :3] = rotations.get(name, np.eye(3))
            if parent < 0:
                local[:3, 3] = self.heads[b] + np.asarray(root_translation)
                frames[b] = local
            else:
                local[:3, 3] = self.heads[b] - self.heads[parent]
                frames[b] = frames[parent] @ local
        return frames

    def rest(self) -> Float[np.ndarray, "b 4 4"]:
        """Joint frames of the rest pose."""
        return self.pose({})


Bone = tuple[str, str | None, Vector, Vector, float]


def build_skeleton(bones: Sequence[Bone]) -> Skeleton:
    """Skeleton from rows (name, parent's name or None, head, tail, radius), parents first."""
    names = tuple(row[0] for row in bones)
    parents = tuple(-1 if row[1] is None else names.index(row[1]) for row in bones)
    heads = np.array([row[2] for row in bones], np.float64)
    tails = np.array([row[3] for row in bones], np.float64)
    return Skeleton(names, parents, heads, tails, np.array([row[4] for row in bones], np.float64))


def smooth_weights(
    skeleton: Skeleton, vertices: Float[np.ndarray, "v 3"], faces: Int[np.ndarray, "f 3"], width: float
) -> tuple[Int[np.ndarray, "v 4"], Float[np.ndarray, "v 4"]]:
    """Skin weights: each vertex first belongs to its nearest bone, then weights are diffused over the surface.

    Distances are measured in units of each bone's radius.  Diffusion runs along mesh edges, so it never leaks between
    two legs that merely come close.  The four strongest are kept and made to sum to one.

    Args:
        width: standard deviation of the diffusion, scene units.

    Returns:
        joint indices [V, 4] and weights [V, 4], strongest first.
    """
    from scipy.sparse import csr_array

    axis = skeleton.tails - skeleton.heads
    along = np.einsum("vbi,bi->vb", vertices[:, None] - skeleton.heads, axis) / np.maximum((axis**2).sum(-1), 1e-12)
    nearest = skeleton.heads + np.clip(along, 0, 1)[..., None] * axis
    distance = np.linalg.norm(vertices[:, None] - nearest, axis=-1) / skeleton.radii
    weights = np.zeros_like(distance)
    weights[np.arange(len(vertices)), distance.argmin(1)] = 1.0
    first, second = directed_edges(faces)
    # Every undirected edge of a closed mesh appears in both directions.
    size = len(vertices)
    degree = np.bincount(first, minlength=size)
    mean = csr_array((1.0 / degree[first], (first, second)), shape=(size, size))
    edge = float(np.linalg.norm(vertices[first] - vertices[second], axis=-1).mean())
    # One round of averaging with the neighbours moves mass by about an edge length, in a random direction.
    for _ in range(max(1, round(2 * (width / edge) ** 2))):
        weights = 0.5 * weights + 0.5 * (mean @ weights)
    order = np.argsort(-weights, axis=1, kind="stable")[:, :INFLUENCES]
    if order.shape[1] < INFLUENCES:
        order = np.pad(order, ((0, 0), (0, INFLUENCES - order.shape[1])))
    strongest = np.take_along_axis(weights, order, axis=1)
    strongest[:, len(skeleton.names) :] = 0.0
    return order, strongest / strongest.sum(1, keepdims=True)


def rotation(axis: str, degrees: float) -> Float[np.ndarray, "3 3"]:
    """Rotation matrix about the x, y or z axis, right-handed."""
    c, s = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    i, j = {"x": (1, 2), "y": (2, 0), "z": (0, 1)}[axis]
    matrix = np.eye(3)
    matrix[i, i] = matrix[j, j] = c
    matrix[i, j], matrix[j, i] = -s, s
    return matrix


def two_bone_reach(
    root: Float[np.ndarray, "3"],
    middle: Float[np.ndarray, "3"],
    end: Float[np.ndarray, "3"],
    target: Float[np.ndarray, "3"],
) -> tuple[float, float]:
    """Angles in degrees about the y axis, for the upper and then the lower bone, that bring `end` to `target`.

    All points are in the parent's frame, positions of the rest pose; only x and z count.  The joint keeps bending to
    the side it bends to at rest.  Targets out of reach are approached along the straight line.
    """

    def angle(v: np.ndarray) -> float:
        # Angle about +y from +x towards -z, the direction in which rotation("y", +) turns.
        return float(np.degrees(np.arctan2(-v[2], v[0])))

    upper, lower = middle - root, end - middle
    a, b = float(np.hypot(upper[0], upper[2])), float(np.hypot(lower[0], lower[2]))
    reach = target - root
    c = float(np.clip(np.hypot(reach[0], reach[2]), abs(a - b) * 1.001 + 1e-6, (a + b) * 0.9995))
    rest_reach = end - root
    side = np.sign(upper[2] * rest_reach[0] - upper[0] * rest_reach[2])
    inner = np.degrees(np.arccos(np.clip((a * a + c * c - b * b) / (2 * a * c), -1, 1)))
    upper_angle = angle(reach) - side * inner
    bend = 180 - np.degrees(np.arccos(np.clip((a * a + b * b - c * c) / (2 * a * b), -1, 1)))
    lower_angle = upper_angle + side * bend
    first = upper_angle - angle(upper)
    return first, (lower_angle - angle(lower)) - first
