"""The number that a fit makes small: losses of one rendered view, of the surfels and of their motion, weighted."""

from __future__ import annotations

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from recon4d import losses
from recon4d.core import Camera, Surfels, quaternion
from recon4d.render import RasterOutput
from recon4d.train import kernels
from recon4d.train.capture import DepthKind
from recon4d.train.config import FitConfig
from recon4d.train.moving_object import MovingObject
from recon4d.train.part import Part, Posed

_NEIGHBOURS = 6
_SLICES = 8
# Losses without a view change slowly and cost as much as some kernels: they are taken at every fourth step, with four
# times their weight.
_EVERY = 4
_COVERED = 0.5  # coverage from which a pixel's depth is the scene's
_AROUND = 0.1  # sizes of the subject


class Objective:
    """Losses with the weights of a configuration."""

    def __init__(self, config: FitConfig) -> None:
        self.config = config

    def image(
        self, output: RasterOutput, target: Float[Tensor, "h w 3"], masks: list[Float[Tensor, "h w 1"]]
    ) -> tuple[Float[Tensor, ""], Float[Tensor, ""]]:
        """Losses of the colours and coverage of one view; and the mean squared error of the colours, a constant.

        Args:
            output: color has one further channel for each object where there are several parts.
            target: what was seen.
            masks: coverage of each object.
        """
        weights = self.config.weights
        total, squared = kernels.photometric_errors(output.color[..., :3], target, weights.dssim)
        if weights.mask:
            covered = [output.color[..., 3 + k :][..., :1] for k in range(output.color.shape[-1] - 3)] or [output.alpha]
            for coverage, mask in zip(covered, masks, strict=False):
                total = total + weights.mask * losses.mask_error(coverage, mask)
        return total, squared

    def alone(self, output: RasterOutput, masks: list[Float[Tensor, "h w 1"]]) -> Float[Tensor, ""]:
        """Loss of objects that are drawn without the background: nothing of them may be where no mask is.

        What hides behind the background, a shadow's dark sheet under the ground or what an early pose has left there,
        no other loss sees; it would come out in turntables and meshes of the objects.  Parts that are truly hidden now
        and then are needed by other frames, and stay.
        """
        covered = torch.stack(masks).amax(0)
        return self.config.weights.alone * (output.alpha * (1 - covered)).mean()

    def depth(
        self,
        output: RasterOutput,
        inverse: Float[Tensor, "h w 1"] | None,
        masks: list[Float[Tensor, "h w 1"]],
        kind: DepthKind,
        *,
        whole: bool,
    ) -> Float[Tensor, ""]:
        """Loss against a depth map; 0 where there is none.

        Args:
            output: of the surfels that carry the geometry.
            inverse: of this view.
            masks: coverage of each object.
            kind: of the map.
            whole: the background belongs to the scene, so that all of the view counts.
        """
        weights = self.config.weights
        weight = weights.relative_depth if kind == "relative" else weights.depth
        if inverse is None or not weight:
            return output.alpha.new_zeros(())
        sure = output.alpha.detach()
        sure = torch.where(sure > _COVERED, sure, 0)
        covered = sure if whole or not masks else sure * torch.stack(masks).amax(0)
        if kind == "relative":
            return weight * losses.relative_depth_error(output.depth, inverse, covered)
        return weight * losses.inverse_depth_error(output.depth, inverse, covered, units_known=kind == "metric")

    def surface(self, output: RasterOutput, camera: Camera, size: float, distance: float) -> Float[Tensor, ""]:
        """Losses of the surface that one view shows.

        Args:
            output: of the surfels that carry the geometry.
            camera: of the view.
            size: of the subject, scene units.
            distance: of the subject from the camera, scene units.
        """
        weights, total = self.config.weights, output.alpha.new_zeros(())
        if weights.normal and min(camera.width, camera.height) >= 3:
            share = output.alpha.detach().mean()
            consistency = kernels.normal_consistency(output.normal, output.alpha, output.depth, camera.K.detach())
            total = total + weights.normal * consistency * share
        if weights.distortion:
            total = total + weights.distortion * losses.distortion_error(output.distortion, distance**2 / size)
        return total

    def shape(self, part: Part, canonical: Surfels, step: int, *, surface: bool) -> Float[Tensor, ""]:
        """Losses of a part's surfels by themselves."""
        weights, total = self.config.weights, canonical.centers.new_zeros(())
        if step % _EVERY == 0:
            total = total + _EVERY * self._sizes(part, canonical, surface=surface)
        if surface and weights.smoothness:
            # A slice of the surfels at a time, each in its turn.
            count = -(-len(part) // _SLICES)
            rows = torch.arange(len(part), device=part.device)[step % _SLICES * count :][:count]
            normals = quaternion.rotate(canonical.rotations_wxyz, canonical.centers.new_tensor([0.0, 0.0, 1.0]))
            total = total + weights.smoothness * losses.surface_roughness(
                canonical.centers, normals, rows, part.neighbours[rows]
            )
        return total

    def _sizes(self, part: Part, canonical: Surfels, *, surface: bool) -> Float[Tensor, ""]:
        """Losses of sizes and opacities."""
        weights, total = self.config.weights, canonical.centers.new_zeros(())
        if weights.scale:
            longest = self.config.longest_scale * part.size
            total = total + weights.scale * losses.scale_excess(canonical.scales, longest)
        if weights.anisotropy:
            total = total + weights.anisotropy * losses.anisotropy_excess(canonical.scales, self.config.most_anisotropy)
        if surface and weights.entropy:
            total = total + weights.entropy * losses.opacity_entropy(canonical.opacities)
        return total

    def motion(self, part: MovingObject, posed: Posed, step: int) -> Float[Tensor, ""]:
        """Losses of an object's bones: neighbours turn together at a time, paths are smooth and of few modes."""
        weights, total = self.config.weights, part.rest.new_zeros(())
        rotations, translations = posed.bone_rotations, posed.bone_translations
        assert rotations is not None
        assert translations is not None
        if weights.rigidity and len(part.rest) > 1:
            positions = quaternion.rotate(rotations, part.rest) + translations
            total = total + weights.rigidity * losses.as_rigid_as_possible(
                part.rest, positions, rotations, _nearest(part.rest)
            )
        if weights.acceleration and step % _EVERY == _EVERY // 2:
            for spline in part.splines():
                # The controls' own second differences: a tenth of the time that the curve's take, and as smooth.
                total = total + _EVERY * weights.acceleration * (
                    losses.acceleration(spline.translations) / part.size**2 + losses.acceleration(spline.rotations_wxyz)
                )
        if weights.residual and part.box is not None:
            total = total + weights.residual * (part.parameters["residual"] / part.size).square().mean()
        if weights.rank and step % _EVERY == 0:
            total = total + _EVERY * weights.rank * losses.motion_rank(_control_points(part))
        return total


def _control_points(part: MovingObject) -> Float[Tensor, "k d"]:
    """Places of points around every bone in the frame of the root at every control pose, in sizes of the subject."""
    rotations, translations = part.parameters["bone_rotations"], part.parameters["bone_translations"] / part.size
    around = _AROUND * quaternion.to_matrix(rotations) + translations[..., None]
    return torch.cat([around, translations[..., None]], -1).transpose(0, 1).flatten(1)


def _nearest(rest: Float[Tensor, "b 3"]) -> Int64[Tensor, "b k"]:
    return torch.cdist(rest, rest).topk(min(_NEIGHBOURS + 1, len(rest)), largest=False).indices
