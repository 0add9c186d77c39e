"""Gaussian surfels: flat, oriented, elliptical Gaussians in space.

A plain record of tensors.  It checks nothing about values and knows no file, no time and no optimiser; `rasterize`
checks shapes and values when it draws.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace

from jaxtyping import Float
from torch import Tensor


@dataclass(frozen=True, eq=False)
class Surfels:
    """N surfels, or B states of the same N surfels.

    Every array may have one leading batch dimension B (say, one state per frame); arrays without it are shared by
    all states, so a moving object can share its `scales`, `opacities` and `sh` and vary only where it moves.

    Attributes:
        centers: [N, 3] or [B, N, 3] positions in the world, scene units.
        rotations_wxyz: [N, 4] or [B, N, 4] quaternions that take the surfel's own axes to the world.  The first two
            axes are its tangents u and v, the third is its normal u x v.  Need not be normalised, must not be zero.
        scales: [N, 2] or [B, N, 2] standard deviations along u and v, scene units, >= 0.
        opacities: [N] or [B, N] peak opacities in [0, 1].
        sh: [N, K, 3] or [B, N, K, 3] spherical-harmonics colour coefficients, K = 1, 4, 9 or 16 (degree 0 to 3); colour
            is 0.5 + the evaluated sum, clamped below at 0.  Give `sh`, `features` or both.
        features: [N, C] or [B, N, C] channels that do not depend on the view direction, blended as they are.  Beside
            `sh` they follow its three channels.
        world_from_canonical_wxyz: [N, 4] or [B, N, 4] unit quaternions of the rotation that a warp has applied to each
            surfel since its canonical state.  View directions are turned back by it before `sh` is evaluated, so that
            colour sticks to the moving surface.  None means no warp.
    """

    centers: Float[Tensor, "*#batch n 3"]
    rotations_wxyz: Float[Tensor, "*#batch n 4"]
    scales: Float[Tensor, "*#batch n 2"]
    opacities: Float[Tensor, "*#batch n"]
    sh: Float[Tensor, "*#batch n k 3"] | None = None
    features: Float[Tensor, "*#batch n c"] | None = None
    world_from_canonical_wxyz: Float[Tensor, "*#batch n 4"] | None = None

    def __len__(self) -> int:
        """Number of surfels N."""
        return self.centers.shape[-2]

    def tensors(self) -> dict[str, Tensor]:
        """The arrays that are present, by name."""
        return {f.name: v for f in fields(self) if (v := getattr(self, f.name)) is not None}

    def replace(self, **changes: Tensor | None) -> Surfels:
        """A copy with some arrays exchanged."""
        return replace(self, **changes)  # type: ignore[arg-type]

    def to(self, *args: object, **kwargs: object) -> Surfels:
        """As `torch.Tensor.to`, applied to every array."""
        return Surfels(**{k: v.to(*args, **kwargs) for k, v in self.tensors().items()})  # type: ignore[call-overload]
