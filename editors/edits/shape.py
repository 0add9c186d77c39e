"""Edits of shape: a part enlarged without tearing it off, and deformation by handles."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from recon4d.core import InputError
from recon4d.editors import shapes
from recon4d.editors.edited_field import plain_of, stepped, with_plain
from recon4d.editors.edits.base import Edit
from recon4d.editors.edits.move import check_moments
from recon4d.editors.keys import Key, Span, Vector, check_order, check_range, check_vector
from recon4d.editors.motions import check_motion, factors_of
from recon4d.editors.selections.base import Selection, resolve
from recon4d.editors.selections.spatial import turn
from recon4d.editors.shape_step import ShapeStep
from recon4d.editors.state import State
from recon4d.editors.steps import Amount
from recon4d.field import Field
from recon4d.field.rows import rows_of, take


@dataclass(frozen=True, kw_only=True)
class ScalePart(Edit, kind="scale_part"):
    """Make a part larger or smaller at all times without tearing it off: a head, an ear.

    It grows about the place where it joins the rest, and the growth fades in inside its border.

    Attributes:
        select: the part.
        factor: of its size, or three along the canonical axes; in (0, 100].
        pivot: the canonical place that stays; where the part joins the rest when left out.
        falloff: width of the band inside the border over which the factor fades in, scene units; a fifth of the
            part's depth when left out.
        keys: how much of the growth is there over time, 0 to 1; all of it always when left out.
        during: range of time outside which nothing happens.
    """

    select: Selection
    factor: float | Vector
    pivot: Vector | None = None
    falloff: float | None = None
    keys: tuple[Key, ...] = ()
    during: Span | None = None

    def check(self) -> None:
        """See `Edit.check`."""
        for factor in factors_of(self.factor):
            check_range("factor", factor, 1e-3, 100.0)
        if self.pivot is not None:
            check_vector("pivot", self.pivot)
        if self.falloff is not None:
            check_range("falloff", self.falloff, 0.0, 1e9)
        check_shares(self.keys)

    def apply(self, state: State) -> State:
        """See `Edit.apply`."""

        def change(field: Field, mask: Tensor) -> Field:
            return shapes.scale_region(field, mask, self.factor, pivot=self.pivot, falloff=self.falloff)

        check_moments(state, self.during, [key.time for key in self.keys])
        amount = Amount(1.0, self.keys, self.during)
        return state.with_fields(
            resolve(self.select, state), lambda field, mask: reshaped(field, change(plain_of(field), mask), amount)
        )


@dataclass(frozen=True)
class HandlePose:
    """A ball of canonical space that is held and moved as one; without a pose it pins.  It must touch the selection.

    Attributes:
        center: its middle in the canonical state.
        radius: > 0, scene units.
        translate: scene units.
        rotate: an axis times degrees, about its middle.
        scale: about its middle, > 0.
    """

    center: Vector
    radius: float
    translate: Vector = (0.0, 0.0, 0.0)
    rotate: Vector = (0.0, 0.0, 0.0)
    scale: float = 1.0

    def __post_init__(self) -> None:
        check_vector("center", self.center)
        check_range("radius", self.radius, 1e-12, 1e9)
        check_motion(self.translate, self.rotate, self.scale)

    def handle(self) -> shapes.Handle:
        """As the deformer takes it."""
        w, x, y, z = turn(self.rotate).tolist()
        return shapes.Handle(self.center, self.radius, self.translate, (w, x, y, z), self.scale)


@dataclass(frozen=True, kw_only=True)
class Deform(Edit, kind="deform"):
    """Pull handles, and let the surface follow as rigidly as possible; the new shape is carried through time.

    Attributes:
        select: the surfels that may move.
        handles: what is held, and where it goes; at least one that moves.
        reach: how far from the handles that move the change may go, scene units; all of the layer when left out.
        keys: how far the handles are pulled over time, 0 to 1; all the way always when left out.
        during: range of time outside which nothing happens.
    """

    select: Selection
    handles: tuple[HandlePose, ...]
    reach: float | None = None
    keys: tuple[Key, ...] = ()
    during: Span | None = None

    def check(self) -> None:
        """See `Edit.check`."""
        if not self.handles:
            raise InputError("handles", expected="at least one handle", got="none", fix="hold the shape somewhere")
        if self.reach is not None:
            check_range("reach", self.reach, 1e-12, 1e9)
        check_shares(self.keys)

    def apply(self, state: State) -> State:
        """See `Edit.apply`."""
        check_moments(state, self.during, [key.time for key in self.keys])
        masks = resolve(self.select, state)
        held = {name: self._touching(plain_of(state.layer(name).field), mask) for name, mask in masks.items()}
        for i, handle in enumerate(self.handles):
            if not any(touching[i] for touching in held.values()):
                expected, got = (
                    "a ball that touches what is selected",
                    f"one at {list(handle.center)} that touches none",
                )
                fix = "put it on the canonical surface, or make it larger"
                raise InputError(f"handles[{i}]", expected=expected, got=got, fix=fix)
        changed = state
        for name, mask in masks.items():
            # A handle on one layer says nothing of the others.
            handles = [handle.handle() for handle, touches in zip(self.handles, held[name], strict=True) if touches]
            if handles:
                changed = changed.with_fields({name: mask}, self._deforming(handles))
        return changed

    def _deforming(self, handles: list[shapes.Handle]) -> Callable[[Field, Tensor], Field]:
        def change(field: Field, mask: Tensor) -> Field:
            selected = None if bool(mask.all()) else mask
            shaped = shapes.deform_field(plain_of(field), handles, selected=selected, reach=self.reach)
            return reshaped(field, shaped, Amount(1.0, self.keys, self.during))

        return change

    def _touching(self, field: Field, mask: Tensor) -> list[bool]:
        """For each handle whether a selected surfel reaches into its ball."""
        rows = rows_of(mask)
        centers, sizes = take(field.canonical.centers, rows).double(), take(field.canonical.scales, rows).double()
        reach = 2 * sizes.amax(1)
        balls = [(centers.new_tensor(handle.center), handle.radius) for handle in self.handles]
        return [bool(((centers - middle).norm(dim=-1) <= radius + reach).any()) for middle, radius in balls]


def reshaped(field: Field, shaped: Field, amount: Amount) -> Field:
    """A field whose plain surfels take another shape, at all times or by an amount; other steps go on top as before."""
    if amount.is_constant:
        return with_plain(field, shaped)
    plain = plain_of(field)
    moved = [(a != b).any(-1) for a, b in zip(_places(plain), _places(shaped), strict=True)]
    rows = rows_of(torch.stack(moved).any(0))
    return stepped(field, ShapeStep.between(plain, shaped, rows, amount)) if len(rows) else field


def _places(field: Field) -> tuple[Tensor, Tensor, Tensor]:
    return field.canonical.centers, field.canonical.rotations_wxyz, field.canonical.scales


def check_shares(keys: tuple[Key, ...]) -> None:
    """InputError unless the keys are in order, and their values in 0 to 1."""
    check_order("keys", [key.time for key in keys])
    for i, key in enumerate(keys):
        check_range(f"keys[{i}].value", key.value, 0.0, 1.0)
