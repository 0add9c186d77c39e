"""The steps of edited fields: moving, colouring, fading and retiming surfels over time."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from recon4d.core import Surfels, quaternion
from recon4d.editors.bone_frames import path_at, poses_at, transforms_at
from recon4d.editors.colors import ColorMap, recolored
from recon4d.editors.edited_field import Source, Step
from recon4d.editors.keys import Key, Span, envelope, values_at
from recon4d.editors.motions import PoseKey, motion_at, moved
from recon4d.field import BonesWarp, RigidWarp, Warp


@dataclass(frozen=True, eq=False)
class Amount:
    """How far a change goes at a time.

    Attributes:
        value: where there are no keys.
        keys: over time, in place of `value`.
        during: range of time outside which nothing happens.
        rest: the value that stands for no change.
    """

    value: float
    keys: tuple[Key, ...] = ()
    during: Span | None = None
    rest: float = 0.0

    @property
    def is_constant(self) -> bool:
        """Whether it is the same at every time."""
        return not self.keys and self.during is None

    def at(self, times: Tensor) -> Tensor:
        """The amount at T moments, float64 [T]."""
        moments = times.detach().double().cpu()
        values = values_at(self.keys, moments) if self.keys else torch.full_like(moments, self.value)
        return torch.lerp(torch.full_like(moments, self.rest), values, envelope(self.during, moments))


@dataclass(frozen=True, eq=False)
class RowsStep(Step):
    """A step that concerns some rows, each by a share of its own.

    Attributes:
        rows: [M] indices.
        shares: [M] in (0, 1]; None is 1 for all.
    """

    rows: Int64[Tensor, " m"]
    shares: Float[Tensor, " m"] | None

    def select(self, rows: Int64[Tensor, " n"]) -> Step:
        """See `Step.select`."""
        size = max(_most(self.rows), _most(rows)) + 1
        place = torch.full((size,), -1, dtype=torch.int64, device=self.rows.device)
        place[self.rows] = torch.arange(len(self.rows), device=self.rows.device)
        mine = place[rows]
        kept = torch.nonzero(mine >= 0)[:, 0]
        shares = None if self.shares is None else self.shares[mine[kept]]
        return replace(self, rows=kept, shares=shares)

    def to(self, *args: object, **kwargs: object) -> Step:
        """See `Step.to`; numbers over time stay as they are."""
        probe = torch.empty(0).to(*args, **kwargs)  # type: ignore[call-overload]
        shares = None if self.shares is None else self.shares.to(probe)
        return replace(self, rows=self.rows.to(probe.device), shares=shares)


@dataclass(frozen=True, eq=False)
class MoveStep(RowsStep):
    """Moves, turns and scales surfels.

    Attributes:
        rest: the motion where there are no keys.
        keys: the motion over time.
        during: range of time outside which nothing happens.
        pivot: [3] fixed point in the frame.
        frame: "world", "layer" (canonical space as a bone or the path carries it), or "bone" (the bone's own axes).
        bone: which carries the frame; None for the root, for the path of what moves rigidly, and for what stands still.
        carrier: the warp that has the bone; that of the field for None.
    """

    rest: PoseKey
    keys: tuple[PoseKey, ...]
    during: Span | None
    pivot: Float[Tensor, "3"]
    frame: Literal["world", "layer", "bone"]
    bone: int | None
    carrier: Warp | None = None

    def to(self, *args: object, **kwargs: object) -> Step:
        """See `Step.to`."""
        moved = super().to(*args, **kwargs)
        carrier = None if self.carrier is None else self.carrier.to(*args, **kwargs)
        return replace(moved, carrier=carrier)  # type: ignore[type-var]

    def apply(self, state: Surfels, times: Float[Tensor, " t"], source: Source) -> Surfels:
        """See `Step.apply`."""
        if not len(self.rows):
            return state
        if self.during is not None and not bool(envelope(self.during, times).any()):
            return state
        motion = motion_at(self.rest, self.keys, self.during, times)
        warp = source.field.warp.underlying if self.carrier is None else self.carrier
        frame = frame_at(warp, self.frame, self.bone, source.times)
        if source.carried is not None and self.frame != "world":
            frame = _on_top(source.carried, frame)
        return moved(state, self.rows, motion, self.pivot, frame, self.shares)


@dataclass(frozen=True, eq=False)
class ColorStep(RowsStep):
    """Takes colours part of the way to where a map puts them.

    Attributes:
        mapped: the map.
        amount: how far, over time.
    """

    mapped: ColorMap
    amount: Amount

    def apply(self, state: Surfels, times: Float[Tensor, " t"], source: Source) -> Surfels:
        """See `Step.apply`."""
        if not len(self.rows):
            return state
        amounts = self.amount.at(times).to(state.centers)[:, None]
        shares = amounts.expand(-1, len(self.rows)) if self.shares is None else amounts * self.shares
        return recolored(state, self.rows, shares, self.mapped)


@dataclass(frozen=True, eq=False)
class FadeStep(RowsStep):
    """Multiplies opacities, over time.

    Attributes:
        amount: the factor; at most 1 comes out.
    """

    amount: Amount

    def apply(self, state: Surfels, times: Float[Tensor, " t"], source: Source) -> Surfels:
        """See `Step.apply`."""
        if not len(self.rows):
            return state
        factors = self.amount.at(times).to(state.centers)[:, None]
        opacities = state.opacities
        opacities = opacities.expand(len(times), -1) if opacities.dim() == 1 else opacities
        return state.replace(opacities=faded(opacities, self.rows, factors, self.shares))


def faded(opacities: Tensor, rows: Tensor, factors: Tensor, shares: Tensor | None) -> Tensor:
    """Opacities [..., N] with those of some rows multiplied; factors broadcast against [..., M]."""
    if shares is not None:
        factors = 1 + shares.to(opacities) * (factors - 1)
    changed = opacities.clone(memory_format=torch.contiguous_format)
    changed[..., rows] = (opacities[..., rows] * factors).clamp(0, 1)
    return changed


@dataclass(frozen=True, eq=False)
class ClockStep(Step):
    """Shows other moments: what was at source time s is seen at time t.

    Attributes:
        clock: pairs of time and source time as keys; before the first and after the last the clock stands still.
        period: seconds after which the keys start anew; None for no repetition.
    """

    clock: tuple[Key, ...]
    period: float | None = None

    def source_times(self, times: Float[Tensor, " t"]) -> Float[Tensor, " t"]:
        """See `Step.source_times`."""
        moments = times.detach().double().cpu()
        if self.period is not None:
            first = self.clock[0].time
            moments = first + torch.remainder(moments - first, self.period)
        return values_at(self.clock, moments).to(times.device)

    def select(self, rows: Int64[Tensor, " n"]) -> Step:
        """Itself: it concerns all surfels."""
        return self


def frame_at(warp: Warp, frame: str, bone: int | None, times: Tensor) -> tuple[Tensor, Tensor] | None:
    """world_from_frame at T moments, as quaternions [T, 4] and places [T, 3]; None for the world's own."""
    if frame == "world":
        return None
    if isinstance(warp, RigidWarp):
        return path_at(warp.path, times)
    if not isinstance(warp, BonesWarp):
        return None
    if bone is None:
        return None if warp.root is None else path_at(warp.root, times)
    rotations, translations = (poses_at if frame == "bone" else transforms_at)(warp, times)
    return rotations[:, bone], translations[:, bone]


def _on_top(outer: tuple[Tensor, Tensor], inner: tuple[Tensor, Tensor] | None) -> tuple[Tensor, Tensor]:
    """A frame within a frame."""
    if inner is None:
        return outer
    turn, place = (x.to(inner[0]) for x in outer)
    return quaternion.multiply(turn, inner[0]), quaternion.rotate(turn, inner[1]) + place


def _most(rows: Tensor) -> int:
    return int(rows.max()) if len(rows) else -1
