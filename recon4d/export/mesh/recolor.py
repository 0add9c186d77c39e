"""What edits did to the colours of a layer, as maps of colour along its mesh: applied to what the film shows.

Edits take colours affinely, c to M c + b, part of the way; so around every vertex the surfels' colours before and after
say how the film's colours there change, texture and all.  Does NOT know pictures.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float32, Float64, Int64
from torch import Tensor

from recon4d.core import Surfels
from recon4d.editors.colors import SH_CONSTANT
from recon4d.export.mesh.motion import Anchors
from recon4d.export.mesh.origins import Origins
from recon4d.export.mesh.topology import TriMesh
from recon4d.export.mesh.unwrap import SurfacePoints
from recon4d.field import Field
from recon4d.scene import Scene

_CHANGED = 0.5 / 255
_AROUND = 32  # surfels that say what happened to colours
_RIDGE = 1e-4  # variance of colours below which they do not tell what would happen to others
_MOMENTS = 8


@dataclass(frozen=True, eq=False)
class ColorChange:
    """What becomes of colours at V vertices: c goes part of the way to matrix c + offset.

    Attributes:
        before: [V, 3] colours of the surfels there before the edits.
        shares: [V] how much of the way, 0 where nothing changed.
        matrices: [V, 3, 3].
        offsets: [V, 3].
    """

    before: Float32[np.ndarray, "v 3"]
    shares: Float32[np.ndarray, " v"]
    matrices: Float32[np.ndarray, "v 3 3"]
    offsets: Float32[np.ndarray, "v 3"]

    def of(
        self, colors: Float32[np.ndarray, "n 3"], points: SurfacePoints, faces: Int64[np.ndarray, "f 3"]
    ) -> Float32[np.ndarray, "n 3"]:
        """Colours at points of the mesh, changed."""
        # Mixed at the vertices, so that what nothing happened to stays as it is.
        share = self.shares[:, None]
        matrices = share * (self.matrices.reshape(-1, 9) - np.eye(3, dtype=np.float32).reshape(1, 9))
        matrix = points.of(matrices, faces).reshape(-1, 3, 3)
        change = np.einsum("nij,nj->ni", matrix, colors) + points.of(share * self.offsets, faces)
        return (colors + change).clip(0, 1)


def color_change(
    shown: Surfels, mesh: TriMesh, anchors: Anchors, origins: Origins, unedited: Scene
) -> ColorChange | None:
    """How colours of a layer were changed; None where they were not.

    Args:
        shown: the layer's canonical surfels with the colours that they are to have.
        mesh: canonical.
        anchors: of the mesh on the surfels.
        origins: of the surfels.
        unedited: the scene that they come from.
    """
    from scipy.spatial import cKDTree

    after, before = _plain_colors(shown), _colors_before(origins, unedited, len(shown))
    changed = origins.known & ((after - before).abs().amax(1) > _CHANGED)
    if not bool(changed.any()):
        return None
    rows = torch.nonzero(changed)[:, 0].numpy()
    known = anchors.shares * origins.known[anchors.rows]
    known = known / known.sum(1, keepdim=True).clamp_min(1e-6)
    shares = (known * changed[anchors.rows]).sum(1)
    usual = (known[..., None] * before[anchors.rows]).sum(1).clamp(0, 1).float().numpy()
    touched = torch.nonzero(shares > 0)[:, 0].numpy()
    centers = shown.centers.double().numpy()
    number = min(_AROUND, len(rows))
    distance, found = cKDTree(centers[rows]).query(mesh.vertices[touched], k=np.arange(1, number + 1))
    weights = np.exp(-((distance / np.maximum(distance.mean(1, keepdims=True), 1e-12)) ** 2))
    matrices, offsets = np.zeros((len(mesh.vertices), 3, 3), np.float32), np.zeros((len(mesh.vertices), 3), np.float32)
    known, wanted = before.numpy()[rows], after.numpy()[rows]
    everywhere = _fitted(known[None], wanted[None], np.ones((1, len(rows))), np.zeros((3, 3)))
    usually = everywhere[0][0] * _explained(known, wanted, everywhere[0][0])
    matrices[touched], offsets[touched] = _fitted(known[found], wanted[found], weights, usually)
    return ColorChange(usual, shares.float().numpy(), matrices, offsets)


def shown_surfels(field: Field, times: Sequence[float]) -> tuple[Surfels, bool]:
    """The canonical surfels in the mean of their colours over some moments, and whether these change."""
    surfels = field.canonical.to("cpu", torch.float32)
    if type(field) is Field:
        return surfels, False
    spread = np.linspace(0, len(times) - 1, min(len(times), _MOMENTS)).round().astype(int)
    name = "features" if surfels.sh is None else "sh"
    with torch.no_grad():
        moments = [getattr(field.appearance_at(time), name) for time in [times[i] for i in np.unique(spread)]]
    if moments[0] is None:
        return surfels, False
    colors = torch.stack([moment.float().cpu() for moment in moments])
    return surfels.replace(**{name: colors.mean(0)}), bool((colors - colors[:1]).abs().max() > _CHANGED)


def _plain_colors(surfels: Surfels) -> Tensor:
    """[N, 3] colours without what depends on the view, float64."""
    if surfels.sh is not None:
        return 0.5 + SH_CONSTANT * surfels.sh[:, 0].detach().double().cpu()
    if surfels.features is not None:
        return torch.nn.functional.pad(surfels.features, (0, 3))[:, :3].detach().double().cpu()
    return torch.full((len(surfels), 3), 0.5, dtype=torch.float64)


def _colors_before(origins: Origins, unedited: Scene, count: int) -> Tensor:
    colors = torch.zeros(count, 3, dtype=torch.float64)
    for number, layer in enumerate(unedited.layers):
        mine = origins.layers == number
        if bool(mine.any()):
            colors[mine] = _plain_colors(layer.field.canonical)[origins.rows[mine]]
    return colors


def _fitted(
    before: Float64[np.ndarray, "p k 3"],
    after: Float64[np.ndarray, "p k 3"],
    weights: Float64[np.ndarray, "p k"],
    usually: Float64[np.ndarray, "3 3"],
) -> tuple[Float64[np.ndarray, "p 3 3"], Float64[np.ndarray, "p 3"]]:
    """Affine maps by weighted least squares, drawn to `usually` where the colours before differ too little to tell."""
    share = (weights / weights.sum(1, keepdims=True))[..., None]
    middle, target = (share * before).sum(1), (share * after).sum(1)
    away, there = before - middle[:, None], after - target[:, None]
    variance = (share * away).swapaxes(1, 2) @ away + _RIDGE * np.eye(3)
    cross = (share * there).swapaxes(1, 2) @ away + _RIDGE * usually
    matrices = np.linalg.solve(variance, cross.swapaxes(1, 2)).swapaxes(1, 2)
    return matrices, target - np.einsum("pij,pj->pi", matrices, middle)


def _explained(
    before: Float64[np.ndarray, "k 3"], after: Float64[np.ndarray, "k 3"], matrix: Float64[np.ndarray, "3 3"]
) -> float:
    """Which share of how colours differ after the edits one map for all of them explains."""
    there = after - after.mean(0)
    left = there - (before - before.mean(0)) @ matrix.T
    return max(0.0, 1 - float((left**2).sum()) / max(float((there**2).sum()), 1e-12))
