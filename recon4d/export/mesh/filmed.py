"""Where the mesh of an edited layer was when it was filmed: its vertices, carried by the surfels as they were then.

Edits move surfels, bend them and change the clock; the film knows nothing of it.  Every vertex is laid among the
surfels that it moves with, as they were in the canonical state before the edits, and moves with those.  Does NOT know
colours or pictures.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float, Float32, Int64
from torch import Tensor

from recon4d.core import quaternion
from recon4d.export.mesh.motion import Anchors, carried
from recon4d.export.mesh.origins import Origins
from recon4d.export.mesh.topology import TriMesh
from recon4d.field import Field
from recon4d.scene import Scene

_MOSTLY = 0.5  # share of a vertex's surfels that has to be of one filmed layer


@dataclass(frozen=True, eq=False)
class FilmedMesh:
    """A mesh before the edits.

    Attributes:
        unedited: the scene that was filmed.
        known: [V] whether a vertex was filmed; others are nowhere.
        faces: [G] numbers of the faces that were: those all of whose vertices were.
        parts: for some layers of the unedited scene: number, vertices [P], and how these move with its surfels.
    """

    unedited: Scene
    known: Bool[np.ndarray, " v"]
    faces: Int64[np.ndarray, " g"]
    parts: tuple[tuple[int, Int64[np.ndarray, " _"], Anchors], ...]

    def positions(self, time: float) -> Float32[np.ndarray, "v 3"]:
        """The vertices at a time of the unedited scene; what was not filmed lies at the origin."""
        places = np.zeros((len(self.known), 3), np.float32)
        for number, vertices, anchors in self.parts:
            places[vertices] = carried(self.unedited.layers[number].field, anchors, [time])[0]
        return places


def filmed_mesh(field: Field, mesh: TriMesh, anchors: Anchors, origins: Origins, unedited: Scene) -> FilmedMesh:
    """Lay an edited layer's mesh among the surfels that were filmed.

    Args:
        field: of the edited layer.
        mesh: canonical.
        anchors: of the mesh on the field's surfels.
        origins: of the field's surfels.
        unedited: the scene that they come from.
    """
    home = origins.layers[anchors.rows]
    known = np.zeros(len(mesh.vertices), bool)
    parts = []
    for number, layer in enumerate(unedited.layers):
        shares = anchors.shares * (home == number)
        mine = torch.nonzero(shares.sum(1) > _MOSTLY)[:, 0]
        if len(mine) == 0:
            continue
        moved = _laid(field, layer.field, mesh, anchors, origins, shares, mine)
        parts.append((number, mine.numpy(), moved))
        known[mine.numpy()] = True
    return FilmedMesh(unedited, known, np.flatnonzero(known[mesh.faces].all(1)), tuple(parts))


def _laid(
    field: Field,
    before: Field,
    mesh: TriMesh,
    anchors: Anchors,
    origins: Origins,
    shares: Float[Tensor, "v k"],
    mine: Int64[Tensor, " p"],
) -> Anchors:
    """How some vertices move with the surfels of one layer as it was filmed."""
    now, weights = anchors.rows[mine], shares[mine]
    weights = weights / weights.sum(1, keepdim=True)
    # Surfels of other layers, and new ones, count nothing; the strongest stands in for them.
    now = torch.where(weights > 0, now, now.gather(1, weights.argmax(1, keepdim=True)))
    then = origins.rows[now]
    places = torch.from_numpy(mesh.vertices).double()[mine]
    here, there = _frames(field, now), _frames(before, then)
    moved = ((here[0] != there[0]) & (weights > 0)[..., None]).any(-1).any(-1)
    if bool(moved.any()):
        places[moved] = _carried_back(
            places[moved], here[0][moved], here[1][moved], there[0][moved], there[1][moved], weights[moved].double()
        )
    return Anchors(then, weights, (places[:, None] - there[0]).float())


def _frames(field: Field, rows: Int64[Tensor, "p k"]) -> tuple[Float[Tensor, "p k 3"], Float[Tensor, "p k 3"]]:
    """Canonical centres and normals of some surfels, float64."""
    surfels = field.canonical
    turns = quaternion.to_matrix(quaternion.normalize(surfels.rotations_wxyz.detach().double().cpu()))
    return surfels.centers.detach().double().cpu()[rows], turns[..., 2][rows]


def _carried_back(
    places: Float[Tensor, "p 3"],
    here: Float[Tensor, "p k 3"],
    facing: Float[Tensor, "p k 3"],
    there: Float[Tensor, "p k 3"],
    faced: Float[Tensor, "p k 3"],
    weights: Float[Tensor, "p k"],
) -> Float[Tensor, "p 3"]:
    """Points among surfels, laid among the same surfels as they were: by the similarity that fits centres and normals.

    After Umeyama (1991).  Normals count as much as the centres' spread, so that surfels in a line or a plane leave no
    turn open.
    """
    share = weights[..., None]
    middle, target = (share * here).sum(1, keepdim=True), (share * there).sum(1, keepdim=True)
    away, back = here - middle, there - target
    spread, wanted = ((share * x**2).sum((1, 2)).sqrt() for x in (away, back))
    cross = ((share * back).mT @ away) + (spread * wanted)[:, None, None] * ((share * faced).mT @ facing)
    left, _, right = torch.linalg.svd(cross)
    flip = torch.ones(len(places), 3, dtype=places.dtype)
    flip[:, 2] = torch.linalg.det(left @ right).sign()
    turn = (left * flip[:, None]) @ right
    scale = torch.where(spread > 0, wanted / spread.clamp_min(1e-300), 1.0)
    moved = (turn @ (places - middle[:, 0])[..., None])[..., 0]
    return target[:, 0] + scale[:, None] * moved
