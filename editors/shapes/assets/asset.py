"""What an asset is: a field of its own, with the mesh it came from where there is one.  Reads no files."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

from recon4d.field import Field


@dataclass(frozen=True, eq=False)
class AssetMesh:
    """Triangles of an asset in its canonical state, and where its surfels sit on them.

    Attributes:
        vertices: [V, 3] asset units.
        faces: [F, 3] counter-clockwise seen from outside, if the file was.
        face: [N] the triangle of each surfel.
        barycentric: [N, 3] where on it.
    """

    vertices: Float[np.ndarray, "v 3"]
    faces: Int[np.ndarray, "f 3"]
    face: Int[np.ndarray, "n"]
    barycentric: Float[np.ndarray, "n 3"]


@dataclass(frozen=True, eq=False)
class Asset:
    """Something to insert, attach or put in another subject's place.

    Attributes:
        name: short name, after the file.
        field: its surfels (float32, sh) and own motion over [0, duration], z up.  Ids count from 0.
        mesh: the triangles, None for splats.
        bone_names: names of the field's bones, empty where it has none.
        duration: seconds of its motion, 0 where it stands still.
        motion_error: how far the field's bones, which are rigid and move smoothly, are from the file's own motion at
            most, as a share of the asset's size; 0 where it stands still.
        sha256: of the file, or of the scene's contents.
    """

    name: str
    field: Field
    mesh: AssetMesh | None
    bone_names: tuple[str, ...] = ()
    duration: float = 0.0
    motion_error: float = 0.0
    sha256: str = ""
