"""The exporter of depth: what the scene's own cameras see, as 16-bit PNG and as OpenEXR, with the cameras.

Depth is the distance along the camera's axis, in metres where the scene's scale is known, else in scene units; 0 is
nothing.  Does NOT draw; `pictures` does.
"""

from __future__ import annotations

import numpy as np
import torch
from jaxtyping import Float32

from recon4d.core import InputError
from recon4d.data import View, write_png
from recon4d.data.files import write_json
from recon4d.data.formats.nerfstudio import write_nerfstudio
from recon4d.export import camera_paths
from recon4d.export.exr import write_exr
from recon4d.export.pictures import Shot, draw, draw_depths, prepare
from recon4d.export.places import staged_folder
from recon4d.export.request import ExportRequest, ExportResult
from recon4d.scene import Scene

_MILLIMETRE = 0.001
_STEPS = 65_535


def export_depth(scene: Scene, request: ExportRequest) -> ExportResult:
    """A folder of images/, depth/ (.png and .exr), transforms.json that names both, and depth.json that says the units.

    A step of the PNG files is a millimetre where the scale is known and that reaches far enough, else a 65535th of the
    largest depth.

    Raises:
        InputError: nothing is seen.
    """
    times = request.times(scene)
    layers = tuple(layer.name for layer in request.chosen(scene))
    cameras = camera_paths.input_path(scene, times)
    shot = prepare(scene, cameras, times, layers=layers)
    metric = scene.metres_per_unit is not None
    unit = scene.metres_per_unit or 1.0
    farthest = _farthest(shot) * unit
    step = _MILLIMETRE if metric and farthest <= _STEPS * _MILLIMETRE else farthest / _STEPS
    name = "metres" if metric else "scene units"
    views = []
    with staged_folder(request.path) as folder:
        for part in ("images", "depth"):
            (folder / part).mkdir()
        for i, (picture, depth) in enumerate(zip(draw(shot), draw_depths(shot), strict=True)):
            stem = f"{i:05d}"
            write_png(folder / "images" / f"{stem}.png", picture)
            values: Float32[np.ndarray, "h w"] = (depth * unit).astype(np.float32)
            write_png(folder / "depth" / f"{stem}.png", np.rint(values / step).astype(np.uint16))
            write_exr(folder / "depth" / f"{stem}.exr", values, notes={"unit": name})
            views.append(
                View(
                    name=stem,
                    split="train",
                    image_path=folder / "images" / f"{stem}.png",
                    time=times[i],
                    camera=shot.cameras[i].to("cpu", torch.float64),
                    depth_path=folder / "depth" / f"{stem}.png",
                    depth_scale=step / unit,
                )
            )
            request.progress("drawing", i + 1, len(times))
        write_nerfstudio(folder, views)
        meta = {} if scene.metres_per_unit is None else {"metres_per_unit": scene.metres_per_unit}
        write_json(folder / "meta.json", meta)
        write_json(
            folder / "depth.json",
            {"unit": name, "png_step": step, "nothing": 0, "metres_per_scene_unit": scene.metres_per_unit},
        )
    numbers: dict[str, float | int | str] = {
        "views": len(times),
        "unit": name,
        "PNG step": step,
        "largest depth": farthest,
    }
    return ExportResult((request.path,), numbers)


def _farthest(shot: Shot) -> float:
    """Largest depth of all views, scene units."""
    largest = max(float(depth.max()) for depth in draw_depths(shot))
    if largest <= 0:
        raise InputError(
            "depth", expected="something to be seen", got="empty pictures", fix="check the cameras and the layers"
        )
    return largest
