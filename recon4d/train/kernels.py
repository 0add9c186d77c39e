"""The numbers of a training step: fused kernels where the machine has them, else the functions they stand for.

Both mean the same; `recon4d.field` and `recon4d.losses` are the definitions.
"""

from __future__ import annotations

import math
from typing import Literal

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from recon4d import losses
from recon4d.core import SE3Spline, quaternion
from recon4d.field import BonesWarp
from recon4d.field.blending import blend_dual_quaternion, blend_linear
from recon4d.render import fused
from recon4d.train.bones import SLOTS


def bone_transforms(
    root: SE3Spline, path: SE3Spline, rest: Float[Tensor, "b 3"], times: tuple[float, ...]
) -> tuple[Float[Tensor, "t b 4"], Float[Tensor, "t b 3"]]:
    """World_from_canonical of bones that rest unturned, as `BonesWarp.transforms_at`."""
    if fused.available("bone_transforms", rest.device, rest.dtype):
        controls = (path.rotations_wxyz, path.translations, path.start, path.step)
        roots = (root.rotations_wxyz, root.translations, root.start, root.step)
        return fused.bone_transforms(*controls, *roots, rest, torch.tensor(times, dtype=torch.float64))
    bones = len(rest)
    identity = torch.tensor([1.0, 0.0, 0.0, 0.0], device=rest.device).repeat(bones, 1)
    none = rest.new_zeros(0, SLOTS)
    warp = BonesWarp(root, identity, rest, path, none.long(), none)
    return warp.transforms_at(torch.tensor(times, dtype=torch.float64))


def skinning_weights(
    centers: Float[Tensor, "n 3"],
    slots: Int64[Tensor, "n 4"],
    correction: Float[Tensor, "n 4"],
    rest: Float[Tensor, "b 3"],
    log_radii: Float[Tensor, "b 3"],
) -> Float[Tensor, "n 4"]:
    """Softmax over a surfel's slots of its corrected negative squared Mahalanobis distances to bones."""
    away = centers.detach()[:, None] - rest[slots]
    logits = correction - (away.square() * torch.exp(-2 * log_radii)[slots]).sum(-1)
    # Bones that are repeated to fill the slots must weigh nothing.
    if len(rest) < SLOTS:
        logits = logits.masked_fill(torch.arange(SLOTS, device=slots.device) >= len(rest), -math.inf)
    # Torch's softmax over so short an axis takes three times as long.
    shares = (logits - logits.detach().amax(-1, keepdim=True)).exp()
    return shares / shares.sum(-1, keepdim=True)


def skin(
    centers: Float[Tensor, "n 3"],
    rotations_wxyz: Float[Tensor, "n 4"],
    slots: Int64[Tensor, "n 4"],
    correction: Float[Tensor, "n 4"],
    rest: Float[Tensor, "b 3"],
    log_radii: Float[Tensor, "b 3"],
    bone_rotations: Float[Tensor, "t b 4"],
    bone_translations: Float[Tensor, "t b 3"],
    *,
    blend: Literal["linear", "dual_quaternion"],
) -> tuple[Float[Tensor, "t n 3"], Float[Tensor, "t n 4"], Float[Tensor, "t n 4"]]:
    """Centres and rotations of surfels that follow bones, and how they were turned."""
    if fused.available("skin", centers.device, centers.dtype):
        return fused.skin(
            centers,
            rotations_wxyz,
            slots,
            correction,
            rest,
            log_radii,
            bone_rotations,
            bone_translations,
            blend=blend,
        )
    weights = skinning_weights(centers, slots, correction, rest, log_radii)
    blended = blend_linear if blend == "linear" else blend_dual_quaternion
    moved, turns = blended(centers, weights, slots, bone_rotations, bone_translations)
    return moved, quaternion.multiply(turns, rotations_wxyz), turns


def compose(pixels: Tensor, background: Float[Tensor, " 3"]) -> tuple[Float[Tensor, "h w 3"], Float[Tensor, "h w 1"]]:
    """Premultiplied [H, W, 4] bytes over a colour: the image, and its coverage."""
    if fused.available("compose", background.device, background.dtype):
        return fused.compose(pixels, background)
    # Planes are contiguous in memory and interleaved in shape only, like what the rasterizer returns.
    part = pixels.permute(2, 0, 1).contiguous().float() / 255
    color = part[:3] + (1 - part[3:]) * background[:, None, None]
    return color.permute(1, 2, 0), part[3:].permute(1, 2, 0)


def photometric_errors(
    image: Float[Tensor, "h w c"], target: Float[Tensor, "h w c"], dssim: float
) -> tuple[Float[Tensor, ""], Float[Tensor, ""]]:
    """(1 - dssim) times the mean absolute difference plus dssim times the structural dissimilarity, and, as a constant,
    the mean squared difference.
    """
    if fused.available("photometric_errors", image.device, image.dtype):
        return fused.photometric_errors(image, target, dssim)
    total = (1 - dssim) * losses.color_error(image, target)
    squared = (image.detach() - target).square().mean()
    return (total + dssim * losses.dssim(image, target) if dssim else total), squared


def normal_consistency(
    normal: Float[Tensor, "h w 3"],
    alpha: Float[Tensor, "h w 1"],
    depth: Float[Tensor, "h w 1"],
    K: Float[Tensor, "3 3"],
) -> Float[Tensor, ""]:
    """As `losses.normal_consistency`."""
    if fused.available("normal_consistency", normal.device, normal.dtype):
        return fused.normal_consistency(normal, alpha, depth, K)
    return losses.normal_consistency(normal, alpha, depth, K)
