"""The exporters of USD: surfels, or meshes, and the scene's camera.

Does NOT know how prims are made.
"""

from __future__ import annotations

from dataclasses import replace

from recon4d.export import camera_paths
from recon4d.export.mesh.layers import mesh_layers
from recon4d.export.request import ExportRequest, ExportResult
from recon4d.export.usd.cameras import add_camera
from recon4d.export.usd.meshes import add_mesh
from recon4d.export.usd.stage import need_usd, new_stage, write_stage
from recon4d.export.usd.surfels import add_surfels
from recon4d.scene import Scene


def export_usd(scene: Scene, request: ExportRequest) -> ExportResult:
    """Meshes with UsdSkel skeletons, or points at every moment, and the camera.

    Only .usdz holds textures; the other two have vertex colours.

    Raises:
        InputError: USD is not installed, or a layer makes no surface.
    """
    need_usd()
    packed = request.path.suffix.lower() == ".usdz"
    request = request if packed else replace(request, texture="vertex")
    made = mesh_layers(scene, request, bones=not request.morph)
    stage = new_stage(scene, made.times)
    for layer in made.layers:
        add_mesh(stage, layer, textured=packed)
    add_camera(stage, camera_paths.input_path(scene, list(made.times)))
    write_stage(stage, request.path)
    return ExportResult((request.path,), made.numbers() | {"moments": len(made.times)}, made.warnings)


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
