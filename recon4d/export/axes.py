"""From the world's axes to those of files that are y up, as glTF and USD are.

Does NOT decide which way is up in a scene; `subject.up_direction` does.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Float


def y_up_from_world(up: Float[np.ndarray, "3"]) -> Float[np.ndarray, "4"]:
    """[4] unit quaternion wxyz of the shortest turn that takes a unit vector, up in the world, to +y.

    For +z it is the usual one: x stays, z becomes y, y becomes -z.
    """
    cosine = float(up[1])
    if cosine < -1 + 1e-12:  # straight down: any half turn about a horizontal axis
        return np.array([0.0, 1.0, 0.0, 0.0])
    axis = np.cross(up, [0.0, 1.0, 0.0])
    turn = np.array([1 + cosine, *axis])
    return turn / np.linalg.norm(turn)
