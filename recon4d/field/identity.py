"""The warp of what stands still."""

from __future__ import annotations

from dataclasses import dataclass

from jaxtyping import Bool, Float, Int64
from torch import Tensor

from recon4d.field.warp import Warp


@dataclass(frozen=True, eq=False)
class IdentityWarp(Warp):
    """Leaves everything where it is, at every time; used for backgrounds."""

    def at_times(
        self, centers: Float[Tensor, "*#moments n 3"], times: Float[Tensor, " t"]
    ) -> tuple[Float[Tensor, "t n 3"], Float[Tensor, "t n 4"]]:
        """The points themselves and the identity rotation, once per time."""
        shape = (times.shape[0], centers.shape[-2])
        rotations = centers.new_zeros(*shape, 4)
        rotations[..., 0] = 1.0
        # A real copy per time, because the rasterizer takes contiguous arrays only.
        return centers.expand(*shape, 3).contiguous(), rotations

    def select(self, rows: Int64[Tensor, " m"] | Bool[Tensor, " n"]) -> IdentityWarp:
        """Itself: it is bound to no points."""
        return self

    def to(self, *args: object, **kwargs: object) -> IdentityWarp:
        """Itself: it holds no tensors."""
        return self
