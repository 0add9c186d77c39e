"""What every warp does: carry canonical points and frames to any moment.

A warp moves and turns surfels; it never changes their scales, opacities or colours.
"""

from __future__ import annotations

from abc import ABC, abstractmethod

from jaxtyping import Bool, Float, Int64
from torch import Tensor

from recon4d.core.spline import SE3Spline


class Warp(ABC):
    """Base of all warps; subclasses are frozen dataclasses of tensors and splines."""

    @abstractmethod
    def at_times(
        self, centers: Float[Tensor, "*#moments n 3"], times: Float[Tensor, " t"]
    ) -> tuple[Float[Tensor, "t n 3"], Float[Tensor, "t n 4"]]:
        """Carry canonical points to moments.

        Args:
            centers: [N, 3] points in the canonical state, scene units; or [T, N, 3] where they differ between times.
            times: [T] seconds; outside the warp's own range of time the nearest moment in it is taken.

        Returns:
            [T, N, 3] points in the world, and [T, N, 4] unit quaternions wxyz of the rotation that turns a direction
            at each point from the canonical state to the world.
        """

    @abstractmethod
    def select(self, rows: Int64[Tensor, " m"] | Bool[Tensor, " n"]) -> Warp:
        """The warp for the points `rows` (indices [M], or a mask [N]) of those it was made for."""

    @property
    def point_count(self) -> int | None:
        """Number of points that the warp is bound to, None when it takes any points."""
        return None

    @property
    def underlying(self) -> Warp:
        """The warp that has the bones or the path: itself, unless it adds to another."""
        return self

    def tensors(self) -> dict[str, Tensor]:
        """Every tensor of the warp by name, those of splines as `path.translations`."""
        return {}

    def is_like(self, reference: Tensor) -> bool:
        """Whether all floating-point tensors have the dtype, and all tensors the device, of `reference`."""
        return all(
            t.device == reference.device and (not t.is_floating_point() or t.dtype == reference.dtype)
            for t in self.tensors().values()
        )

    @abstractmethod
    def to(self, *args: object, **kwargs: object) -> Warp:
        """As `torch.Tensor.to`, applied to every tensor; whole numbers keep their type."""


def spline_tensors(name: str, spline: SE3Spline | None) -> dict[str, Tensor]:
    """The control poses of a spline by dotted name, for `Warp.tensors`; nothing for None."""
    if spline is None:
        return {}
    return {f"{name}.rotations_wxyz": spline.rotations_wxyz, f"{name}.translations": spline.translations}
