"""The report of a reconstruction: one HTML file that says plainly what came out, and what not to believe.

No script, no network: pictures are inside the page, drawings are SVG.  Every text that comes from outside is escaped.
"""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

import numpy as np
from jaxtyping import Float, UInt8

from recon4d.evaluate.result import MEANING
from recon4d.pipeline import plots
from recon4d.pipeline.coverage import Coverage, angles_of
from recon4d.pipeline.measure import ON_WHITE, Measured
from recon4d.pipeline.pictures import Comparison, TurntableView
from recon4d.pipeline.stages import StageRecord
from recon4d.pipeline.style import STYLE

_QUALITY = 88
_SURE, _PART = 0.7, 0.05


@dataclass(frozen=True, eq=False)
class Report:
    """All that a report shows.

    Attributes:
        title: name of the scene.
        summary: a few (value, name) pairs for the top.
        warnings: sentences for the user, the gravest first.
        comparisons, turntable: pictures.
        coverage: of the sphere of directions, None where there is no subject.
        curve: (step, loss, PSNR, surfels) of the fit.
        measured: scores.
        centers, ahead: [T, 3] of the cameras; up: [3].
        kept_out: which frames.
        stages: what each chose.
        seconds: of each stage.
        facts: (name, value) about the run: settings, versions, digests.
    """

    title: str
    summary: tuple[tuple[str, str], ...]
    warnings: tuple[str, ...]
    comparisons: Sequence[Comparison]
    turntable: Sequence[TurntableView]
    coverage: Coverage | None
    curve: Sequence[tuple[float, float, float, float]]
    measured: Measured
    centers: Float[np.ndarray, "t 3"]
    ahead: Float[np.ndarray, "t 3"]
    up: Float[np.ndarray, " 3"]
    kept_out: Sequence[bool]
    stages: Sequence[StageRecord]
    seconds: dict[str, float]
    facts: tuple[tuple[str, str], ...]


def page(report: Report) -> str:
    """The page as text."""
    tiles = "".join(f"<div><b>{escape(value)}</b><span>{escape(name)}</span></div>" for value, name in report.summary)
    parts = [
        f'<!doctype html><html lang="en"><meta charset="utf-8"><title>{escape(report.title)} - reconstruction</title>',
        f'<meta name="viewport" content="width=device-width,initial-scale=1"><style>{STYLE}</style><main>',
        f'<h1>{escape(report.title)}</h1><div class="tiles">{tiles}</div>',
        _warnings(report.warnings),
        _comparisons(report.comparisons),
        _turntable(report.turntable),
        _views(report),
        _scores(report),
        _curves(report),
        _stages(report.stages, report.seconds),
        _facts(report.facts),
        "</main></html>\n",
    ]
    return "\n".join(part for part in parts if part)


def _warnings(warnings: Sequence[str]) -> str:
    if not warnings:
        return '<div class="box good">No stage had anything to warn of.</div>'
    items = "".join(f"<li>{escape(_sentence(text))}</li>" for text in warnings)
    return f'<div class="box warn"><b>Before you trust it</b><ul>{items}</ul></div>'


def _sentence(text: str) -> str:
    text = text[:1].upper() + text[1:]
    return text if text.endswith((".", "!", "?")) else text + "."


def _comparisons(frames: Sequence[Comparison]) -> str:
    if not frames:
        return ""
    rows = []
    for frame in frames:
        badge = '<span class="badge">kept out</span>' if frame.kept_out else '<span class="badge seen">fitted</span>'
        caption = f"frame {frame.frame}, {frame.time:.2f} s {badge} {frame.psnr:.1f} dB"
        pictures = "".join(
            _picture(getattr(frame, name), f"{name} of frame {frame.frame}")
            for name in ("input", "rendered", "error", "normals")
        )
        rows.append(f'<div class="row">{pictures}</div><p class="caption">{caption}</p>')
    heads = "".join(f"<span>{name}</span>" for name in ("input", "rendered again", "error (FLIP)", "normals"))
    heads = f'<div class="row heads">{heads}</div>'
    lead = (
        "<p>The scene, drawn from the input's own viewpoints. Frames marked <i>kept out</i> were not used by the fit, "
        "so they show how well it knows what it has not seen. Errors: black is none, yellow is large.</p>"
    )
    return f"<section><h2>Input and re-rendering</h2>{lead}{heads}{''.join(rows)}</section>"


def _turntable(views: Sequence[TurntableView]) -> str:
    if not views:
        return ""
    cells = []
    for view in views:
        mark, text = _trust(view.confidence)
        caption = f"{view.degrees:+.0f}\u00b0" if view.confidence is None else f"{view.degrees:.0f}\u00b0"
        cells.append(
            f'<figure class="{mark}">{_picture(view.color, f"view at {view.degrees:.0f} degrees")}'
            f"{_picture(view.normals, f'normals at {view.degrees:.0f} degrees')}"
            f"<figcaption>{caption} {text}</figcaption></figure>"
        )
    lead = "One moment from all around; 0\u00b0 is the input's view. Below each picture its normals. "
    if views[0].confidence is not None:
        lead += (
            'The frame tells how near the view is to one that was filmed: <span class="key known">seen</span> '
            '<span class="key near">near</span> <span class="key guess">a guess</span>'
        )
    else:
        lead = "The scene from a little to the left and right of the input's view."
    return f'<section><h2>Turntable</h2><p>{lead}</p><div class="strip">{"".join(cells)}</div></section>'


def _trust(confidence: float | None) -> tuple[str, str]:
    if confidence is None:
        return "", ""
    if confidence >= _SURE:
        return "known", "seen"
    return ("near", "near") if confidence > _PART else ("guess", "a guess")


def _views(report: Report) -> str:
    coverage = report.coverage
    subject = None if coverage is None else (coverage.middle, coverage.radius)
    path = plots.path_from_above(report.centers, report.ahead, report.up, subject, report.kept_out)
    drawn = (
        f"<figure>{path}<figcaption>The camera's path from above; the circle is the subject, hollow dots are "
        "frames kept out.</figcaption></figure>"
    )
    text = ""
    if coverage is not None:
        azimuth, elevation = angles_of(coverage.directions)
        text = (
            f"<p>The subject was seen from {coverage.azimuth_degrees:.0f}\u00b0 of 360\u00b0 around it; "
            f"{100 * coverage.seen_share:.0f} % of all directions are within 30\u00b0 of a fitted view.</p>"
        )
        drawn = (
            f"<figure>{plots.sphere(coverage.confidence, azimuth, elevation)}<figcaption>Directions around the "
            "subject, turning with it: the stronger the colour, the nearer a fitted view (dots). Pale means a guess."
            f"</figcaption></figure>{drawn}"
        )
    return f'<section><h2>Where it was seen from</h2>{text}<div class="pair">{drawn}</div></section>'


def _scores(report: Report) -> str:
    measured = report.measured
    columns = [("kept-out frames", measured.kept_out), ("fitted frames", measured.fitted)]
    if measured.test is not None:
        columns.append(("test images", {name: getattr(measured.test, name) for name in MEANING}))
    meanings = dict(MEANING) | {ON_WHITE: ("dB", "PSNR, the subject cut out and laid on white, whole picture")}
    columns = [(name, values) for name, values in columns if values]
    names = [name for name in meanings if any(values.get(name) is not None for _, values in columns)]
    head = "".join(f"<th>{escape(name)}</th>" for name, _ in columns)
    rows = ""
    for name in names:
        unit, title = meanings[name]
        cells = "".join(
            f'<td class="n">{"" if (v := values.get(name)) is None else f"{v:.4g}"}</td>' for _, values in columns
        )
        rows += f'<tr><td>{escape(title)}</td>{cells}<td class="u">{escape(unit)}</td></tr>'
    kept = [(f.frame, f.psnr_masked if f.psnr_masked is not None else f.psnr) for f in measured.frames if f.kept_out]
    fitted = [
        (f.frame, f.psnr_masked if f.psnr_masked is not None else f.psnr) for f in measured.frames if not f.kept_out
    ]
    curve = plots.chart(
        "PSNR by frame",
        "frame",
        "dB" + (", subject only" if any(f.psnr_masked is not None for f in measured.frames) else ""),
        [plots.Line(kept, "c1", True, "kept out"), plots.Line(fitted, "c2", True, "fitted")],
    )
    note = escape(f"Compared on {measured.on}; {measured.rule}.")
    return (
        f'<section><h2>Scores</h2><p>{note}</p><div class="pair"><table><tr><th></th>{head}<th></th></tr>{rows}</table>'
        f"{curve}</div></section>"
    )


def _curves(report: Report) -> str:
    curve = report.curve
    drawn = "".join(
        plots.chart(title, "step", unit, [plots.Line([(row[0], row[k]) for row in curve], style)], log=log)
        for k, title, unit, style, log in (
            (1, "Loss", "running mean", "c1", True),
            (2, "PSNR", "dB, fitted frames", "c2", False),
            (3, "Surfels", "number", "c3", False),
        )
    )
    return f'<section><h2>The fit</h2><div class="pair">{drawn}</div></section>' if drawn else ""


def _stages(stages: Sequence[StageRecord], seconds: dict[str, float]) -> str:
    parts = []
    for stage in stages:
        mark = "good" if stage.confident and not stage.warnings else "unsure" if stage.confident else "bad"
        took = f" <small>{seconds[stage.stage]:.1f} s</small>" if stage.stage in seconds else ""
        facts = "".join(f"<tr><td>{escape(name)}</td><td>{escape(value)}</td></tr>" for name, value in stage.facts)
        warnings = "".join(f"<li>{escape(_sentence(text))}</li>" for text in stage.warnings)
        table = ""
        if stage.details:
            head, *rows = stage.details
            table = "<table><tr>" + "".join(f"<th>{escape(cell)}</th>" for cell in head) + "</tr>"
            table += "".join("<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in row) + "</tr>" for row in rows)
            table = f'<div class="wide">{table}</table></div>'
        parts.append(
            f'<details class="stage {mark}"><summary><b>{escape(stage.stage)}</b> {escape(stage.chosen)}{took}'
            f'<br><span class="why">{escape(stage.why)}</span></summary>'
            f"{f'<ul>{warnings}</ul>' if warnings else ''}<table>{facts}</table>{table}</details>"
        )
    return f"<section><h2>What each stage chose, and why</h2>{''.join(parts)}</section>"


def _facts(facts: Sequence[tuple[str, str]]) -> str:
    rows = "".join(f"<tr><td>{escape(name)}</td><td><code>{escape(value)}</code></td></tr>" for name, value in facts)
    return f"<section><h2>How it was made</h2><table>{rows}</table></section>"


def _picture(pixels: UInt8[np.ndarray, "h w 3"], alt: str) -> str:
    from PIL import Image

    buffer = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(pixels)).save(buffer, format="JPEG", quality=_QUALITY, subsampling=0)
    data = base64.b64encode(buffer.getvalue()).decode()
    return f'<img alt="{escape(alt, quote=True)}" src="data:image/jpeg;base64,{data}">'
