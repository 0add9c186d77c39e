"""Small drawings for a report as inline SVG: curves, the sphere of directions, a camera path from above.

Colours come from CSS classes of the page, so that they follow a dark or light theme.  Every text is escaped here.
"""

from __future__ import annotations

import html
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

_WIDTH, _HEIGHT = 420, 190
_LEFT, _RIGHT, _TOP, _BOTTOM = 46, 10, 12, 30


@dataclass(frozen=True)
class Line:
    """One curve: points (x, y), a CSS class c1 to c3, and whether to draw dots only."""

    points: Sequence[tuple[float, float]]
    style: str = "c1"
    dots: bool = False
    name: str = ""


def chart(title: str, x_title: str, y_title: str, lines: Sequence[Line], *, log: bool = False) -> str:
    """Curves over a common pair of axes; nothing where there are fewer than two points."""
    points = [point for line in lines for point in line.points if all(map(math.isfinite, point))]
    if len(points) < 2:
        return ""
    # Within one power of ten a logarithm only makes the numbers odd.
    values = [y for _, y in points]
    log = log and min(values) > 0 and max(values) > 10 * min(values)
    raw = [math.log10(y) if log else y for _, y in points]
    (x_low, x_high), (y_low, y_high) = _span([x for x, _ in points]), _span(raw, 0.06)

    def place(x: float, y: float) -> tuple[float, float]:
        y = math.log10(y) if log else y
        across = _LEFT + (x - x_low) / (x_high - x_low) * (_WIDTH - _LEFT - _RIGHT)
        return across, _HEIGHT - _BOTTOM - (y - y_low) / (y_high - y_low) * (_HEIGHT - _TOP - _BOTTOM)

    parts = []
    for value in _ticks(y_low, y_high, 4):
        shown = 10**value if log else value
        y = place(x_low, shown)[1]
        parts.append(f'<line class="grid" x1="{_LEFT}" x2="{_WIDTH - _RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>')
        parts.append(f'<text x="{_LEFT - 5}" y="{y + 3.5:.1f}" text-anchor="end">{_short(shown)}</text>')
    for value in _ticks(x_low, x_high, 5):
        x = place(value, 1 if log else y_low)[0]
        parts.append(f'<text x="{x:.1f}" y="{_HEIGHT - _BOTTOM + 14}" text-anchor="middle">{_short(value)}</text>')
    parts.append(f'<text x="{_WIDTH - _RIGHT}" y="{_HEIGHT - 3}" text-anchor="end">{html.escape(x_title)}</text>')
    for line in lines:
        at = [place(x, y) for x, y in line.points if math.isfinite(x) and math.isfinite(y)]
        if line.dots:
            parts += [f'<circle class="{line.style}" cx="{x:.1f}" cy="{y:.1f}" r="3"/>' for x, y in at]
        else:
            joined = " ".join(f"{x:.1f},{y:.1f}" for x, y in at)
            parts.append(f'<polyline class="{line.style}" points="{joined}"/>')
    named = [line for line in lines if line.name]
    legend = "".join(f'<span class="key {line.style}">{html.escape(line.name)}</span>' for line in named)
    label = html.escape(f"{title}: {y_title} over {x_title}", quote=True)
    caption = f"{html.escape(title)} <small>{html.escape(y_title)}</small>{legend}"
    return (
        f'<figure class="chart"><figcaption>{caption}</figcaption>'
        f'<svg viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" aria-label="{label}">{"".join(parts)}</svg></figure>'
    )


def sphere(
    confidence: Float[np.ndarray, "r c"], azimuth: Float[np.ndarray, " f"], elevation: Float[np.ndarray, " f"]
) -> str:
    """Confidence over azimuth (-180 to 180) and elevation (90 to -90), with a dot for each fitted view."""
    rows, columns = confidence.shape
    cell, left, top = 11.0, 34, 8
    width, height = left + columns * cell + 12, top + rows * cell + 30
    parts = []
    for r in range(rows):
        for c in range(columns):
            value = float(confidence[r, c])
            parts.append(
                f'<rect class="sure" x="{left + c * cell:.1f}" y="{top + r * cell:.1f}" width="{cell + 0.3:.1f}" '
                f'height="{cell + 0.3:.1f}" fill-opacity="{0.08 + 0.92 * value:.2f}"/>'
            )
    for a, e in zip(azimuth.tolist(), elevation.tolist(), strict=True):
        x, y = left + (a + 180) / 360 * columns * cell, top + (90 - e) / 180 * rows * cell
        parts.append(f'<circle class="view" cx="{x:.1f}" cy="{y:.1f}" r="2.2"/>')
    for text, e in (("above", 90), ("level", 0), ("below", -90)):
        y = min(max(top + (90 - e) / 180 * rows * cell + 3.5, top + 8), top + rows * cell)
        parts.append(f'<text x="{left - 4}" y="{y:.1f}" text-anchor="end">{text}</text>')
    for text, a in (("behind", -180), ("-90\u00b0", -90), ("first view", 0), ("90\u00b0", 90), ("behind", 180)):
        x = left + (a + 180) / 360 * columns * cell
        anchor = {-180: "start", 180: "end"}.get(a, "middle")
        parts.append(f'<text x="{x:.1f}" y="{top + rows * cell + 14:.1f}" text-anchor="{anchor}">{text}</text>')
    return (
        f'<svg class="sphere" viewBox="0 0 {width:.0f} {height:.0f}" role="img" '
        f'aria-label="confidence over directions">{"".join(parts)}</svg>'
    )


def path_from_above(
    centers: Float[np.ndarray, "t 3"],
    ahead: Float[np.ndarray, "t 3"],
    up: Float[np.ndarray, " 3"],
    subject: tuple[Float[np.ndarray, " 3"], float] | None,
    kept_out: Sequence[bool],
) -> str:
    """The camera's path seen from above, with viewing directions, and the subject as a circle."""
    x_axis = np.eye(3)[int(np.abs(up).argmin())]
    x_axis = x_axis - (x_axis @ up) * up
    x_axis = x_axis / np.linalg.norm(x_axis)
    flat = np.stack([x_axis, np.cross(up, x_axis)])
    at, toward = centers @ flat.T, ahead @ flat.T
    corners = [at]
    if subject is not None:
        middle, radius = flat @ subject[0], subject[1]
        corners.append(np.stack([middle - radius, middle + radius]))
    every = np.concatenate(corners)
    low, high = every.min(0), every.max(0)
    size, margin = 320, 26
    scale = (size - 2 * margin) / max(float((high - low).max()), 1e-9)
    offset = (size - (high + low) * scale) / 2

    def place(point: Float[np.ndarray, " 2"]) -> tuple[float, float]:
        x, y = point * scale + offset
        return float(x), float(size - y)

    parts = []
    if subject is not None:
        x, y = place(middle)
        parts.append(f'<circle class="subject" cx="{x:.1f}" cy="{y:.1f}" r="{max(3.0, radius * scale):.1f}"/>')
    points = [place(p) for p in at]
    joined = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
    parts.append(f'<polyline class="c1" points="{joined}"/>')
    for k in np.unique(np.linspace(0, len(points) - 1, min(len(points), 40)).round().astype(int)).tolist():
        x, y = points[k]
        dx, dy = toward[k]
        parts.append(f'<line class="look" x1="{x:.1f}" y1="{y:.1f}" x2="{x + 14 * dx:.1f}" y2="{y - 14 * dy:.1f}"/>')
        parts.append(f'<circle class="{"kept" if kept_out[k] else "cam"}" cx="{x:.1f}" cy="{y:.1f}" r="2.6"/>')
    x, y = points[0]
    parts.append(f'<text x="{x + 6:.1f}" y="{y - 6:.1f}">start</text>')
    head = f'<svg class="path" viewBox="0 0 {size} {size}" role="img" aria-label="camera path from above">'
    return f"{head}{''.join(parts)}</svg>"


def _span(values: Sequence[float], margin: float = 0.0) -> tuple[float, float]:
    low, high = min(values), max(values)
    if high - low < 1e-9 * max(1.0, abs(high)):
        return low - 0.5, high + 0.5
    return low - margin * (high - low), high + margin * (high - low)


def _ticks(low: float, high: float, about: int) -> list[float]:
    rough = (high - low) / about
    power = 10 ** math.floor(math.log10(rough))
    step = next(power * factor for factor in (1, 2, 5, 10) if power * factor >= rough)
    first = math.ceil(low / step)
    return [k * step for k in range(first, math.floor(high / step) + 1)]


def _short(value: float) -> str:
    if abs(value) >= 10_000:
        return f"{value / 1000:g}k"
    return f"{value:.3g}" if abs(value) < 1000 else f"{value:.0f}"
