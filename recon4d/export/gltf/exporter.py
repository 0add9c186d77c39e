"""A scene as one binary glTF file: layers as meshes with bones or shapes, and the camera.  Does NOT make meshes."""

from __future__ import annotations

from typing import Any

import numpy as np

import recon4d
from recon4d.data.files import write_bytes
from recon4d.export import camera_paths
from recon4d.export.gltf.animation import Clip
from recon4d.export.gltf.cameras import add_camera
from recon4d.export.gltf.container import GlbBuilder
from recon4d.export.gltf.flip_book import with_flip_books
from recon4d.export.gltf.meshes import Placed, add_layer
from recon4d.export.gltf.space import Space
from recon4d.export.mesh.layers import LayerMesh, LayerMeshes, mesh_layers
from recon4d.export.request import ExportRequest, ExportResult
from recon4d.scene import Scene

_LARGE = 32 << 20  # bytes of shapes, from which on a flip-book is a burden


def export_glb(scene: Scene, request: ExportRequest) -> ExportResult:
    """Write NAME.glb.

    Raises:
        InputError: a layer makes no surface, the frames that were given are not the scene's, or the place cannot be
            written.
    """
    made = with_flip_books(mesh_layers(scene, request))
    content, warnings = glb_of(scene, made, request.path.stem)
    write_bytes(request.path, content)
    numbers = made.numbers() | {"moments": len(made.times), "length, seconds": made.times[-1] - made.times[0]}
    return ExportResult((request.path,), numbers, (*made.warnings, *warnings))


def glb_of(scene: Scene, made: LayerMeshes, name: str) -> tuple[bytes, list[str]]:
    """The file's bytes, and sentences on what it cannot say.

    Args:
        scene: for its cameras and units.
        made: its meshes.
        name: of the animation.
    """
    made = with_flip_books(made)
    glb, space, warnings = GlbBuilder(), Space.of(scene), list[str]()
    clip = Clip(glb, made.times, name)
    roots: list[int] = []
    for layer in made.layers:
        placed = add_layer(glb, layer, space)
        # The skinned mesh and its joints are both at the top: viewers warn of anything above a skinned mesh.
        roots += [placed.node] if placed.root is None else [placed.node, placed.root]
        _animate(clip, layer, placed, space)
        _describe(glb, layer, placed)
        if len(layer.keys) * len(layer.cut.origin) * 12 > _LARGE:
            warnings.append(
                f"the flip-book of {layer.name!r} has {len(layer.keys)} shapes of {len(layer.cut.origin)} vertices: "
                "fewer --faces or a lower --fps make it smaller"
            )
    size = max(layer.size for layer in made.layers) * space.scale
    camera, told = add_camera(glb, clip, camera_paths.input_path(scene, list(made.times)), space, size)
    clip.finish()
    glb.document |= {"scene": 0, "scenes": [{"name": name, "nodes": [*roots, camera]}]}
    glb.document["asset"]["extras"] = {
        "recon4d": recon4d.__version__,
        "gltf_from_scene": space.matrix.tolist(),
        "metres_per_unit": scene.metres_per_unit,
        "first_second": made.times[0],
    }
    return glb.bytes(), warnings + told


def _animate(clip: Clip, layer: LayerMesh, placed: Placed, space: Space) -> None:
    if layer.motion == "shapes":
        clip.shapes(placed.node, layer.keys)
    elif layer.motion == "rigid" and layer.bones is not None:
        clip.move(placed.node, space.rotations(layer.bones.root_rotations), space.points(layer.bones.root_translations))
    elif placed.root is not None and layer.bones is not None:
        clip.bones(placed.root, placed.joints, layer.bones, space)


def _describe(glb: GlbBuilder, layer: LayerMesh, placed: Placed) -> None:
    """What the mesh is like, in its `extras`."""
    told: dict[str, Any] = {
        "layer": layer.name,
        "kind": layer.kind,
        "motion": layer.motion,
        "canonical": layer.canonical and layer.motion != "shapes",
        "motion_source": layer.motion_source,
        "vertex_error_rms": layer.error.rms,
        "vertex_error_max": layer.error.most,
        "vertex_errors_are": "shares of the size",
        "size_scene_units": layer.size,
        "watertight": layer.sound.watertight,
        "pieces": layer.sound.pieces,
        "colors_from": layer.paint_source,
        "psnr": layer.psnr if np.isfinite(layer.psnr) else None,
        "psnr_of": layer.psnr_of,
    }
    glb.document["meshes"][glb.document["nodes"][placed.node]["mesh"]]["extras"] = told
