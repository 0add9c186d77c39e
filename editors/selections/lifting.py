"""From pixels to surfels: with which weight each surfel is seen, inside a mask and at all.

The image is linear in the surfels' features, and its derivative with respect to a feature is the weight of the surfel
in each pixel.  So one backward pass of the rasterizer through two channels gives all sums of weights.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from recon4d.core import Surfels, quaternion, rigid
from recon4d.editors.cameras import View
from recon4d.editors.selections.base import shown_at
from recon4d.editors.state import State
from recon4d.field.rows import rows_of
from recon4d.render import rasterize
from recon4d.scene import Layer, merge_surfels

_SHARE = 0.5  # of what is seen of a surfel, to be inside
_SEEN = 0.05  # of the weight that a surfel would have if nothing hid it: below, it is not seen
_MARGIN = 8  # pixels
_MARGIN_SHARE = 0.03  # of the image's longer side
_TINY = 0.02  # sum of weights over pixels below which a surfel is not seen at all


def lift(pixels: np.ndarray, view: View, state: State, layers: Sequence[Layer], *, through: bool) -> dict[str, Tensor]:
    """Masks of the surfels of some layers that a mask of pixels covers.

    Args:
        pixels: bool [H, W], of the view's size.
        view: camera and moment.
        state: all layers, for what hides what.
        layers: those to select from.
        through: take every surfel whose centre falls into the mask, seen or not.
    """
    if through:
        return {layer.name: _projected(pixels, view, layer) for layer in layers}
    shown = [layer for layer in state.layers if layer.name not in state.hidden and len(layer.field)]
    wanted = {layer.name for layer in layers}
    if not shown or not pixels.any():
        return {}
    window, pixels = _window(view, pixels)
    posed = [shown_at(layer, view.time, appearance=True) for layer in shown]
    inside, seen = weights(torch.from_numpy(pixels.astype(np.float32)), window, posed)
    masks = {}
    for layer, surfels, part, whole in zip(shown, posed, inside, seen, strict=True):
        if layer.name in wanted:
            # How much of a surfel is hidden matters only for the few that could be selected.
            mask = (whole > _TINY) & (part >= _SHARE * whole)
            rows = rows_of(mask)
            mask[rows] = whole[rows] > _SEEN * _unhidden(view, surfels, rows)
            masks[layer.name] = mask
    return masks


def _window(view: View, pixels: np.ndarray) -> tuple[View, np.ndarray]:
    """The part of the view that a mask is in, with a margin for surfels that reach out of it, and the mask there."""
    rows, columns = np.flatnonzero(pixels.any(1)), np.flatnonzero(pixels.any(0))
    margin = max(_MARGIN, round(_MARGIN_SHARE * max(view.width, view.height)))
    top, bottom = max(int(rows[0]) - margin, 0), min(int(rows[-1]) + 1 + margin, view.height)
    left, right = max(int(columns[0]) - margin, 0), min(int(columns[-1]) + 1 + margin, view.width)
    shifted = replace(view, cx=view.cx - left, cy=view.cy - top, width=right - left, height=bottom - top)
    return shifted, pixels[top:bottom, left:right]


def _unhidden(view: View, surfels: Surfels, rows: Tensor) -> Tensor:
    """About the sum of weights of some surfels if nothing hid them: opacity times the area of the projected Gaussian.

    Args:
        view: camera.
        surfels: N surfels at one moment.
        rows: [M] which.

    Returns:
        [M] pixels.
    """
    with torch.no_grad():
        centers, rotations = surfels.centers[rows], surfels.rotations_wxyz[rows]
        camera = view.camera(centers.dtype)
        away = centers - camera.center_in_world
        normals = quaternion.to_matrix(rotations)[..., 2]
        slant = (torch.nn.functional.normalize(away, dim=-1) * normals).sum(-1).abs()
        depths = rigid.transform_points(camera.cam_from_world, centers)[:, 2].clamp_min(1e-6)
        size = 2 * math.pi * surfels.scales[rows].prod(-1) * (view.fx * view.fy) / depths.square()
        return surfels.opacities[rows] * size * slant


def weights(image: Tensor, view: View, parts: Sequence[Surfels]) -> tuple[list[Tensor], list[Tensor]]:
    """For each part [N]: the sums over pixels of the surfels' weights times `image` [H, W], and of the weights.

    The parts are surfels at the view's moment as they are drawn, all that is shown: they hide one another.
    """
    if not parts:
        return [], []
    camera = view.camera(parts[0].centers.dtype)
    with torch.no_grad():
        plain = [part.replace(sh=None, features=part.centers.new_zeros(len(part), 1)) for part in parts]
        merged = merge_surfels(plain)
    with torch.enable_grad():
        # The kernels are quickest with three channels, so one idles.
        features = merged.centers.new_zeros(len(merged), 3).requires_grad_()
        surfels = Surfels(**{n: t.detach().contiguous() for n, t in merged.tensors().items() if n != "features"})
        drawn = rasterize(surfels.replace(features=features), camera).color
        covered = image.to(drawn)
        weighed = torch.stack([covered, torch.ones_like(covered), torch.zeros_like(covered)], -1)
        (gradient,) = torch.autograd.grad(drawn, features, weighed)
    sums = gradient.split([len(part) for part in parts])
    return [part[:, 0] for part in sums], [part[:, 1] for part in sums]


def _projected(pixels: np.ndarray, view: View, layer: Layer) -> Tensor:
    centers = shown_at(layer, view.time).centers
    with torch.no_grad():
        spots, depths = view.camera(centers.dtype).project(centers)
    x, y = (spots[:, i].nan_to_num(-1.0).floor().clamp(-1, 1e6).long() for i in (0, 1))
    there = (depths > 0) & (x >= 0) & (y >= 0) & (x < view.width) & (y < view.height)
    covered = torch.from_numpy(pixels)[y.clamp(0, view.height - 1), x.clamp(0, view.width - 1)]
    return there & covered
