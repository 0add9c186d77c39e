"""A warp on top of another: small displacements that the warp beneath cannot make."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor

from recon4d.core import InputError
from recon4d.core import _cubic_curve as curve
from recon4d.field.warp import Warp


@dataclass(frozen=True, eq=False)
class ResidualWarp(Warp):
    """Displaces points in the canonical frame, then moves them by another warp: x goes to base(x + residual(x, t)).

    The displacements stand at the nodes of a grid over a box: trilinear in space, a uniform cubic B-spline in time with
    the conventions of `SE3Spline` (domain [start, start + step * (K - 3)], times outside are clamped).  A point outside
    the box is displaced like the nearest point of the box.

    Rotations are those of the base: surfels are displaced but not turned by the residual, which is to be small.

    Attributes:
        base: the warp beneath; any but another residual.
        grid: [K, X, Y, Z, 3] displacements of the controls in time, scene units; K >= 4, at least 2 nodes along each
            axis, the first at `low` and the last at `high`.
        low: [3] corner of the box in the canonical frame.
        high: [3] opposite corner, larger along each axis.
        start: first time of the domain in seconds.
        step: seconds between controls, > 0.
    """

    base: Warp
    grid: Float[Tensor, "k x y z 3"]
    low: Float[Tensor, "3"]
    high: Float[Tensor, "3"]
    start: float
    step: float

    def __post_init__(self) -> None:
        if isinstance(self.base, ResidualWarp):
            raise InputError(
                "ResidualWarp.base",
                expected="a warp that is no residual itself",
                got="a ResidualWarp",
                fix="add both residuals up in one grid",
            )
        shape = list(self.grid.shape)
        if len(shape) != 5 or shape[4] != 3 or shape[0] < curve.ORDER or min(shape[1:4]) < 2:
            raise InputError(
                "ResidualWarp.grid",
                expected=f"shape [K, X, Y, Z, 3], K >= {curve.ORDER}, at least 2 nodes along each axis",
                got=f"shape {shape}",
                fix="start with zeros of such a shape",
            )
        for name, corner in (("low", self.low), ("high", self.high)):
            if list(corner.shape) != [3]:
                raise InputError(
                    f"ResidualWarp.{name}", expected="shape [3]", got=f"shape {list(corner.shape)}", fix="give a corner"
                )
        if not (math.isfinite(self.start) and math.isfinite(self.step) and self.step > 0):
            raise InputError(
                "ResidualWarp times",
                expected="a finite start and a step > 0, in seconds",
                got=f"start={self.start!r}, step={self.step!r}",
                fix="check the frame times of the clip",
            )

    @property
    def underlying(self) -> Warp:
        """The base."""
        return self.base

    @property
    def point_count(self) -> int | None:
        """Number of points that the base is bound to; the residual takes any."""
        return self.base.point_count

    @property
    def end(self) -> float:
        """Last time of the domain in seconds."""
        return self.start + self.step * (self.grid.shape[0] - curve.ORDER + 1)

    def residual_at(
        self, centers: Float[Tensor, "*#moments n 3"], times: Float[Tensor, " t"]
    ) -> Float[Tensor, "t n 3"]:
        """Displacements at every time, in the canonical frame.

        Args:
            centers: [N, 3] or [T, N, 3] points in the canonical state, scene units.
            times: [T] seconds.

        Returns:
            [T, N, 3] scene units; differentiable in points (zero across the box's walls outside) and grid.
        """
        first, u = curve.locate(times, self.start, self.step, self.grid.shape[0])
        weights = curve.cubic_weights(u.to(self.grid))
        active = (first[:, None] + torch.arange(curve.ORDER, device=first.device)).to(self.grid.device)
        # Only the controls in use are read: blending all K with zeros would take K / 4 times as long.
        controls = self.grid.flatten(1).index_select(0, active.flatten()).unflatten(0, active.shape)
        blended = (weights[:, None] @ controls).view(-1, *self.grid.shape[1:])
        # To [-1, 1] between the corner nodes; the sampler counts axes from the last to the first.
        places = (2 * (centers - self.low) / (self.high - self.low) - 1).flip(-1)
        sampled = torch.nn.functional.grid_sample(
            blended.movedim(-1, 1),
            places.expand(len(times), *places.shape[-2:])[:, :, None, None],
            mode="bilinear",
            padding_mode="border",
            align_corners=True,
        )
        return sampled[..., 0, 0].mT

    def at_times(
        self, centers: Float[Tensor, "*#moments n 3"], times: Float[Tensor, " t"]
    ) -> tuple[Float[Tensor, "t n 3"], Float[Tensor, "t n 4"]]:
        """Points and rotations at every time, see `Warp.at_times`; the rotations are those of the base."""
        return self.base.at_times(centers + self.residual_at(centers, times), times)

    def select(self, rows: Int64[Tensor, " m"] | Bool[Tensor, " n"]) -> ResidualWarp:
        """The same displacements over the base for some points."""
        return replace(self, base=self.base.select(rows))

    def tensors(self) -> dict[str, Tensor]:
        """Grid, corners, and the tensors of the base as `base.NAME`."""
        return {
            "grid": self.grid,
            "low": self.low,
            "high": self.high,
            **{f"base.{name}": tensor for name, tensor in self.base.tensors().items()},
        }

    def to(self, *args: object, **kwargs: object) -> ResidualWarp:
        """As `torch.Tensor.to`, applied to every tensor."""
        return replace(
            self,
            base=self.base.to(*args, **kwargs),
            grid=self.grid.to(*args, **kwargs),  # type: ignore[call-overload]
            low=self.low.to(*args, **kwargs),  # type: ignore[call-overload]
            high=self.high.to(*args, **kwargs),  # type: ignore[call-overload]
        )
