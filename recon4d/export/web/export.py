"""The exporters of the web player: one HTML file, or a folder.

Does NOT know how scenes are packed or pages are made.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from recon4d.data.files import write_bytes
from recon4d.export import camera_paths
from recon4d.export.places import staged_folder
from recon4d.export.request import ExportRequest, ExportResult
from recon4d.export.subject import Subject, camera_center, find_subject
from recon4d.export.web.pack import Losses, pack_scene
from recon4d.export.web.page import folder_files, single_page
from recon4d.scene import Scene

_TRAVELS = 0.3  # radii that a subject moves from its middle place before the camera follows it
_SMALLEST_FRAME = 1e-3  # seconds


def export_page(scene: Scene, request: ExportRequest) -> ExportResult:
    """One HTML file that plays the scene without a network."""
    title, packed, numbers, losses = _packed(scene, request)
    write_bytes(request.path, single_page(title, packed))
    return ExportResult((request.path,), numbers, tuple(losses.notes))


def export_folder(scene: Scene, request: ExportRequest) -> ExportResult:
    """A folder with index.html, the player and the scene."""
    title, packed, numbers, losses = _packed(scene, request)
    with staged_folder(request.path) as folder:
        for name, content in folder_files(title, packed).items():
            write_bytes(folder / name, content)
    return ExportResult((request.path,), numbers, tuple(losses.notes))


def _packed(scene: Scene, request: ExportRequest) -> tuple[str, bytes, dict[str, float | int | str], Losses]:
    times, layers = request.times(scene), request.chosen(scene)
    first, last = times[0], times[-1]
    subject = find_subject(scene, request.layers)
    title = (request.scene_path or request.path).stem or "scene"
    frame = (last - first) / (len(times) - 1) if len(times) > 1 else 1.0
    header: dict[str, Any] = {
        "title": title,
        "times": {"first": first, "last": last, "frame": max(frame, _SMALLEST_FRAME)},
        "up": subject.up.tolist(),
        "radius": subject.radius,
        "background": "#ffffff",
        "view": _view(scene, subject, request.layers, first),
        "follow": _follow(subject),
    }
    packed, losses = pack_scene(layers, header, first=first, last=last, frames=len(times))
    size = 2 * subject.radius
    numbers: dict[str, float | int | str] = {
        "surfels": sum(len(layer.field) for layer in layers),
        "seconds": last - first,
        "RMS error of centres, % of the size": 100 * losses.rms / size,
        "largest error of centres, % of the size": 100 * losses.largest / size,
        "packed scene, MB": len(packed) / 1e6,
    }
    return title, packed, numbers, losses


def _view(scene: Scene, subject: Subject, layers: tuple[str, ...], time: float) -> dict[str, Any]:
    """Where the player's camera starts: on the first input camera's side, looking at the subject's mean place."""
    camera = camera_paths.orbit(scene, [time], layers=layers)[0]
    target = subject.middles.mean(0)
    return {
        "target": target.tolist(),
        "eye": (target + camera_center(camera) - subject.middle_at(time)).tolist(),
        "fovY": 2 * math.atan(camera.height / 2 / float(camera.K[1, 1])),
        "aspect": camera.width / camera.height,
    }


def _follow(subject: Subject) -> dict[str, Any] | None:
    """How far the subject is from its mean place over time, where it goes far; else None."""
    shifts = subject.middles - subject.middles.mean(0)
    if len(shifts) < 2 or np.linalg.norm(shifts, axis=-1).max() < _TRAVELS * subject.radius:
        return None
    step = (subject.times[-1] - subject.times[0]) / (len(shifts) - 1)
    return {"first": float(subject.times[0]), "step": float(step), "middles": shifts.tolist()}
