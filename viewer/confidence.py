"""How far the scene can be trusted: which surfels an input camera saw, and which views lie near an input view.

A surfel is as sure as its best view: it was seen where nothing in front of it hid it, and the better the more its face
was turned to the camera.  A view is sure within `SURE` degrees of an input view and a guess from `GUESS` degrees on,
as seen from the subject, which may have turned; these are the limits that reports of reconstructions use too.

Does NOT know how well the fit agrees with the frames.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from recon4d.core import InputError
from recon4d.core.quaternion import rotate, to_matrix
from recon4d.core.rigid import align_similarity
from recon4d.export.colors import oklch_to_srgb
from recon4d.export.pose_track import fitted_to
from recon4d.render import rasterize
from recon4d.scene import Layer, Scene, merge_surfels

SURE, GUESS = 20.0, 60.0  # degrees between views
_VIEWS = 24  # input frames that are looked at
_SIDE = 224  # pixels of their longer side
_BEHIND = 0.02  # of the distance: how far behind what is drawn a surfel may lie and still count as seen
_EDGE_ON, _FULL = 0.15, 0.6  # cosine to the camera from which a surfel begins to be sure, and is sure
_SAMPLE = 2000


def surfel_confidence(scene: Scene) -> dict[str, Float[Tensor, " _"]]:
    """How surely each surfel was seen, 0 to 1, by the name of its layer."""
    counts = [len(layer.field) for layer in scene.layers]
    best = torch.zeros(sum(counts))
    if not best.numel():
        return {layer.name: best[:0] for layer in scene.layers}
    for frame in np.unique(np.linspace(0, len(scene.cameras) - 1, _VIEWS).round().astype(int)).tolist():
        with torch.no_grad():
            surfels = merge_surfels([layer.field.at(float(scene.frame_times[frame])) for layer in scene.layers])
            surfels = surfels.replace(sh=None, features=torch.zeros(len(surfels), 1)).to(torch.float32)
            camera = scene.cameras[frame]
            share = min(1.0, _SIDE / max(camera.width, camera.height))
            small = fitted_to(camera, max(1, round(camera.width * share)), max(1, round(camera.height * share)))
            small = small.to("cpu", torch.float32)
            image = rasterize(surfels, small)
            pixels, depths = small.project(surfels.centers)
            column, row = pixels.nan_to_num(-1.0).floor().long().unbind(-1)
            inside = (depths > 1e-6) & (column >= 0) & (row >= 0) & (column < small.width) & (row < small.height)
            there = image.depth[row.clamp(0, small.height - 1), column.clamp(0, small.width - 1), 0]
            seen = inside & (there > 0) & (depths <= there * (1 + _BEHIND))
            toward = torch.nn.functional.normalize(small.center_in_world - surfels.centers, dim=-1)
            normal = rotate(surfels.rotations_wxyz, toward.new_tensor([0.0, 0.0, 1.0]).expand_as(toward))
            cosine = (torch.nn.functional.normalize(normal, dim=-1) * toward).sum(-1).abs()
            best = torch.maximum(best, seen * ((cosine - _EDGE_ON) / (_FULL - _EDGE_ON)).clamp(0, 1))
    return dict(zip([layer.name for layer in scene.layers], best.split(counts), strict=True))


def confidence_colors(confidence: Float[Tensor, " n"]) -> Float[Tensor, "n 3"]:
    """Display sRGB: violet for a guess, over grey, to green for what was seen well."""
    share = confidence.clamp(0, 1).double().numpy()
    hue = np.radians(325 - 175 * share)
    chroma = 0.17 * np.abs(2 * share - 1) ** 0.7
    return torch.from_numpy(oklch_to_srgb(0.55 + 0.2 * share, chroma, hue)).float()


@dataclass(frozen=True, eq=False)
class ViewConfidence:
    """From which sides the subject was seen.

    Attributes:
        layer: the subject; None where there is none, and then every view is as sure as any other.
        rest: [S, 3] some of its canonical points.
        rows: [S] which.
        directions: [F, 3] unit, to the input cameras, in the subject's own axes.
    """

    layer: Layer | None
    rest: Float[Tensor, "s 3"]
    rows: Tensor
    directions: Float[np.ndarray, "f 3"]

    @staticmethod
    def of(scene: Scene) -> ViewConfidence:
        """Found from the scene's cameras and the motion of its largest object."""
        objects = [layer for layer in scene.layers if layer.kind == "object" and len(layer.field) > 2]
        layer = max(objects, key=lambda one: len(one.field), default=None)
        if layer is None:
            return ViewConfidence(None, torch.zeros(0, 3), torch.zeros(0, dtype=torch.int64), np.zeros((0, 3)))
        rows = torch.linspace(0, len(layer.field) - 1, min(_SAMPLE, len(layer.field))).long()
        rest = layer.field.canonical.centers[rows].double()
        part = layer.field.select(rows)
        views = []
        for time, camera in zip(scene.frame_times.tolist(), scene.cameras, strict=True):
            turn, middle = _pose(rest, part.at(time).centers.double())
            views.append(turn.T @ (camera.center_in_world.double().numpy() - middle))
        return ViewConfidence(layer, rest, rows, _unit(np.stack(views)))

    def degrees(self, position_in_world: Float[np.ndarray, " 3"], time: float) -> float | None:
        """Degrees from a view at a time to the nearest input view; None where there is no subject."""
        if self.layer is None:
            return None
        turn, middle = _pose(self.rest, self.layer.field.select(self.rows).at(time).centers.double())
        direction = _unit((turn.T @ (position_in_world - middle))[None])[0]
        return float(np.degrees(np.arccos(np.clip((self.directions @ direction).max(), -1, 1))))


def describe(degrees: float | None) -> str:
    """What a view's distance to the input views means, in words."""
    if degrees is None:
        return "There is no object whose input views could be told apart."
    if degrees <= SURE:
        return f"Seen: an input view is {degrees:.0f}\u00b0 away."
    if degrees < GUESS:
        return f"Partly a guess: the nearest input view is {degrees:.0f}\u00b0 away."
    return f"A guess: the nearest input view is {degrees:.0f}\u00b0 away."


def _pose(rest: Tensor, now: Tensor) -> tuple[Float[np.ndarray, "3 3"], Float[np.ndarray, " 3"]]:
    """Rotation world_from_canonical nearest to the motion of points, and where their middle is."""
    weights = torch.ones(len(rest), dtype=torch.float64)
    try:
        turn = to_matrix(align_similarity(rest, now, weights, with_scale=False).rotation_wxyz).numpy()
    except InputError:
        turn = np.eye(3)
    return turn, now.mean(0).numpy()


def _unit(vectors: Float[np.ndarray, "n 3"]) -> Float[np.ndarray, "n 3"]:
    return vectors / np.maximum(np.linalg.norm(vectors, axis=-1, keepdims=True), 1e-12)
