"""The bones of a mesh over time: taken from the warp that has some, or fitted to motion that has none.

Does NOT know formats, and does NOT change weights.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Float32
from torch import Tensor

from recon4d.core import quaternion
from recon4d.core.spline import SE3Spline
from recon4d.export.mesh.motion import Anchors
from recon4d.export.mesh.refit import refit
from recon4d.export.mesh.skin import Skin, free_bones, transferred
from recon4d.export.mesh.topology import TriMesh
from recon4d.field import BonesWarp, Field

FREE_BONES = 48


@dataclass(frozen=True, eq=False)
class BoneTrack:
    """B bones under one root at T moments; unit quaternions wxyz, scene units, float64.

    Attributes:
        rest_rotations, rest_translations: [B, 4] and [B, 3] canonical_from_bone: where the bones are when the mesh is
            in its canonical state, the root being at the world's origin.
        root_rotations, root_translations: [T, 4] and [T, 3] world_from_root.
        rotations, translations: [T, B, 4] and [T, B, 3] root_from_bone.
    """

    rest_rotations: Float[np.ndarray, "b 4"]
    rest_translations: Float[np.ndarray, "b 3"]
    root_rotations: Float[np.ndarray, "t 4"]
    root_translations: Float[np.ndarray, "t 3"]
    rotations: Float[np.ndarray, "t b 4"]
    translations: Float[np.ndarray, "t b 3"]

    def __len__(self) -> int:
        """Number of bones B."""
        return len(self.rest_rotations)

    def root_moves(self) -> tuple[Float[np.ndarray, "t 3 3"], Float[np.ndarray, "t 3"]]:
        """World_from_root at every time: rotation matrices and translations."""
        return _matrix(self.root_rotations), self.root_translations

    def moves(self) -> tuple[Float[np.ndarray, "t b 3 3"], Float[np.ndarray, "t b 3"]]:
        """World_from_canonical of every bone at every time: rotation matrices and translations."""
        root, bones, rest = (_matrix(q) for q in (self.root_rotations, self.rotations, self.rest_rotations))
        turns = root[:, None] @ bones @ rest.swapaxes(-1, -2)
        places = (root[:, None] @ self.translations[..., None])[..., 0] + self.root_translations[:, None]
        return turns, places - (turns @ self.rest_translations[..., None])[..., 0]


def bones_of(
    field: Field, mesh: TriMesh, anchors: Anchors, times: Sequence[float], truth: Float32[np.ndarray, "t v 3"]
) -> tuple[BoneTrack, Skin, str]:
    """Bones and skin of a mesh, and in words where they come from.

    Bones that blend linearly are taken as they are.  Everything else is fitted to the vertices' motion: by the bones
    and weights that the warp has, if any, else by bones spread over the surface.

    Args:
        field: of the layer.
        mesh: canonical.
        anchors: of the mesh on the field's surfels.
        times: [T] seconds.
        truth: [T, V, 3] where the surfels carry the vertices.
    """
    warp = field.warp.underlying
    if isinstance(warp, BonesWarp):
        skin = transferred(warp, anchors, mesh)
        if type(field) is Field and field.warp is warp and warp.blend == "linear":
            return _track_of(warp, times), skin, "the scene's own bones"
        rest = _numpy(quaternion.normalize(warp.rest_rotations_wxyz)), _numpy(warp.rest_translations)
        return (
            _fitted(mesh, skin, truth, *rest),
            skin,
            "the scene's bones, fitted to motion that they do not make alone",
        )
    heads, skin = free_bones(mesh, FREE_BONES)
    rest = np.tile([1.0, 0, 0, 0], (len(heads), 1)), heads
    return _fitted(mesh, skin, truth, *rest), skin, f"{len(heads)} bones spread over the surface, fitted to its motion"


def rigid_track(path: SE3Spline | None, times: Sequence[float]) -> BoneTrack:
    """A root without bones that moves along a path; it stands at the origin where there is none."""
    count = len(times)
    turn, place = np.tile([1.0, 0, 0, 0], (count, 1)), np.zeros((count, 3))
    if path is not None:
        turn, place = (_numpy(x) for x in path.at(torch.tensor(times, dtype=torch.float64)))
    return BoneTrack(
        np.zeros((0, 4)), np.zeros((0, 3)), continuous(turn), place, np.zeros((count, 0, 4)), np.zeros((count, 0, 3))
    )


def _track_of(warp: BonesWarp, times: Sequence[float]) -> BoneTrack:
    moments = torch.tensor(times, dtype=torch.float64)
    rotations, translations = (_numpy(x.transpose(0, 1)) for x in warp.path.at(moments))
    root = rigid_track(warp.root, times)
    return BoneTrack(
        _numpy(quaternion.normalize(warp.rest_rotations_wxyz)),
        _numpy(warp.rest_translations),
        root.root_rotations,
        root.root_translations,
        continuous(rotations),
        translations,
    )


def _fitted(
    mesh: TriMesh,
    skin: Skin,
    truth: Float32[np.ndarray, "t v 3"],
    rest_rotations: Float[np.ndarray, "b 4"],
    rest_translations: Float[np.ndarray, "b 3"],
) -> BoneTrack:
    turns, shifts = refit(mesh.vertices, skin, truth, len(rest_rotations))
    rotations = turns @ _matrix(rest_rotations)
    translations = (turns @ rest_translations[..., None])[..., 0] + shifts
    still = rigid_track(None, [0.0] * len(truth))
    quaternions = _numpy(quaternion.from_matrix(torch.from_numpy(np.ascontiguousarray(rotations))))
    return BoneTrack(
        rest_rotations,
        rest_translations,
        still.root_rotations,
        still.root_translations,
        continuous(quaternions),
        translations,
    )


def continuous(rotations: Float[np.ndarray, "t *b 4"]) -> Float[np.ndarray, "t *b 4"]:
    """The same rotations with signs that do not jump from one moment to the next: players blend the numbers."""
    turned = rotations / np.linalg.norm(rotations, axis=-1, keepdims=True)
    if len(turned) > 1:
        flips = np.where((turned[1:] * turned[:-1]).sum(-1, keepdims=True) < 0, -1.0, 1.0)
        turned[1:] *= np.cumprod(flips, axis=0)
    return turned


def _matrix(rotations: Float[np.ndarray, "*b 4"]) -> Float[np.ndarray, "*b 3 3"]:
    return quaternion.to_matrix(torch.from_numpy(rotations)).numpy()


def _numpy(tensor: Tensor) -> np.ndarray:
    return tensor.detach().double().cpu().numpy()
