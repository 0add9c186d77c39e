"""The HTML page of an evaluation: scores, curves over the frames, the worst frames with their error maps.

One file, no script, no network.  Pictures are PNG inside the page, at most `_SIDE` pixels a side.
"""

from __future__ import annotations

import base64
import html
import io
import os
from pathlib import Path

import numpy as np
from jaxtyping import Float, UInt8

from recon4d.data.files import write_bytes
from recon4d.evaluate.result import MEANING, Evaluation, FrameScores

_SIDE = 640
# Black, violet, orange, light yellow in order of error: readable in gray, and without red against green.
_HEAT = np.array(
    [[0, 0, 8], [38, 14, 84], [104, 22, 124], [172, 46, 106], [228, 92, 62], [250, 162, 56], [252, 244, 190]],
    dtype=float,
)
_STYLE = """
body{font:15px/1.5 system-ui,sans-serif;margin:2rem auto;max-width:76rem;padding:0 1rem;color:#1b1b1f;background:#fff}
table{border-collapse:collapse}td,th{padding:.15rem .8rem .15rem 0;text-align:left;border-bottom:1px solid #ddd}
td.n{text-align:right;font-variant-numeric:tabular-nums}td.u{color:#666}figure{display:inline-block;margin:0 .5rem
.8rem 0} figure
img{display:block;max-width:24rem;width:100%;image-rendering:pixelated}figcaption{color:#666;font-size:.85em}
svg{background:#f6f6f8;display:block;margin:.2rem 0 .8rem}h3{margin-bottom:.2rem}
.bar{height:.6rem;width:12rem;display:inline-block;vertical-align:middle}
@media(prefers-color-scheme:dark){body{background:#16161a;color:#e6e6ea}td,th{border-color:#333}svg{background:#222228}
td.u,figcaption{color:#999}}
"""


def write_html(result: Evaluation, path: str | os.PathLike[str]) -> None:
    """Writes the page atomically; the same result gives the same bytes."""
    write_bytes(Path(path), page(result).encode())


def page(result: Evaluation) -> str:
    """The page as text."""
    title = f"Evaluation: {html.escape(result.protocol)}"
    rows = "".join(
        "<tr>"
        + "".join(f'<td class="{kind}">{html.escape(cell)}</td>' for kind, cell in zip("tnu", row, strict=True))
        + "</tr>"
        for row in result.table()
    )
    notes = "".join(f"<li>{html.escape(note)}</li>" for note in result.notes)
    parts = [
        f'<!doctype html><html lang="en"><meta charset="utf-8"><title>{title}</title>',
        f'<meta name="viewport" content="width=device-width"><style>{_STYLE}</style>',
        f"<h1>{title}</h1><table>{rows}</table>",
        f"<h2>Notes</h2><ul>{notes}</ul>" if notes else "",
        _curves(result.frames),
        _worst(result),
        "</html>\n",
    ]
    return "\n".join(part for part in parts if part)


def heat(error: Float[np.ndarray, "h w"]) -> UInt8[np.ndarray, "h w 3"]:
    """Errors in [0, 1] as colours, dark for 0 and light for 1."""
    position = np.clip(error, 0, 1) * (len(_HEAT) - 1)
    channels = [np.interp(position, np.arange(len(_HEAT)), _HEAT[:, i]) for i in range(3)]
    return np.round(np.stack(channels, -1)).astype(np.uint8)


def _curves(frames: tuple[FrameScores, ...]) -> str:
    if len(frames) < 2:
        return ""
    drawn = []
    for key in ("psnr", "ssim", "flip", "psnr_masked"):
        values = [getattr(frame, key) for frame in frames]
        known = [v for v in values if v is not None]
        if not known:
            continue
        low, high = min(known), max(known)
        span = (high - low) or 1.0
        points = " ".join(
            f"{10 + 880 * i / (len(values) - 1):.1f},{90 - 80 * (v - low) / span:.1f}"
            for i, v in enumerate(values)
            if v is not None
        )
        drawn.append(
            f"<h3>{html.escape(MEANING[key][1])} by frame, {low:.4g} to {high:.4g}</h3>"
            f'<svg width="900" height="100" viewBox="0 0 900 100" role="img"><polyline fill="none" stroke="#4a6fd0" '
            f'stroke-width="1.5" points="{points}"/></svg>'
        )
    return "<h2>Frames</h2>" + "".join(drawn) if drawn else ""


def _worst(result: Evaluation) -> str:
    if not result.worst:
        return ""
    scale = ", ".join(f"rgb({int(r)},{int(g)},{int(b)})" for r, g, b in _HEAT)
    parts = [
        "<h2>Worst frames</h2>",
        f'<p>By FLIP. Error maps: 0 <span class="bar" style="background:linear-gradient(90deg,{scale})"></span> 1</p>',
    ]
    for frame in result.worst:
        scores = frame.scores
        line = ", ".join(
            f"{MEANING[key][1]} {value:.4g}"
            for key in ("psnr", "ssim", "flip", "psnr_masked")
            if (value := getattr(scores, key)) is not None
        )
        when = "" if scores.time is None else f", {scores.time:.3f} s"
        parts.append(f"<h3>{html.escape(scores.name)}{when}</h3><p>{line}</p>")
        for caption, pixels in (("truth", frame.reference), ("scored", frame.image), ("FLIP", heat(frame.error))):
            parts.append(
                f'<figure><img alt="{caption} of {html.escape(scores.name, quote=True)}" src="{_data_url(pixels)}">'
                f"<figcaption>{caption}</figcaption></figure>"
            )
    return "\n".join(parts)


def _data_url(pixels: UInt8[np.ndarray, "h w 3"]) -> str:
    from PIL import Image

    image = Image.fromarray(pixels)
    image.thumbnail((_SIDE, _SIDE))
    buffer = io.BytesIO()
    image.save(buffer, format="PNG", optimize=True)
    return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode()
