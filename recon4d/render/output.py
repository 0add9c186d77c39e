"""What a rasterizer returns."""

from __future__ import annotations

from dataclasses import dataclass, fields

from jaxtyping import Float
from torch import Tensor


@dataclass(frozen=True, eq=False)
class RasterOutput:
    """Images of one view, or of a batch of views (one leading axis B more).

    All but `radii` are differentiable in every float input of `rasterize`.

    Attributes:
        color: [H, W, C] blended channels: display sRGB from `sh` (C = 3), or the surfels' `features`.
        alpha: [H, W, 1] how much of the pixel the surfels cover, 0 to 1.
        depth: [H, W, 1] camera-frame z at the ray-surfel intersections, blended and divided by alpha; 0 where alpha
            is 0.  Scene units.
        depth_median: [H, W, 1] intersection depth of the surfel at which the transmittance first falls to one half, 0
            where it never does.  Scene units.
        normal: [H, W, 3] blended unit normals that face the camera, camera frame; as long as alpha at most.
        distortion: [H, W, 1] spread of the blended inverse depths s = 1/z along the ray: half the double sum of
            w_i w_j (s_i - s_j)^2.  1 / scene units^2.
        radii: [N] half the larger side of each surfel's footprint on screen in pixels, never more than the larger side
            of the image, and 0 where the surfel is not drawn.  Not differentiable.
    """

    color: Float[Tensor, "*batch h w c"]
    alpha: Float[Tensor, "*batch h w 1"]
    depth: Float[Tensor, "*batch h w 1"]
    depth_median: Float[Tensor, "*batch h w 1"]
    normal: Float[Tensor, "*batch h w 3"]
    distortion: Float[Tensor, "*batch h w 1"]
    radii: Float[Tensor, "*batch n"]

    def tensors(self) -> dict[str, Tensor]:
        """All tensors by name."""
        return {field.name: getattr(self, field.name) for field in fields(self)}

    def view(self, index: int) -> RasterOutput:
        """One view of a batch, without the batch axis."""
        return RasterOutput(**{name: tensor[index] for name, tensor in self.tensors().items()})

    def squeezed(self) -> RasterOutput:
        """The only view of a batch of one.  Unlike `view(0)`, its backward pass copies nothing."""
        return RasterOutput(**{name: tensor.squeeze(0) for name, tensor in self.tensors().items()})
