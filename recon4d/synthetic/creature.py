"""What a built-in creature is: a closed textured surface, an animation, and usually a skeleton.

Knows nothing of cameras, rendering or files.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

from recon4d.data.gltf import skin
from recon4d.synthetic.skeleton import Skeleton


@dataclass(frozen=True, eq=False)
class Rig:
    """A skeleton, how each vertex follows it, and how it moves.

    Attributes:
        skeleton: joints and their rest pose.
        indices, weights: [V, 4] influences of each vertex, strongest first, weights summing to one.
        pose: joint frames `world_from_joint` [B, 4, 4] at a time in seconds.
    """

    skeleton: Skeleton
    indices: Int[np.ndarray, "v 4"]
    weights: Float[np.ndarray, "v 4"]
    pose: Callable[[float], Float[np.ndarray, "b 4 4"]]

    def skin_matrices_at(self, time: float) -> Float[np.ndarray, "b 4 4"]:
        """`world_from_rest` of every joint: the posed frame after the inverse of the rest frame."""
        matrices = self.pose(time).copy()
        # The inverse of a rest frame only shifts by minus the head.
        matrices[:, :3, 3] -= np.einsum("bij,bj->bi", matrices[:, :3, :3], self.skeleton.heads)
        return matrices


@dataclass(frozen=True, eq=False)
class Creature:
    """A moving subject made by code.  World up is +z, the creature looks along +x, it stands near the origin.

    Attributes:
        name: short name.
        vertices: [V, 3] rest pose, scene units.
        faces: [F, 3] counter-clockwise seen from outside; a closed surface.
        paint: colours [N, 3] (display sRGB in [0, 1]) of points [N, 3] of the rest pose: a solid texture, so its detail
            does not depend on the mesh and it sticks to the moving surface.
        duration: seconds of one whole clip.
        loops: whether the state at `duration` equals the state at 0.
        rig: the skeleton that moves it, or None.
        deform: the motion [V, 3] -> [V, 3] at a time, for a creature without a rig.
    """

    name: str
    vertices: Float[np.ndarray, "v 3"]
    faces: Int[np.ndarray, "f 3"]
    paint: Callable[[Float[np.ndarray, "n 3"]], Float[np.ndarray, "n 3"]]
    duration: float
    loops: bool = False
    rig: Rig | None = None
    deform: Callable[[Float[np.ndarray, "v 3"], float], Float[np.ndarray, "v 3"]] | None = None

    def vertices_at(self, time: float) -> Float[np.ndarray, "v 3"]:
        """Vertices [V, 3] in the world at a time in seconds."""
        if self.rig is not None:
            return skin(self.vertices, self.rig.skin_matrices_at(time), self.rig.indices, self.rig.weights)
        if self.deform is not None:
            return self.deform(self.vertices, time)
        return self.vertices.copy()
