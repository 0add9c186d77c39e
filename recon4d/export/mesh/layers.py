"""Meshes of a scene's layers, ready to be written in any format: shape, colours, motion, and how good they are.

Does NOT know formats.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Literal

import numpy as np
from jaxtyping import Float32, UInt8

from recon4d.core import InputError
from recon4d.export.mesh.bones import BoneTrack, bones_of, rigid_track
from recon4d.export.mesh.canonical import MeshSettings, canonical_mesh
from recon4d.export.mesh.motion import Anchors, MotionError, anchor, carried, motion_error, size_of
from recon4d.export.mesh.painting import Paint, paint
from recon4d.export.mesh.photos import find_photos, layer_number
from recon4d.export.mesh.skin import Skin, posed
from recon4d.export.mesh.topology import Soundness, TriMesh, soundness
from recon4d.export.mesh.unwrap import Unwrapped
from recon4d.export.request import ExportRequest
from recon4d.field import Field, IdentityWarp, RigidWarp
from recon4d.scene import Layer, Scene

MotionKind = Literal["still", "rigid", "bones", "shapes"]

_STILL = 1e-6  # of the size: less is no motion
_REBOUND = 0.005  # RMS of the scene's own bones, as a share of the size, beyond which nothing but a fit helps


@dataclass(frozen=True, eq=False)
class LayerMesh:
    """The mesh of one layer.

    Attributes:
        name, kind: of the layer.
        mesh: the canonical state, or the state at the one moment that is asked for; vertices are shared by faces.
        cut: the mesh cut open along the seams of its texture: `cut.origin` says which vertex each of its vertices is.
            Without a texture it is the mesh itself, with texture coordinates of zero.
        texture: [S, S, 3] display sRGB, None for vertex colours.
        colors: [V, 3] display sRGB in [0, 1] of the vertices.
        motion: "still"; "rigid", moved by the root of `bones` as a whole; "bones", skinned; or "shapes", a flip-book.
        bones: root and bones over time, None for "still" and "shapes".
        skin: weights of the vertices, for "bones" only.
        positions: [T, V, 3] vertices as they are written, at every moment.
        error: of `positions` against the surfels.
        sound: what kind of surface the mesh is.
        psnr: of the mesh with its colours against pictures, dB, over the layer's pixels; NaN where none was compared.
        psnr_of: which mesh that is, in words: edits of colour are not in the pictures, and come after it.
        seen: share of the surface that a picture sees.
        paint_source: what the colours were taken from, in words.
        motion_source: where the motion comes from, in words.
        truth: where the surfels carry the vertices at some seconds.
        canonical: whether `mesh` is in the canonical state.
        keys: for "shapes": numbers of the moments whose shapes are written, the first 0; all of them for none.
    """

    name: str
    kind: str
    mesh: TriMesh
    cut: Unwrapped
    texture: UInt8[np.ndarray, "s s 3"] | None
    colors: Float32[np.ndarray, "v 3"]
    motion: MotionKind
    bones: BoneTrack | None
    skin: Skin | None
    positions: Float32[np.ndarray, "t v 3"]
    error: MotionError
    sound: Soundness
    psnr: float
    psnr_of: str
    seen: float
    paint_source: str
    motion_source: str
    truth: Callable[[Sequence[float]], Float32[np.ndarray, "t v 3"]]
    canonical: bool = True
    keys: tuple[int, ...] = ()

    @property
    def size(self) -> float:
        """Diagonal of the largest bounding box over time, scene units."""
        return size_of(self.positions)


@dataclass(frozen=True)
class LayerMeshes:
    """Meshes and the moments that they are given at.

    Attributes:
        layers: in the scene's order.
        times: [T] seconds of the scene.
        warnings: sentences on what falls short.
    """

    layers: tuple[LayerMesh, ...]
    times: tuple[float, ...]
    warnings: tuple[str, ...]

    def numbers(self) -> dict[str, float | int | str]:
        """What there is to report, by name."""
        told: dict[str, float | int | str] = {}
        for layer in self.layers:
            told |= {
                f"{layer.name}: vertices": len(layer.mesh.vertices),
                f"{layer.name}: faces": len(layer.mesh.faces),
                f"{layer.name}: pieces": layer.sound.pieces,
                f"{layer.name}: watertight": "yes" if layer.sound.watertight else "no",
                f"{layer.name}: motion": layer.motion_source,
                f"{layer.name}: vertex error, RMS % of the size": 100 * layer.error.rms,
                f"{layer.name}: vertex error, most % of the size": 100 * layer.error.most,
                f"{layer.name}: colours from": layer.paint_source,
                f"{layer.name}: surface seen %": 100 * layer.seen,
            }
            if np.isfinite(layer.psnr):
                told[f"{layer.name}: PSNR of {layer.psnr_of}, dB"] = layer.psnr
        return told


def mesh_layers(scene: Scene, request: ExportRequest, *, bones: bool = True) -> LayerMeshes:
    """Mesh, paint and animate the layers that the request names.

    Args:
        scene: with its edits applied.
        request: see there; `at` gives one still state.
        bones: False for formats without bones: motion is then "still" or "shapes".

    Raises:
        InputError: a layer makes no surface, or the frames that were given are not the scene's.
    """
    times = request.times(scene)
    photos, note = find_photos(scene, request.frames, request.scene_path)
    warnings = [] if note is None else [note]
    made = []
    for layer in request.chosen(scene):
        try:
            mesh = _mesh_of(scene, layer, request)
        except InputError as error:
            if layer.kind != "background" or len(request.chosen(scene)) == 1:
                raise InputError(
                    f"layer {layer.name!r}", expected=error.expected, got=error.got, fix=error.fix
                ) from None
            warnings.append(f"the layer {layer.name!r} makes no surface and is left out")
            continue
        anchors = anchor(layer.field, mesh)
        tell = partial(request.progress, f"colours of {layer.name}")
        coat = paint(scene, layer_number(scene, layer), mesh, anchors, photos, request.texture, tell, times)
        warnings += coat.warnings
        made.append(_animated(layer, mesh, anchors, coat, times, request, warnings, bones=bones))
    return LayerMeshes(tuple(made), tuple(times), tuple(warnings))


def _mesh_of(scene: Scene, layer: Layer, request: ExportRequest) -> TriMesh:
    settings = MeshSettings(request.faces, request.fill_holes, closed=layer.kind != "background")
    return canonical_mesh(
        layer.field.canonical,
        settings,
        scene.cameras,
        partial(request.progress, f"surface of {layer.name}"),
    )


def _animated(
    layer: Layer,
    mesh: TriMesh,
    anchors: Anchors,
    coat: Paint,
    times: Sequence[float],
    request: ExportRequest,
    warnings: list[str],
    *,
    bones: bool,
) -> LayerMesh:
    field = layer.field
    truth = carried(field, anchors, times)
    size = size_of(truth)
    motion: MotionKind = "shapes"
    track, skin, source, positions = None, None, "the shape at every moment", truth
    canonical = True
    if len(times) == 1 or float(np.abs(truth - truth[:1]).max()) < _STILL * size:
        motion, source = "still", "none"
        canonical = float(np.abs(truth[0] - mesh.vertices).max()) < 1e-4 * size
        mesh, positions = TriMesh(truth[0].astype(np.float64), mesh.faces), truth[:1].repeat(len(times), 0)
    elif bones and not request.morph:
        if type(field) is Field and isinstance(field.warp, RigidWarp | IdentityWarp):
            motion, source = "rigid", "the path of the whole layer"
            track = rigid_track(field.warp.path if isinstance(field.warp, RigidWarp) else None, times)
            turns, places = track.root_moves()
            positions = (mesh.vertices @ turns.swapaxes(-1, -2) + places[:, None]).astype(np.float32)
        else:
            track, skin, source = bones_of(field, mesh, anchors, times, truth)
            motion, positions = "bones", posed(mesh.vertices, skin, *track.moves())
    error = motion_error(positions, truth)
    if motion == "bones" and error.rms > request.skin_limit:
        warnings.append(
            f"bones carry the motion of the layer {layer.name!r} only to {100 * error.rms:.2g} % of its size (RMS): it "
            "is written as a flip-book of shapes instead"
        )
        motion, track, skin, source = "shapes", None, None, "the shape at every moment"
        positions, error = truth, motion_error(truth, truth)
    elif motion == "bones" and error.rms > _REBOUND:
        warnings.append(
            f"bones miss the motion of the layer {layer.name!r} by {100 * error.rms:.2g} % of its size (RMS)"
        )
    return LayerMesh(
        layer.name, layer.kind, mesh, coat.cut, coat.texture, coat.colors, motion, track, skin, positions, error,
        soundness(mesh.faces), coat.psnr, coat.psnr_of, coat.seen, coat.source, source,
        partial(carried, field, anchors), canonical,
    )  # fmt: skip
