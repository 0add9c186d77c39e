"""The step that changes the shape of canonical surfels by an amount that goes over time, before they are moved."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from recon4d.core import Surfels, quaternion
from recon4d.editors.edited_field import Step
from recon4d.editors.steps import Amount, RowsStep
from recon4d.field import Field, Refined


@dataclass(frozen=True, eq=False)
class Change:
    """How M surfels differ from what they were.

    Attributes:
        turn_wxyz: [M, 4] unit quaternions, from the left.
        growth: [M, 2] by which share their sizes grew.
    """

    turn_wxyz: Float[Tensor, "m 4"]
    growth: Float[Tensor, "m 2"]

    @staticmethod
    def between(before: tuple[Tensor, Tensor], after: tuple[Tensor, Tensor]) -> Change:
        """From rotations [M, 4] and scales [M, 2] to others."""
        back = quaternion.conjugate(quaternion.normalize(before[0]))
        turn = quaternion.multiply(quaternion.normalize(after[0]), back)
        return Change(turn, after[1] / before[1].clamp_min(1e-30) - 1)

    def turned(self, share: float) -> Tensor:
        """[M, 4] a share of the turn."""
        identity = self.turn_wxyz.new_tensor([1.0, 0.0, 0.0, 0.0])
        return quaternion.slerp(identity.expand_as(self.turn_wxyz), self.turn_wxyz, self.turn_wxyz.new_tensor(share))

    def to(self, probe: Tensor) -> Change:
        """In another type, on another device."""
        return Change(self.turn_wxyz.to(probe), self.growth.to(probe))

    def select(self, rows: Tensor) -> Change:
        """Of some of the surfels."""
        return Change(self.turn_wxyz[rows], self.growth[rows])


@dataclass(frozen=True, eq=False)
class ShapeStep(RowsStep):
    """Takes canonical surfels part of the way to another shape.

    Attributes:
        amount: how far, over time.
        shift: [M, 3] of their centres.
        change: of the surface.
        drawn: of what is drawn, where that is refined.
    """

    amount: Amount
    shift: Float[Tensor, "m 3"]
    change: Change
    drawn: Change | None

    @staticmethod
    def between(before: Field, after: Field, rows: Int64[Tensor, " m"], amount: Amount) -> ShapeStep:
        """From a field to the same field in another shape, in which only some rows differ."""
        surfels = [field.canonical for field in (before, after)]
        change = Change.between(*[(s.rotations_wxyz[rows], s.scales[rows]) for s in surfels])
        drawn = None
        if before.refined is not None and after.refined is not None:
            shown = [f.refined.appearance_of(f.canonical) for f in (before, after) if f.refined is not None]
            drawn = Change.between(*[(s.rotations_wxyz[rows], s.scales[rows]) for s in shown])
        shift = surfels[1].centers[rows] - surfels[0].centers[rows]
        return ShapeStep(rows, None, amount, shift, change, drawn)

    def shapes_at(self, times: Float[Tensor, " t"]) -> Tensor:
        """See `Step.shapes_at`."""
        return self.amount.at(times)

    def shaped(self, field: Field, share: float) -> Field:
        """See `Step.shaped`."""
        surfels, rows = field.canonical, self.rows
        turned = quaternion.multiply(self.change.turned(share), surfels.rotations_wxyz[rows])
        refined = field.refined
        if refined is not None and self.drawn is not None:
            old = quaternion.multiply(surfels.rotations_wxyz[rows], refined.rotations_wxyz[rows])
            new = quaternion.multiply(self.drawn.turned(share), old)
            extra = quaternion.multiply(quaternion.conjugate(quaternion.normalize(turned)), new)
            sizes = refined.scales[rows] * (1 + share * self.drawn.growth)
            refined = Refined(_put(refined.rotations_wxyz, rows, extra), _put(refined.scales, rows, sizes))
        canonical = surfels.replace(
            centers=_put(surfels.centers, rows, surfels.centers[rows] + share * self.shift),
            rotations_wxyz=_put(surfels.rotations_wxyz, rows, turned),
            scales=_put(surfels.scales, rows, surfels.scales[rows] * (1 + share * self.change.growth)),
        )
        return Field(canonical, field.ids, field.warp, refined)

    def lit(self, state: Surfels, share: float) -> Surfels:
        """See `Step.lit`."""
        known = state.world_from_canonical_wxyz
        if known is None or state.sh is None or state.sh.shape[-2] == 1:
            return state
        turned = quaternion.multiply(known.index_select(1, self.rows), self.change.turned(share))
        return state.replace(world_from_canonical_wxyz=known.index_copy(1, self.rows, turned))

    def select(self, rows: Int64[Tensor, " n"]) -> Step:
        """See `Step.select`."""
        size = max(int(x.max()) if len(x) else -1 for x in (self.rows, rows)) + 1
        place = torch.full((size,), -1, dtype=torch.int64, device=self.rows.device)
        place[self.rows] = torch.arange(len(self.rows), device=self.rows.device)
        mine = place[rows]
        kept = torch.nonzero(mine >= 0)[:, 0]
        of = mine[kept]
        drawn = None if self.drawn is None else self.drawn.select(of)
        return replace(self, rows=kept, shift=self.shift[of], change=self.change.select(of), drawn=drawn)

    def to(self, *args: object, **kwargs: object) -> Step:
        """See `Step.to`."""
        probe = torch.empty(0).to(*args, **kwargs)  # type: ignore[call-overload]
        drawn = None if self.drawn is None else self.drawn.to(probe)
        rows = self.rows.to(probe.device)
        return replace(self, rows=rows, shift=self.shift.to(probe), change=self.change.to(probe), drawn=drawn)


def _put(tensor: Tensor, rows: Tensor, values: Tensor) -> Tensor:
    return tensor.index_copy(0, rows, values.to(tensor))
