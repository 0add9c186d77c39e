"""`recon4d info`: what is in a scene."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from recon4d.cli.console import print_line, print_table
from recon4d.core import Camera, InputError, Surfels
from recon4d.data.files import read_json
from recon4d.editors import EditedField, EditStack, SceneView, evaluate, load_stack
from recon4d.export import find_subject
from recon4d.export.subject import camera_center
from recon4d.field import BonesWarp, Field, ResidualWarp
from recon4d.scene import Layer, Scene, content_hash, load

_MOMENTS = 8  # at which the bounds of a layer are taken
_LONGEST = 160  # characters of one value of the provenance
_METRICS = "metrics.json"
_REPORT = "report.html"


def show_scene(path: Path, *, base: bool = False) -> None:
    """Print the times, cameras, layers, metrics and provenance of the scene in the folder `path`.

    With its edits applied, unless the `base` is asked for.
    """
    stack = load_stack(path)
    scene: Scene = load(path)
    if not base:
        scene = evaluate(scene, stack, folder=path)
    print_line(str(path))
    if len(stack):
        print_line(_describe_edits(stack, scene))
    print_line(_describe_times(scene))
    print_line(_describe_cameras(scene.cameras))
    around = _describe_coverage(scene)
    if around:
        print_line(around)
    unit = scene.metres_per_unit
    print_line("scale: not known" if unit is None else f"scale: one unit is {unit:g} m")
    size = sum(entry.stat().st_size for entry in path.iterdir() if entry.is_file())
    print_line(f"content: {content_hash(path)}")
    print_line(f"on disk: {size / 1e6:.1f} MB in {path}")
    if (path / _REPORT).is_file():
        print_line(f"report: {path / _REPORT}")
    print_line("")
    columns = ["layer", "kind", "surfels", "colours", "warp", "from", "to"]
    print_table(columns, [_layer_row(layer, scene.frame_times) for layer in scene.layers])
    metrics, provenance = _metrics(path, scene)
    provenance = {name: value for name, value in provenance.items() if metrics.get(name) != value}
    for title, values in (("metrics", metrics), ("provenance", provenance)):
        if values:
            print_line("")
            print_line(title)
            for line in _lines(values, 1):
                print_line(line)


def _describe_edits(stack: EditStack, scene: Scene) -> str:
    off = sum(not edit.enabled for edit in stack.edits)
    text = f"edits: {len(stack)}" + (f", {off} of them disabled" if off else "")
    if not isinstance(scene, SceneView):
        return f"{text}; not applied here"
    hidden = ", ".join(repr(layer.name) for layer in scene.hidden)
    return text + (f"; hidden: {hidden}" if hidden else "")


def _describe_times(scene: Scene) -> str:
    count = len(scene.frame_times)
    first, last = scene.frame_times[0].item(), scene.frame_times[-1].item()
    if count == 1:
        return f"1 frame at {first:g} s"
    rate = (count - 1) / (last - first)
    return f"{count} frames from {first:g} s to {last:g} s, {rate:.4g} per second on average"


def _describe_cameras(cameras: list[Camera]) -> str:
    sizes = sorted({(camera.width, camera.height) for camera in cameras})
    shown = ", ".join(f"{width} x {height}" for width, height in sizes[:4])
    angles = [2 * math.degrees(math.atan(c.height / 2 / float(c.K[1, 1]))) for c in cameras]
    low, high = min(angles), max(angles)
    view = f"{low:.3g}" if high - low < 0.05 else f"{low:.3g} to {high:.3g}"
    many = " and others" if len(sizes) > 4 else ""
    return f"cameras: {len(cameras)}, {shown}{many} pixels, vertical field of view {view} degrees"


def _describe_coverage(scene: Scene) -> str | None:
    """From where the subject was seen; None for a scene without anything to see."""
    if not any(len(layer.field) for layer in scene.layers):
        return None
    subject = find_subject(scene)
    times = scene.frame_times.tolist()
    away = np.stack([camera_center(c) - subject.middle_at(t) for c, t in zip(scene.cameras, times, strict=True)])
    away /= np.maximum(np.linalg.norm(away, axis=-1, keepdims=True), 1e-12)
    heights = np.degrees(np.arcsin((away @ subject.up).clip(-1, 1)))
    side = np.cross(subject.up, np.eye(3)[int(np.argmin(np.abs(subject.up)))])
    side /= np.linalg.norm(side)
    angles = np.sort(np.degrees(np.arctan2(away @ np.cross(subject.up, side), away @ side)) % 360)
    gaps = np.diff(angles, append=angles[0] + 360)
    around = 360 - float(gaps.max())
    # Cameras all around leave one gap like all the others.
    if around + 2 * float(np.median(gaps)) >= 360:
        around = 360.0
    low, high = heights.min(), heights.max()
    return f"seen from {around:.0f} degrees around, {low:.0f} to {high:.0f} degrees above the horizon"


def _layer_row(layer: Layer, times: Tensor) -> list[str]:
    if len(layer.field):
        lowest, highest = (_coordinates(corner) for corner in _bounds(layer.field, times))
    else:
        lowest = highest = "-"
    surfels = layer.field.canonical
    count = f"{len(surfels):,}"
    if layer.field.refined is not None:
        count += ", refined"
    return [layer.name, layer.kind, count, _describe_colors(surfels), _describe_warp(layer.field), lowest, highest]


def _bounds(field: Field, times: Tensor) -> tuple[Tensor, Tensor]:
    """Corners of the box that holds the surfels' centres at some of the times."""
    picked = torch.linspace(0, len(times) - 1, min(len(times), _MOMENTS)).round().long()
    with torch.no_grad():
        centers = torch.cat([field.at(time).centers for time in times[picked].tolist()])
    return centers.amin(dim=0), centers.amax(dim=0)


def _describe_warp(field: Field) -> str:
    warp = field.warp.underlying
    if isinstance(warp, BonesWarp):
        name = f"{len(warp.rest_translations)} bones"
    else:
        name = type(warp).__name__.removesuffix("Warp").lower()
    if isinstance(field.warp, ResidualWarp):
        name = f"{name} + residual"
    return f"{name} + edits over time" if isinstance(field, EditedField) else name


def _describe_colors(surfels: Surfels) -> str:
    if surfels.sh is not None:
        return f"SH, {surfels.sh.shape[1]} coefficients"
    assert surfels.features is not None  # Surfels holds one of the two
    return f"{surfels.features.shape[1]} features"


def _coordinates(corner: Tensor) -> str:
    return " ".join(f"{value:.3g}" for value in corner.tolist())


def _metrics(path: Path, scene: Scene) -> tuple[dict[str, Any], dict[str, Any]]:
    """Metrics, from the file beside the scene or else from the provenance, and the rest of the provenance."""
    provenance = dict(scene.provenance)
    metrics = provenance.pop("metrics", {})
    if (path / _METRICS).is_file():
        try:
            metrics = read_json(path / _METRICS)
        except InputError as error:
            metrics = {_METRICS: f"cannot be read: {error.got}"}
    return metrics if isinstance(metrics, dict) else {"metrics": metrics}, provenance


def _lines(values: dict[str, Any], depth: int) -> Iterator[str]:
    """One line for each value; objects and lists of texts are indented below their name, other long lists counted.

    What is null or empty says nothing and is left out.
    """
    indent = "  " * depth
    for name, value in values.items():
        if value is None or value in ({}, []):
            continue
        if isinstance(value, dict):
            yield f"{indent}{name}"
            yield from _lines(value, depth + 1)
        elif isinstance(value, list) and all(isinstance(item, str) for item in value):
            yield f"{indent}{name}"
            yield from (f"{indent}  - {_text(item)}" for item in value)
        else:
            yield f"{indent}{name}: {_text(value)}"


def _text(value: object) -> str:
    """A value on one line, of bounded length."""
    if isinstance(value, float):
        return f"{value:.6g}"
    text = " ".join((value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)).split())
    if isinstance(value, list) and (len(text) > _LONGEST or any(isinstance(item, dict) for item in value)):
        return f"{len(value)} entries"
    return text if len(text) <= _LONGEST else text[: _LONGEST - 3] + "..."
