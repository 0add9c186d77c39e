"""The formats that a scene can be exported to, by name, and the one door to all of them.

To add a format: write `export(scene, request) -> ExportResult` in a file of its own, and add an entry here that imports
it when it is called.  Exporters write through `places.staged_file` or `places.staged_folder`, so that nothing
half-written is left.  Does NOT write anything itself.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path

from recon4d.core import InputError
from recon4d.export.places import check_place
from recon4d.export.request import ExportRequest, ExportResult, check_request
from recon4d.scene import Scene

Exporter = Callable[[Scene, ExportRequest], ExportResult]


@dataclass(frozen=True)
class Format:
    """One format.

    Attributes:
        title: what it is, in a few words.
        suffixes: of the file, the usual one first; none where a folder is written.
        export: writes it.
    """

    title: str
    suffixes: tuple[str, ...]
    export: Exporter


def _later(module: str, name: str) -> Exporter:
    """The exporter of that name in a module of this room, imported when it is called: so the list costs nothing."""

    def export(scene: Scene, request: ExportRequest) -> ExportResult:
        exporter: Exporter = getattr(import_module(f"recon4d.export.{module}"), name)
        return exporter(scene, request)

    return export


USD_SUFFIXES = (".usdz", ".usdc", ".usda")

FORMATS: dict[str, Format] = {
    "glb": Format("animated, textured meshes (glTF)", (".glb",), _later("gltf.exporter", "export_glb")),
    "obj-sequence": Format("a textured mesh for every moment", (), _later("sequences", "export_obj_sequence")),
    "ply-sequence": Format("a coloured mesh for every moment", (), _later("sequences", "export_ply_sequence")),
    "splats": Format("Gaussian splats of one moment", (".ply",), _later("splats.export", "export_splats")),
    "splats-2d": Format("the same, flat (2DGS)", (".ply",), _later("splats.export", "export_flat_splats")),
    "splat-sequence": Format("Gaussian splats of all moments", (), _later("splats.export", "export_splat_sequence")),
    "splats-glb": Format("Gaussian splats as glTF", (".glb",), _later("splats.export", "export_splat_glb")),
    "sog": Format("packed splats, by splat-transform", (".sog",), _later("splats.export", "export_packed_splats")),
    "spz": Format("packed splats, by splat-transform", (".spz",), _later("splats.export", "export_packed_splats")),
    "usd": Format("animated meshes (USD)", USD_SUFFIXES, _later("usd.export", "export_usd")),
    "usd-surfels": Format("surfels as USD particle fields", USD_SUFFIXES, _later("usd.export", "export_usd_surfels")),
    "nerfstudio": Format("cameras, pictures and points", (), _later("cameras_out", "export_nerfstudio")),
    "colmap": Format("cameras, pictures and points", (), _later("cameras_out", "export_colmap")),
    "colmap-text": Format("the same as text", (), _later("cameras_out", "export_colmap_text")),
    "depth": Format("depth as PNG and OpenEXR", (), _later("depth_out", "export_depth")),
    "video": Format(
        "H.264, by the scene's own cameras", (".mp4", ".m4v", ".mov", ".mkv"), _later("video_out", "export_video")
    ),
    "web": Format("a page that plays the scene offline", (".html",), _later("web.export", "export_page")),
    "web-folder": Format("the same as a folder", (), _later("web.export", "export_folder")),
}


def export_scene(scene: Scene, name: str, request: ExportRequest) -> ExportResult:
    """Write a scene in the format of that name.

    Args:
        scene: with its edits applied; never changed.
        name: one of `FORMATS`.
        request: what to write where.

    Raises:
        InputError: an unknown format, a wrong request, a scene that has nothing to show, or a place that cannot be
            written.  Nothing is left there then.
    """
    if name not in FORMATS:
        raise InputError(
            "format", expected=f"one of {', '.join(FORMATS)}", got=repr(name[:40]), fix="see docs/export.md"
        )
    chosen = FORMATS[name]
    check_request(scene, request)
    check_place(Path(request.path), chosen.suffixes, overwrite=request.overwrite)
    return chosen.export(scene, request)
