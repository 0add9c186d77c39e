"""The exporters of Gaussian splats: one moment in one file, or a folder of PLY files.

Does NOT know how a file is laid out.
"""

from __future__ import annotations

import torch

from recon4d.core import InputError
from recon4d.data.files import write_json
from recon4d.export.places import staged_folder
from recon4d.export.request import ExportRequest, ExportResult
from recon4d.export.splats.ply import write_splat_ply
from recon4d.export.splats.state import splats_at
from recon4d.scene import Scene


def export_splats(scene: Scene, request: ExportRequest) -> ExportResult:
    """A PLY file with three scales, of `request.at` or the first moment."""
    return _ply(scene, request, two_scales=False)


def export_flat_splats(scene: Scene, request: ExportRequest) -> ExportResult:
    """A PLY file with two scales, of `request.at` or the first moment."""
    return _ply(scene, request, two_scales=True)


def _ply(scene: Scene, request: ExportRequest, *, two_scales: bool) -> ExportResult:
    time = _moment(scene, request)
    splats = splats_at(request.chosen(scene), time)
    write_splat_ply(request.path, splats, two_scales=two_scales)
    return ExportResult((request.path,), {"splats": len(splats), "at": time})


def export_splat_glb(scene: Scene, request: ExportRequest) -> ExportResult:
    """A glTF file with the extension for splats, y up, of `request.at` or the first moment."""
    from recon4d.export.gltf.space import Space
    from recon4d.export.splats.glb import write_splat_glb

    time = _moment(scene, request)
    space = Space.of(scene)
    splats = splats_at(request.chosen(scene), time, torch.from_numpy(space.turn), space.scale)
    extras = {"seconds": time, "gltf_from_scene": space.matrix.tolist(), "metres_per_unit": scene.metres_per_unit}
    write_splat_glb(request.path, splats, name=request.path.stem, extras=extras)
    return ExportResult((request.path,), {"splats": len(splats), "at": time})


def export_packed_splats(scene: Scene, request: ExportRequest) -> ExportResult:
    """A .sog or .spz file, of `request.at` or the first moment."""
    from recon4d.export.splats.transform import find_program, write_packed

    find_program()
    time = _moment(scene, request)
    splats = splats_at(request.chosen(scene), time)
    write_packed(request.path, splats)
    return ExportResult((request.path,), {"splats": len(splats), "at": time})


def export_splat_sequence(scene: Scene, request: ExportRequest) -> ExportResult:
    """A folder of PLY files, one for each moment, and times.json."""
    times, layers = request.times(scene), request.chosen(scene)
    count = sum(len(layer.field) for layer in layers)
    digits = max(5, len(str(len(times) - 1)))
    names = [f"{i:0{digits}d}.ply" for i in range(len(times))]
    with staged_folder(request.path) as folder:
        for i, (name, time) in enumerate(zip(names, times, strict=True)):
            write_splat_ply(folder / name, splats_at(layers, time))
            request.progress("writing", i + 1, len(times))
        write_json(folder / "times.json", {"files": names, "seconds": times})
    return ExportResult((request.path,), {"splats": count, "files": len(times)})


def _moment(scene: Scene, request: ExportRequest) -> float:
    if request.fps is not None:
        raise InputError(
            "fps",
            expected="none: this format holds one moment",
            got=f"{request.fps:g}",
            fix="give --at, or export --to splat-sequence",
        )
    return request.times(scene)[0]
