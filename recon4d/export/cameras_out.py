"""The exporters of cameras, as data sets that other programs read: nerfstudio's and COLMAP's, with pictures and points.

The cameras are the scene's own, at the moments that are asked for; the pictures are drawn, the points are the surfels
at the first moment.  Does NOT lay out files; `recon4d.data.formats` does.
"""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import torch

from recon4d.data import View, write_png
from recon4d.data.dataset import Points
from recon4d.data.files import write_json
from recon4d.data.formats.colmap import write_colmap
from recon4d.data.formats.nerfstudio import write_nerfstudio
from recon4d.export import camera_paths
from recon4d.export.pictures import draw, prepare
from recon4d.export.places import staged_folder
from recon4d.export.request import ExportRequest, ExportResult
from recon4d.export.splats.state import splats_at
from recon4d.scene import Scene

_MOST_POINTS = 100_000
_SOLID = 0.3  # opacity from which on a surfel is a point
_EVEN = 0.01  # of a frame, by which times may be off a steady rate


def export_nerfstudio(scene: Scene, request: ExportRequest) -> ExportResult:
    """A folder with transforms.json, images/ and points.ply."""
    with staged_folder(request.path) as folder:
        views = _views(scene, request, folder)
        write_nerfstudio(folder, views, points=_points(scene, request))
        _write_meta(folder, scene, None)
    return ExportResult((request.path,), {"cameras": len(views)})


def export_colmap(scene: Scene, request: ExportRequest) -> ExportResult:
    """A folder with sparse/0/*.bin and images/."""
    return _colmap(scene, request, binary=True)


def export_colmap_text(scene: Scene, request: ExportRequest) -> ExportResult:
    """A folder with sparse/0/*.txt and images/."""
    return _colmap(scene, request, binary=False)


def _colmap(scene: Scene, request: ExportRequest, *, binary: bool) -> ExportResult:
    times = np.array(request.times(scene))
    rate = (len(times) - 1) / (times[-1] - times[0]) if len(times) > 1 else 30.0
    uneven = len(times) > 2 and float(np.abs(np.diff(times) * rate - 1).max()) > _EVEN
    with staged_folder(request.path) as folder:
        views = _views(scene, request, folder)
        write_colmap(folder, views, points=_points(scene, request), binary=binary)
        _write_meta(folder, scene, float(rate))
    warning = "COLMAP knows no times: file names count frames, and the scene's frames are not evenly spaced in time."
    return ExportResult((request.path,), {"cameras": len(views)}, (warning,) if uneven else ())


def _views(scene: Scene, request: ExportRequest, folder: Path) -> list[View]:
    """Draws what the cameras see into images/, and gives the views."""
    times = request.times(scene)
    layers = tuple(layer.name for layer in request.chosen(scene))
    shot = prepare(scene, camera_paths.input_path(scene, times), times, layers=layers)
    (folder / "images").mkdir()
    views = []
    for i, (picture, camera, time) in enumerate(zip(draw(shot), shot.cameras, times, strict=True)):
        path = folder / "images" / f"{i:05d}.png"
        write_png(path, picture)
        exact = camera.to("cpu", torch.float64)
        views.append(View(name=f"{i:05d}", split="train", image_path=path, time=time, camera=exact))
        request.progress("drawing", i + 1, len(times))
    return views


def _points(scene: Scene, request: ExportRequest) -> Points:
    """The solid surfels at the first moment, thinned to a hundred thousand."""
    splats = splats_at(request.chosen(scene), request.times(scene)[0])
    rows = np.flatnonzero(splats.opacities >= _SOLID)
    rows = rows[:: max(1, math.ceil(len(rows) / _MOST_POINTS))]
    colors = (0.5 + splats.sh[rows, 0] * math.sqrt(1 / math.pi) / 2).clip(0, 1)
    return Points(
        splats.centers[rows].astype(np.float64), np.rint(colors * 255).astype(np.uint8), np.full(len(rows), -1.0)
    )


def _write_meta(folder: Path, scene: Scene, fps: float | None) -> None:
    content: dict[str, object] = {}
    if scene.metres_per_unit is not None:
        content["metres_per_unit"] = scene.metres_per_unit
    if fps is not None:
        content["fps"] = fps
    write_json(folder / "meta.json", content)
