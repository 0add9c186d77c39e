"""The number that a fit makes small: losses of one rendered view and of the motion, weighted."""

from __future__ import annotations

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from recon4d import losses
from recon4d.core import Camera, Surfels, quaternion
from recon4d.field import BonesWarp
from recon4d.render import RasterOutput
from recon4d.train.config import FitConfig

_NEIGHBOURS = 6


class Objective:
    """Losses with the weights of a configuration.

    Args:
        config: weights and bounds.
        rest: [B, 3] bones at rest; the nearest of each should move with it.
        size: of the subject, scene units.
    """

    def __init__(self, config: FitConfig, rest: Float[Tensor, "b 3"], size: float) -> None:
        self.config, self.rest, self.size = config, rest, size
        count = min(_NEIGHBOURS + 1, len(rest))
        self.neighbours: Int64[Tensor, "b k"] = torch.cdist(rest, rest).topk(count, largest=False).indices

    def image(
        self,
        output: RasterOutput,
        camera: Camera,
        target: Float[Tensor, "h w 3"],
        mask: Float[Tensor, "h w 1"],
        *,
        surface: bool,
    ) -> Float[Tensor, ""]:
        """Losses of one view; those of the surface only when it is time for them."""
        weights = self.config.weights
        total = (1 - weights.dssim) * losses.color_error(output.color, target)
        if weights.dssim:
            total = total + weights.dssim * losses.dssim(output.color, target)
        if weights.mask:
            total = total + weights.mask * losses.mask_error(output.alpha, mask)
        if surface and weights.normal and min(camera.width, camera.height) >= 3:
            consistency = losses.normal_consistency(output.normal, output.alpha, output.depth, camera.K)
            total = total + weights.normal * consistency * mask.mean()
        if surface and weights.distortion:
            distance = float((camera.cam_from_world[:3, 3]).norm())
            total = total + weights.distortion * losses.distortion_error(output.distortion, distance**2 / self.size)
        return total

    def shape(self, canonical: Surfels, *, surface: bool) -> Float[Tensor, ""]:
        """Losses of the surfels by themselves."""
        weights, total = self.config.weights, canonical.scales.sum() * 0
        if weights.scale:
            total = total + weights.scale * losses.scale_excess(canonical.scales, self.config.longest_scale * self.size)
        if weights.anisotropy:
            total = total + weights.anisotropy * losses.anisotropy_excess(canonical.scales, self.config.most_anisotropy)
        if surface and weights.entropy:
            total = total + weights.entropy * losses.opacity_entropy(canonical.opacities)
        return total

    def motion(
        self, warp: BonesWarp, rotations_wxyz: Float[Tensor, "b 4"], translations: Float[Tensor, "b 3"]
    ) -> Float[Tensor, ""]:
        """Losses of the bones: neighbours turn together at a time, and all paths are smooth.

        Args:
            warp: whose paths should be smooth.
            rotations_wxyz, translations: world_from_canonical of the bones at the time.
        """
        weights, total = self.config.weights, translations.sum() * 0
        if weights.rigidity and len(self.rest) > 1:
            positions = quaternion.rotate(rotations_wxyz, self.rest) + translations
            total = total + weights.rigidity * losses.as_rigid_as_possible(
                self.rest, positions, rotations_wxyz, self.neighbours
            )
        if weights.acceleration:
            for spline in (warp.path, warp.root):
                assert spline is not None
                # The controls' own second differences: a tenth of the time that the curve's take, and as smooth.
                total = total + weights.acceleration * (
                    losses.acceleration(spline.translations) / self.size**2 + losses.acceleration(spline.rotations_wxyz)
                )
        return total
