"""The exporters of USD: surfels, or meshes, and the scene's camera.

Does NOT know how prims are made.
"""

from __future__ import annotations

from recon4d.export import camera_paths
from recon4d.export.request import ExportRequest, ExportResult
from recon4d.export.usd.cameras import add_camera
from recon4d.export.usd.stage import need_usd, new_stage, write_stage
from recon4d.export.usd.surfels import add_surfels
from recon4d.scene import Scene


def export_usd_surfels(scene: Scene, request: ExportRequest) -> ExportResult:
    """Surfels as particle fields with the Gaussian surflet kernel, and the camera.

    Raises:
        InputError: USD is not installed, or a layer has no colours.
    """
    need_usd()
    times, layers = request.times(scene), request.chosen(scene)
    stage = new_stage(scene, times)
    for i, layer in enumerate(layers):
        add_surfels(stage, layer)
        request.progress("writing", i + 1, len(layers))
    add_camera(stage, camera_paths.input_path(scene, times))
    write_stage(stage, request.path)
    return ExportResult((request.path,), {"surfels": sum(len(layer.field) for layer in layers), "moments": len(times)})
