"""The exporters of mesh sequences: one file for every moment, OBJ with a texture or PLY with vertex colours.

Every file has the same vertices and faces in the same order; only places differ.  Lengths are scene units and axes the
world's, as these formats have neither.  Does NOT make meshes.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from recon4d.data import write_png
from recon4d.data.files import write_bytes, write_json
from recon4d.export.mesh.layers import LayerMesh, LayerMeshes, mesh_layers
from recon4d.export.places import staged_folder
from recon4d.export.request import ExportRequest, ExportResult
from recon4d.scene import Scene
from recon4d.synthetic.ply import write_ply
from recon4d.synthetic.surface import vertex_normals

_MATERIALS = "materials.mtl"


def export_obj_sequence(scene: Scene, request: ExportRequest) -> ExportResult:
    """A folder of OBJ files with one material file and the layers' textures, and times.json."""
    made = mesh_layers(scene, request, bones=False)
    with staged_folder(request.path) as folder:
        _write_materials(folder, made.layers)
        names = _names(made, ".obj")
        for moment, name in enumerate(names):
            write_bytes(folder / name, _obj(made.layers, moment))
            request.progress("writing", moment + 1, len(names))
        write_json(folder / "times.json", {"files": names, "seconds": list(made.times)})
    return ExportResult((request.path,), made.numbers() | {"files": len(names)}, made.warnings)


def export_ply_sequence(scene: Scene, request: ExportRequest) -> ExportResult:
    """A folder of PLY files with vertex colours, all layers in each, and times.json."""
    made = mesh_layers(scene, replace(request, texture="vertex"), bones=False)
    with staged_folder(request.path) as folder:
        names = _names(made, ".ply")
        for moment, name in enumerate(names):
            _write_ply(folder / name, made.layers, moment)
            request.progress("writing", moment + 1, len(names))
        write_json(folder / "times.json", {"files": names, "seconds": list(made.times)})
    return ExportResult((request.path,), made.numbers() | {"files": len(names)}, made.warnings)


def _names(made: LayerMeshes, suffix: str) -> list[str]:
    return [f"{i:05d}{suffix}" for i in range(len(made.times))]


def _write_ply(path: Path, layers: Sequence[LayerMesh], moment: int) -> None:
    first, faces = 0, []
    for layer in layers:
        faces.append(layer.mesh.faces + first)
        first += len(layer.mesh.vertices)
    points = np.concatenate([layer.positions[moment] for layer in layers]).astype(np.float64)
    triangles = np.concatenate(faces)
    colors = np.concatenate([layer.colors for layer in layers]).astype(np.float64)
    write_ply(path, points, triangles, normals=vertex_normals(points, triangles), colors=colors)


def _obj(layers: Sequence[LayerMesh], moment: int) -> bytes:
    """One file: every layer an object; texture coordinates count from the lower left, numbers from 1."""
    out = io.StringIO()
    out.write(f"# Made by recon4d.\nmtllib {_MATERIALS}\n")
    points, coordinates = 1, 1
    for number, layer in enumerate(layers):
        out.write(f"o layer_{number}\nusemtl layer_{number}\n")
        textured = layer.texture is not None
        places = layer.positions[moment].astype(np.float64)
        np.savetxt(
            out, places if textured else np.hstack([places, layer.colors]), "v" + " %.6g" * (3 if textured else 6)
        )
        faces = layer.mesh.faces + points
        if textured:
            np.savetxt(out, layer.cut.uv * [1, -1] + [0, 1], "vt %.6g %.6g")
            both = np.stack([faces, layer.cut.faces + coordinates], -1).reshape(len(faces), 6)
            np.savetxt(out, both, "f %d/%d %d/%d %d/%d")
            coordinates += len(layer.cut.uv)
        else:
            np.savetxt(out, faces, "f %d %d %d")
        points += len(places)
    return out.getvalue().encode()


def _write_materials(folder: Path, layers: Sequence[LayerMesh]) -> None:
    """Colours that need no light: ambient and diffuse white, no highlights."""
    lines = ["# Made by recon4d."]
    for number, layer in enumerate(layers):
        lines += [f"newmtl layer_{number}", "Ka 1 1 1", "Kd 1 1 1", "Ks 0 0 0", "illum 1"]
        if layer.texture is not None:
            write_png(folder / f"layer_{number}.png", layer.texture)
            lines += [f"map_Ka layer_{number}.png", f"map_Kd layer_{number}.png"]
    write_bytes(folder / _MATERIALS, ("\n".join(lines) + "\n").encode())
