"""Selections drawn on the screen: rectangle, lasso, polygon, brush, and a mask of one frame.

What is drawn becomes a mask of pixels, and the mask is lifted to surfels: of the weight with which a surfel is seen in
the view, at least half must lie in the mask.  `through` also takes what is hidden behind, by projected centres.
"""

from __future__ import annotations

import math
from abc import abstractmethod
from dataclasses import dataclass

import numpy as np
from torch import Tensor

from recon4d.core import InputError
from recon4d.editors.cameras import View
from recon4d.editors.keys import check_vector
from recon4d.editors.selections.base import Selection, layers_of
from recon4d.editors.selections.lifting import lift
from recon4d.editors.state import State

Pixel = tuple[float, float]


@dataclass(frozen=True)
class _OnScreen(Selection):
    """What the selections below share.

    Attributes:
        view: camera and moment.
        through: also what is hidden behind.
        layers: names of layers to stay within; all layers when empty.  Others still hide what is behind them.
    """

    view: View
    through: bool = False
    layers: tuple[str, ...] = ()

    @abstractmethod
    def pixels(self) -> np.ndarray:
        """Bool [H, W]: the pixels that are drawn on."""

    def masks(self, state: State) -> dict[str, Tensor]:
        """See `Selection.masks`."""
        state.check_times("view.time", [self.view.time])
        layers = layers_of(state, self.layers)
        return lift(self.pixels(), self.view, state, layers, through=self.through)


@dataclass(frozen=True)
class Rectangle(_OnScreen, kind="rectangle"):
    """A rectangle on the screen.

    Attributes:
        view: camera and moment.
        through: also what is hidden behind.
        layers: names of layers to stay within; all layers when empty.  Others still hide what is behind them.
        low: its corner nearest to the image's first pixel, x and y in pixels.
        high: the opposite corner.
    """

    low: Pixel = (0.0, 0.0)
    high: Pixel = (0.0, 0.0)

    def __post_init__(self) -> None:
        check_vector("low", self.low)
        check_vector("high", self.high)
        if not (self.low[0] < self.high[0] and self.low[1] < self.high[1]):
            got = f"{list(self.low)} and {list(self.high)}"
            raise InputError("high", expected="more than low in x and y", got=got, fix="draw a larger rectangle")

    def pixels(self) -> np.ndarray:
        """See `_OnScreen.pixels`."""
        x, y = _grid(self.view)
        return (x >= self.low[0]) & (x <= self.high[0]) & (y >= self.low[1]) & (y <= self.high[1])


@dataclass(frozen=True)
class Polygon(_OnScreen, kind="polygon"):
    """A polygon on the screen, filled by the even-odd rule.

    Attributes:
        view: camera and moment.
        through: also what is hidden behind.
        layers: names of layers to stay within; all layers when empty.  Others still hide what is behind them.
        points: its corners, x and y in pixels; at least three.
    """

    points: tuple[Pixel, ...] = ()

    def __post_init__(self) -> None:
        _check_points(self.points, 3)

    def pixels(self) -> np.ndarray:
        """See `_OnScreen.pixels`."""
        x, y = _grid(self.view)
        inside = np.zeros((self.view.height, self.view.width), bool)
        corners = np.asarray(self.points)
        for (ax, ay), (bx, by) in zip(corners, np.roll(corners, -1, axis=0), strict=True):
            if ay == by:
                continue
            crosses = (ay > y) != (by > y)
            inside ^= crosses & (x < (bx - ax) * (y - ay) / (by - ay) + ax)
        return inside


@dataclass(frozen=True)
class Lasso(Polygon, kind="lasso"):
    """A line drawn by hand around something; its ends are joined.

    Attributes:
        view: camera and moment.
        through: also what is hidden behind.
        layers: names of layers to stay within; all layers when empty.  Others still hide what is behind them.
        points: of the line, x and y in pixels; at least three.
    """


@dataclass(frozen=True)
class Brush(_OnScreen, kind="brush"):
    """A stroke of a round brush on the screen.

    Attributes:
        view: camera and moment.
        through: also what is hidden behind.
        layers: names of layers to stay within; all layers when empty.  Others still hide what is behind them.
        points: of the stroke, x and y in pixels; one is a dab.
        radius: of the brush, pixels, > 0.
    """

    points: tuple[Pixel, ...] = ()
    radius: float = 10.0

    def __post_init__(self) -> None:
        _check_points(self.points, 1)
        if not 0 < self.radius < math.inf:
            raise InputError("radius", expected="pixels > 0", got=repr(self.radius), fix="choose a larger brush")

    def pixels(self) -> np.ndarray:
        """See `_OnScreen.pixels`."""
        return stroke_distance(self.view, self.points, self.radius) <= self.radius


@dataclass(frozen=True)
class FrameMask(_OnScreen, kind="mask"):
    """A mask of one image, as a segmenting program gives it.

    Attributes:
        view: camera and moment.
        through: also what is hidden behind.
        layers: names of layers to stay within; all layers when empty.  Others still hide what is behind them.
        runs: lengths of runs of pixels, row by row, outside and inside in turn, the first outside (it may be 0); they
            add up to width times height.
    """

    runs: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        total = self.view.width * self.view.height
        if min(self.runs, default=-1) < 0 or sum(self.runs) != total:
            got = f"{len(self.runs)} runs that add up to {sum(self.runs)}"
            expected = f"lengths >= 0 that add up to {total}, the pixels of the view"
            raise InputError("runs", expected=expected, got=got, fix="encode the mask with FrameMask.of")

    @staticmethod
    def of(mask: np.ndarray, view: View) -> FrameMask:
        """The selection of a bool mask [H, W] of the view's size."""
        flat = np.asarray(mask, bool).ravel()
        turns = np.flatnonzero(np.diff(flat)) + 1
        bounds = np.concatenate([[0], turns, [len(flat)]])
        runs = np.diff(bounds).tolist()
        return FrameMask(view, runs=tuple([0, *runs] if len(flat) and flat[0] else runs))

    def pixels(self) -> np.ndarray:
        """See `_OnScreen.pixels`."""
        inside = np.arange(len(self.runs)) % 2 == 1
        return np.repeat(inside, self.runs).reshape(self.view.height, self.view.width)


def stroke_distance(view: View, points: tuple[Pixel, ...], reach: float) -> np.ndarray:
    """[H, W] distance of each pixel's centre from a stroke, in pixels; any number above `reach` where it is farther."""
    columns, rows = _grid(view)
    shortest = np.full((view.height, view.width), np.inf)
    for (ax, ay), (bx, by) in zip(points, points[1:] or points, strict=False):
        # Only the box of the piece: a stroke has many, and most pixels are far from each.
        box = _within(view.height, ay, by, reach), _within(view.width, ax, bx, reach)
        x, y = columns[:, box[1]], rows[box[0]]
        dx, dy = bx - ax, by - ay
        length = dx * dx + dy * dy
        share = np.clip(((x - ax) * dx + (y - ay) * dy) / length, 0, 1) if length else 0.0
        shortest[box] = np.minimum(shortest[box], np.hypot(x - ax - share * dx, y - ay - share * dy))
    return shortest


def _within(count: int, a: float, b: float, reach: float) -> slice:
    """The pixels of an axis from `reach` before the lesser of two places to `reach` after the greater, and some."""
    first, end = (min(max(place, 0), count) for place in (min(a, b) - reach - 1, max(a, b) + reach + 2))
    return slice(int(first), int(end))


def _grid(view: View) -> tuple[np.ndarray, np.ndarray]:
    """x [1, W] and y [H, 1] of the pixels' centres."""
    return np.arange(view.width)[None, :] + 0.5, np.arange(view.height)[:, None] + 0.5


def _check_points(points: tuple[Pixel, ...], least: int) -> None:
    if len(points) < least:
        raise InputError("points", expected=f"at least {least}", got=str(len(points)), fix="draw more")
    for i, point in enumerate(points):
        check_vector(f"points[{i}]", point)
