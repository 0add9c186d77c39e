"""The warp of one rigid thing that moves along a path."""

from __future__ import annotations

from dataclasses import dataclass

from jaxtyping import Bool, Float, Int64
from torch import Tensor

from recon4d.core import quaternion
from recon4d.core.spline import SE3Spline
from recon4d.field.warp import Warp, spline_tensors


@dataclass(frozen=True, eq=False)
class RigidWarp(Warp):
    """Moves all points by one rigid transform per time.

    Attributes:
        path: world_from_canonical over time, without batch axes.
    """

    path: SE3Spline

    def at_times(
        self, centers: Float[Tensor, "*#moments n 3"], times: Float[Tensor, " t"]
    ) -> tuple[Float[Tensor, "t n 3"], Float[Tensor, "t n 4"]]:
        """Points and rotations at every time, see `Warp.at_times`."""
        rotations, translations = self.path.at(times)
        positions = centers @ quaternion.to_matrix(rotations).mT + translations[:, None]
        return positions, rotations[:, None].expand(-1, centers.shape[-2], -1).contiguous()

    def select(self, rows: Int64[Tensor, " m"] | Bool[Tensor, " n"]) -> RigidWarp:
        """Itself: it is bound to no points."""
        return self

    def tensors(self) -> dict[str, Tensor]:
        """The control poses of the path."""
        return spline_tensors("path", self.path)

    def to(self, *args: object, **kwargs: object) -> RigidWarp:
        """As `torch.Tensor.to`, applied to the path."""
        return RigidWarp(self.path.to(*args, **kwargs))
