"""From the scene's space to glTF's: y up, and metres where the scene's scale is known.

glTF wants both.  Everything is converted when it is written, and nothing is left to a node at the top, which engines
treat each in its own way.  Does NOT write anything.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Float32

from recon4d.core import quaternion
from recon4d.export.axes import y_up_from_world
from recon4d.export.subject import up_direction
from recon4d.scene import Scene


@dataclass(frozen=True, eq=False)
class Space:
    """A turn about the origin, then a scale.

    Attributes:
        turn: [4] unit quaternion wxyz, gltf_from_scene.
        scale: glTF units (metres where known) in one scene unit.
    """

    turn: Float[np.ndarray, "4"]
    scale: float

    @staticmethod
    def of(scene: Scene) -> Space:
        """That of a scene: its up is +y."""
        return Space(y_up_from_world(up_direction(scene.cameras)), scene.metres_per_unit or 1.0)

    @property
    def matrix(self) -> Float[np.ndarray, "4 4"]:
        """gltf_from_scene as a matrix."""
        result = np.eye(4)
        result[:3, :3] = self.scale * quaternion.to_matrix(torch.from_numpy(self.turn)).numpy()
        return result

    def points(self, points: Float[np.ndarray, "*n 3"]) -> Float32[np.ndarray, "*n 3"]:
        """Positions, or differences of positions."""
        return (points.astype(np.float64) @ self.matrix[:3, :3].T).astype(np.float32)

    def rotations(self, rotations_wxyz: Float[np.ndarray, "*n 4"]) -> Float[np.ndarray, "*n 4"]:
        """Rotations a_from_b, wxyz, of two frames that are both turned: q r q*."""
        turn = torch.from_numpy(self.turn)
        turned = quaternion.multiply(turn, torch.from_numpy(np.ascontiguousarray(rotations_wxyz, np.float64)))
        return quaternion.multiply(turned, quaternion.conjugate(turn)).numpy()

    def orientations(self, rotations_wxyz: Float[np.ndarray, "*n 4"]) -> Float[np.ndarray, "*n 4"]:
        """Rotations scene_from_thing, wxyz, of things with axes of their own, as cameras: q r."""
        rotations = torch.from_numpy(np.ascontiguousarray(rotations_wxyz, np.float64))
        return quaternion.multiply(torch.from_numpy(self.turn), rotations).numpy()


def xyzw(rotations_wxyz: Float[np.ndarray, "*n 4"]) -> Float32[np.ndarray, "*n 4"]:
    """The order that glTF has, as float32 of unit length."""
    turned = np.roll(rotations_wxyz, -1, axis=-1)
    return (turned / np.linalg.norm(turned, axis=-1, keepdims=True)).astype(np.float32)
