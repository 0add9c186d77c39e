"""What an artist may choose of an export: for each format what it heeds, and no more.

Does NOT write files or build controls; `forms` makes the controls from these dataclasses.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from pathlib import Path
from typing import Literal

from recon4d.export.request import ExportRequest, Progress

Texture = Literal["256", "512", "1024", "2048", "4096", "8192", "vertex"]


@dataclass(frozen=True, kw_only=True)
class Moment:
    """One moment of the scene.

    Attributes:
        layers: what to write; everything where none is ticked.
        objects_only: leave the background out.
        at: seconds; the first moment where it is not set.
    """

    layers: tuple[str, ...] = ()
    objects_only: bool = False
    at: float | None = None


@dataclass(frozen=True, kw_only=True)
class Clip:
    """The clip, or a moment of it.

    Attributes:
        layers: what to write; everything where none is ticked.
        objects_only: leave the background out.
        at: one moment in place of the clip, seconds.
        fps: moments a second of the clip; the scene's own where it is not set.
    """

    layers: tuple[str, ...] = ()
    objects_only: bool = False
    at: float | None = None
    fps: float | None = None


@dataclass(frozen=True, kw_only=True)
class MeshClip(Clip):
    """Meshes of the clip.

    Attributes:
        faces: triangles of each layer's mesh, at most.
        texture: side of each layer's texture in pixels, or colours at the vertices.
        fill_holes: close the holes of meshes that have some.
    """

    faces: int = 20_000
    texture: Texture = "1024"
    fill_holes: bool = False


@dataclass(frozen=True, kw_only=True)
class MovingMesh(MeshClip):
    """Meshes that move by bones.

    Attributes:
        morph: a flip-book of shapes in place of bones.
    """

    morph: bool = False


Options = Moment | Clip
_MOMENTS = ("splats", "splats-2d", "splats-glb", "sog", "spz")
_MOVING = ("glb", "usd")
_MESHES = ("obj-sequence", "ply-sequence")


def options_of(name: str) -> type[Options]:
    """What can be chosen for a format."""
    if name in _MOMENTS:
        return Moment
    if name in _MOVING:
        return MovingMesh
    return MeshClip if name in _MESHES else Clip


def request_of(
    options: Options | None, path: Path, *, scene_path: Path | None, frames: Path | None, progress: Progress
) -> ExportRequest:
    """The request of an export.

    Args:
        options: what was chosen; what is usual where None.
        path: the file or folder to write.
        scene_path: of the scene, where it lies in a folder.
        frames: the input to take textures from, where somebody has said which.
        progress: called as the work goes on.
    """
    chosen = {} if options is None else {field.name: getattr(options, field.name) for field in fields(options)}
    if "texture" in chosen and chosen["texture"] != "vertex":
        chosen["texture"] = int(chosen["texture"])
    return ExportRequest(path=path, scene_path=scene_path, frames=frames, progress=progress, **chosen)
