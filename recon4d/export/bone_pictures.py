"""Bones as pictures: a colour for each surfel by the bones that move it, and bones and links drawn on top.

A warp knows bones, not a skeleton, so links are made here: the shortest tree that prefers bones which share surfels.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int, UInt8
from torch import Tensor

from recon4d.core import Camera
from recon4d.export.colors import distinct_colors
from recon4d.field import BonesWarp, RigidWarp
from recon4d.scene import Layer

_STILL = (0.62, 0.62, 0.62)  # of surfels that nothing moves
_APART = 20.0  # a link between bones that share no surfels counts as this many times as long
_DRAWN_AT = 3  # the overlay is drawn larger and averaged down, for smooth edges
_LINK = (40, 40, 40, 190)
_RIM = (255, 255, 255, 255)


@dataclass(frozen=True, eq=False)
class LayerBones:
    """What the picture of one layer's bones needs.

    Attributes:
        layer: the layer.
        surfel_colors: [N, 3] of its surfels.
        bones: [B] the bones that move surfels.
        bone_colors: [B, 3].
        links: [L, 2] pairs of rows of `bones`.
    """

    layer: Layer
    surfel_colors: Float[Tensor, "n 3"]
    bones: Int[np.ndarray, " b"]
    bone_colors: Float[np.ndarray, "b 3"]
    links: Int[np.ndarray, "l 2"]

    def places_at(self, time: float) -> Float[np.ndarray, "b 3"]:
        """Where the bones are in the world at a time, seconds."""
        warp = self.layer.field.warp.underlying
        moment = torch.tensor([time], dtype=torch.float64)
        with torch.no_grad():
            if isinstance(warp, BonesWarp):
                return warp.poses_at(moment)[1][0].double().cpu().numpy()[self.bones]
            if isinstance(warp, RigidWarp):
                middle = self.layer.field.canonical.centers.mean(0, keepdim=True)
                return warp.at_times(middle, moment)[0][0].double().cpu().numpy()
        return np.zeros((0, 3))


def layer_bones(layer: Layer, first: int) -> LayerBones:
    """Colours and links of a layer; `first` numbers its first bone among all layers, so that layers differ."""
    warp, count = layer.field.warp.underlying, len(layer.field)
    if isinstance(warp, BonesWarp) and count:
        indices, weights = warp.weight_indices.cpu().numpy(), warp.weights.detach().double().cpu().numpy()
        total = len(warp.rest_translations)
        used = np.flatnonzero(np.bincount(indices.ravel(), weights.ravel(), minlength=total) > 0)
        colors = distinct_colors(first + total)[first:]
        mixed = (colors[indices] * weights[..., None]).sum(1)
        rest = warp.rest_translations.detach().double().cpu().numpy()
        links = _tree(rest[used], _shared(indices, weights, total)[np.ix_(used, used)])
        return LayerBones(layer, torch.from_numpy(mixed).float(), used, colors[used], links)
    if isinstance(warp, RigidWarp) and count:
        color = distinct_colors(first + 1)[first:]
        return LayerBones(layer, _plain(color[0], count), np.zeros(1, np.int64), color, np.zeros((0, 2), np.int64))
    nothing = np.zeros(0, np.int64)
    return LayerBones(layer, _plain(np.array(_STILL), count), nothing, np.zeros((0, 3)), np.zeros((0, 2), np.int64))


def draw_bones(picture: UInt8[np.ndarray, "h w c"], layers: list[LayerBones], camera: Camera, time: float) -> None:
    """Draw bones and links on a picture in place; what lies behind the camera is left out."""
    from PIL import Image, ImageDraw

    height, width = picture.shape[:2]
    overlay = Image.new("RGBA", (width * _DRAWN_AT, height * _DRAWN_AT), (0, 0, 0, 0))
    pen = ImageDraw.Draw(overlay)
    unit = _DRAWN_AT * max(min(width, height) / 400, 0.5)
    for bones in layers:
        places = torch.from_numpy(bones.places_at(time))
        if not len(places):
            continue
        pixels, depths = camera.to(torch.float64).project(places)
        ahead = (depths > 1e-6).numpy()
        # Far outside the image PIL's coordinates would overflow.
        spots = pixels.nan_to_num(0.0).clamp(-1e4, 1e4).numpy() * _DRAWN_AT
        for a, b in bones.links:
            if ahead[a] and ahead[b]:
                pen.line([*spots[a], *spots[b]], fill=_LINK, width=max(1, round(1.6 * unit)))
        for (x, y), color, seen in zip(spots, bones.bone_colors, ahead, strict=True):
            if seen:
                for radius, fill in ((5.0 * unit, _RIM), (3.6 * unit, (*(round(255 * float(c)) for c in color), 255))):
                    pen.ellipse([x - radius, y - radius, x + radius, y + radius], fill=fill)
    # Averaged with its colours multiplied by alpha: transparent black must not darken the edges.
    layer = np.asarray(overlay, dtype=np.float32) / 255
    layer[..., :3] *= layer[..., 3:]
    layer = layer.reshape(height, _DRAWN_AT, width, _DRAWN_AT, 4).mean((1, 3))
    below = picture.astype(np.float32) / 255
    alpha = layer[..., 3:]
    if picture.shape[2] == 4:
        covered = alpha + below[..., 3:] * (1 - alpha)
        color = layer[..., :3] + below[..., :3] * below[..., 3:] * (1 - alpha)
        below = np.concatenate([color / np.maximum(covered, 1e-6), covered], axis=2)
    else:
        below = layer[..., :3] + below * (1 - alpha)
    picture[:] = np.rint(255 * below.clip(0, 1)).astype(np.uint8)


def _plain(color: Float[np.ndarray, "3"], count: int) -> Float[Tensor, "n 3"]:
    return torch.from_numpy(np.tile(color, (count, 1))).float()


def _shared(indices: Int[np.ndarray, "n 4"], weights: Float[np.ndarray, "n 4"], total: int) -> Float[np.ndarray, "b b"]:
    """How much each pair of bones moves the same surfels."""
    shared = np.zeros((total, total))
    for i in range(indices.shape[1]):
        for j in range(indices.shape[1]):
            np.add.at(shared, (indices[:, i], indices[:, j]), weights[:, i] * weights[:, j])
    return shared


def _tree(points: Float[np.ndarray, "b 3"], shared: Float[np.ndarray, "b b"]) -> Int[np.ndarray, "l 2"]:
    """Prim's minimum spanning tree."""
    count = len(points)
    if count < 2:
        return np.zeros((0, 2), np.int64)
    length = np.linalg.norm(points[:, None] - points[None], axis=-1) * np.where(shared > 1e-9, 1.0, _APART)
    inside = np.zeros(count, bool)
    inside[0] = True
    best, parent = length[0].copy(), np.zeros(count, np.int64)
    links = []
    for _ in range(count - 1):
        node = int(np.where(inside, np.inf, best).argmin())
        links.append((int(parent[node]), node))
        inside[node] = True
        closer = length[node] < best
        best, parent = np.where(closer, length[node], best), np.where(closer, node, parent)
    return np.array(links, dtype=np.int64)
