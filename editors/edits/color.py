"""Edits of colour and opacity."""

from __future__ import annotations

import math
from abc import abstractmethod
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from recon4d.core import InputError
from recon4d.editors import colors
from recon4d.editors.cameras import View
from recon4d.editors.colors import Color, ColorMap, luma, recolored
from recon4d.editors.edited_field import has_step, stepped, with_plain
from recon4d.editors.edits.base import Edit
from recon4d.editors.edits.move import check_moments, check_soft, soft_shares
from recon4d.editors.keys import Key, Span, check_order, check_range, check_vector
from recon4d.editors.selections.base import Selection, layers_of, resolve, shown_at
from recon4d.editors.selections.lifting import weights
from recon4d.editors.selections.properties import colors_of
from recon4d.editors.selections.screen import stroke_distance
from recon4d.editors.state import State
from recon4d.editors.steps import Amount, ColorStep, FadeStep, faded
from recon4d.field import Field
from recon4d.field.rows import rows_of


@dataclass(frozen=True, kw_only=True)
class _Colored(Edit):
    """What edits of colour share.

    Attributes:
        select: which surfels.
        amount: how far, 0 to 1.
        soft: width of a seam inside the selection where the change fades to nothing at its border, scene units.
        keys: the amount over time, in place of `amount`.
        during: range of time outside which nothing happens.
    """

    select: Selection
    amount: float = 1.0
    soft: float = 0.0
    keys: tuple[Key, ...] = ()
    during: Span | None = None

    def check(self) -> None:
        """See `Edit.check`."""
        check_range("amount", self.amount, 0.0, 1.0)
        check_soft(self.soft)
        check_order("keys", [key.time for key in self.keys])
        for i, key in enumerate(self.keys):
            check_range(f"keys[{i}].value", key.value, 0.0, 1.0)

    @abstractmethod
    def color_map(self, usual_luma: float) -> ColorMap:
        """The map of colours, for a selection of that mean brightness."""

    def apply(self, state: State) -> State:
        """See `Edit.apply`."""
        check_moments(state, self.during, [key.time for key in self.keys])
        masks = resolve(self.select, state)
        shown = torch.cat([colors_of(state.layer(name), mask) for name, mask in masks.items()])
        mapped = self.color_map(float(luma(shown).mean()))
        return state.with_fields(masks, lambda field, mask: self._colored(field, mask, mapped))

    def _colored(self, field: Field, mask: Tensor, mapped: ColorMap) -> Field:
        rows = rows_of(mask)
        shares = soft_shares(field.canonical.centers, mask, self.soft)
        amount = Amount(self.amount, self.keys, self.during)
        if not amount.is_constant:
            recolored(field.canonical, rows[:0], torch.zeros(0), mapped)  # refuses surfels without colours now
            return stepped(field, ColorStep(rows, shares, mapped, amount))
        far = torch.full((len(rows),), self.amount) if shares is None else self.amount * shares
        return repainted(field, rows, far, mapped)


@dataclass(frozen=True, kw_only=True)
class Recolor(_Colored, kind="recolor"):
    """Give surfels another colour.

    Attributes:
        select: which surfels.
        color: red, green, blue in 0 to 1, display sRGB.
        mode: "tint" keeps the shading, "flat" does not, "multiply" multiplies.
        amount: how far, 0 to 1.
        soft: width of a seam inside the selection where the change fades to nothing at its border, scene units.
        keys: the amount over time, in place of `amount`.
        during: range of time outside which nothing happens.
    """

    color: Color
    mode: Literal["tint", "flat", "multiply"] = "tint"

    def check(self) -> None:
        """See `Edit.check`."""
        super().check()
        check_color("color", self.color)

    def color_map(self, usual_luma: float) -> ColorMap:
        """See `_Colored.color_map`."""
        if self.mode == "tint":
            return colors.tint(self.color, usual_luma)
        return colors.flat(self.color) if self.mode == "flat" else colors.multiply(self.color)


@dataclass(frozen=True, kw_only=True)
class Grade(_Colored, kind="grade"):
    """Change brightness, contrast, saturation and hue.

    Attributes:
        select: which surfels.
        exposure: stops.
        contrast: times the distance from middle grey, >= 0.
        saturation: 0 is black and white, 1 changes nothing.
        hue: degrees.
        gain: factor for each channel, >= 0.
        lift: added to each channel.
        amount: how far, 0 to 1.
        soft: width of a seam inside the selection where the change fades to nothing at its border, scene units.
        keys: the amount over time, in place of `amount`.
        during: range of time outside which nothing happens.
    """

    exposure: float = 0.0
    contrast: float = 1.0
    saturation: float = 1.0
    hue: float = 0.0
    gain: Color = (1.0, 1.0, 1.0)
    lift: Color = (0.0, 0.0, 0.0)

    def check(self) -> None:
        """See `Edit.check`."""
        super().check()
        check_range("exposure", self.exposure, -10.0, 10.0)
        check_range("contrast", self.contrast, 0.0, 10.0)
        check_range("saturation", self.saturation, 0.0, 10.0)
        check_range("hue", self.hue, -360.0, 360.0)
        for i in range(3):
            check_range(f"gain[{i}]", self.gain[i], 0.0, 100.0)
            check_range(f"lift[{i}]", self.lift[i], -1.0, 1.0)

    def color_map(self, usual_luma: float) -> ColorMap:
        """See `_Colored.color_map`."""
        return colors.grade(self.exposure, self.contrast, self.saturation, self.hue, self.gain, self.lift)


@dataclass(frozen=True, kw_only=True)
class Opacity(Edit, kind="opacity"):
    """Make surfels fainter or more solid.

    Attributes:
        select: which surfels.
        factor: that opacities are multiplied by, >= 0; they stay within 0 to 1.
        soft: width of a seam inside the selection where the change fades to nothing at its border, scene units.
        keys: the factor over time, in place of `factor`.
        during: range of time outside which nothing happens.
    """

    select: Selection
    factor: float = 1.0
    soft: float = 0.0
    keys: tuple[Key, ...] = ()
    during: Span | None = None

    def check(self) -> None:
        """See `Edit.check`."""
        check_range("factor", self.factor, 0.0, 1e6)
        check_soft(self.soft)
        check_order("keys", [key.time for key in self.keys])
        for i, key in enumerate(self.keys):
            check_range(f"keys[{i}].value", key.value, 0.0, 1e6)

    def apply(self, state: State) -> State:
        """See `Edit.apply`."""
        check_moments(state, self.during, [key.time for key in self.keys])
        amount = Amount(self.factor, self.keys, self.during, rest=1.0)

        def change(field: Field, mask: Tensor) -> Field:
            rows = rows_of(mask)
            shares = soft_shares(field.canonical.centers, mask, self.soft)
            if not amount.is_constant or has_step(field, FadeStep):
                return stepped(field, FadeStep(rows, shares, amount))
            surfels = field.canonical
            changed = faded(surfels.opacities, rows, surfels.opacities.new_tensor(self.factor), shares)
            plain = Field(surfels.replace(opacities=changed), field.ids, field.warp, field.refined)
            return with_plain(field, plain)

        return state.with_fields(resolve(self.select, state), change)


@dataclass(frozen=True)
class Stroke:
    """A stroke of paint.

    Attributes:
        points: x and y in pixels; one is a dab.
        radius: of the brush, pixels, > 0.
        color: red, green, blue in 0 to 1.
        opacity: how much it covers, in (0, 1].
        hardness: share of the radius in which it covers fully, 0 to 1.
    """

    points: tuple[tuple[float, float], ...]
    radius: float
    color: Color
    opacity: float = 1.0
    hardness: float = 0.5

    def __post_init__(self) -> None:
        if not self.points:
            raise InputError("points", expected="at least one", got="none", fix="draw something")
        for i, point in enumerate(self.points):
            check_vector(f"points[{i}]", point)
        if not 0 < self.radius < math.inf:
            raise InputError("radius", expected="pixels > 0", got=repr(self.radius), fix="choose a larger brush")
        check_color("color", self.color)
        check_range("opacity", self.opacity, 0.0, 1.0)
        check_range("hardness", self.hardness, 0.0, 1.0)


@dataclass(frozen=True, kw_only=True)
class Paint(Edit, kind="paint"):
    """Paint on what is seen from a camera; the paint sticks to the surface at all times.

    Attributes:
        view: camera and moment of the strokes.
        strokes: one over the other.
        layers: names of layers that take paint; all layers when empty.
    """

    view: View
    strokes: tuple[Stroke, ...]
    layers: tuple[str, ...] = ()

    def check(self) -> None:
        """See `Edit.check`."""
        if not self.strokes:
            raise InputError("strokes", expected="at least one", got="none", fix="draw something")

    def apply(self, state: State) -> State:
        """See `Edit.apply`."""
        state.check_times("view.time", [self.view.time])
        wanted = {layer.name for layer in layers_of(state, self.layers)}
        shown = [layer for layer in state.layers if layer.name not in state.hidden and len(layer.field)]
        posed = [shown_at(layer, self.view.time, appearance=True) for layer in shown]  # paint moves none of them
        touched = False
        for stroke in self.strokes:
            away = torch.from_numpy(stroke_distance(self.view, stroke.points, stroke.radius)) / stroke.radius
            soft = max(1 - stroke.hardness, 1e-6)
            cover = stroke.opacity * ((1 - away) / soft).clamp(0, 1)
            inside, seen = weights(cover.float(), self.view, posed)
            for layer, part, whole in zip(shown, inside, seen, strict=True):
                shares = torch.where(whole > 0.05, part / whole.clamp_min(1e-9), 0.0).clamp(0, 1)
                rows = rows_of(shares > 1e-3)
                if layer.name not in wanted or not len(rows):
                    continue
                touched = True
                field = state.layer(layer.name).field
                state = state.with_field(layer.name, repainted(field, rows, shares[rows], colors.flat(stroke.color)))
        if not touched:
            got = "strokes that touch none"
            raise InputError("strokes", expected="strokes over surfels", got=got, fix="check the view and its time")
        return state


def repainted(field: Field, rows: Tensor, shares: Tensor, mapped: ColorMap) -> Field:
    """A field with the colours of some rows taken part of the way, at all times."""
    if has_step(field, ColorStep):
        # What an earlier edit does at some times must come before.
        return stepped(field, ColorStep(rows, shares, mapped, Amount(1.0)))
    surfels = recolored(field.canonical, rows, shares, mapped)
    return with_plain(field, Field(surfels, field.ids, field.warp, field.refined))


def check_color(name: str, color: Color) -> None:
    """InputError unless red, green and blue are in 0 to 1."""
    for i in range(3):
        check_range(f"{name}[{i}]", color[i], 0.0, 1.0)
