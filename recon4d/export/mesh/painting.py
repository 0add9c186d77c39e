"""Colours of a layer's mesh: a texture or vertex colours, taken from pictures, and measured against them.

What was filmed takes its colours from the film, with the mesh where it was then; what edits did to colours comes on
top.  What edits brought in was never filmed, and takes them from renders of the scene.  Does NOT choose where pictures
come from.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from jaxtyping import Bool, Float32, Int64, UInt8

from recon4d.export.mesh.bake import Positions, bake, score, surfel_colors
from recon4d.export.mesh.canvas import Canvas
from recon4d.export.mesh.filmed import filmed_mesh
from recon4d.export.mesh.motion import Anchors, carried
from recon4d.export.mesh.origins import origins_of
from recon4d.export.mesh.photos import Photo, PhotoSource, renders
from recon4d.export.mesh.recolor import ColorChange, color_change, shown_surfels
from recon4d.export.mesh.topology import TriMesh
from recon4d.export.mesh.unwrap import Unwrapped
from recon4d.scene import Scene

BAKED_FROM = 32  # pictures
_SCORED_ON = 8
_LITTLE = 0.005  # share of a surface that is not worth pictures of its own
AS_COLOURED, AS_FILMED = "the coloured mesh", "the mesh before its colours were edited"

Tell = Callable[[int, int], None]


@dataclass(frozen=True, eq=False)
class Paint:
    """Colours of a mesh; see `LayerMesh` for all of it.

    Attributes:
        psnr_of: what `psnr` was measured on, in words.
        warnings: sentences on what falls short.
    """

    cut: Unwrapped
    texture: UInt8[np.ndarray, "s s 3"] | None
    colors: Float32[np.ndarray, "v 3"]
    psnr: float
    psnr_of: str
    seen: float
    source: str
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True, eq=False)
class _Shot:
    """The mesh before the cameras of some pictures.

    Attributes:
        faces: those that were there.
        positions: where its vertices were.
        source: of the pictures.
        layer: whose pixels count.
    """

    faces: Int64[np.ndarray, " g"]
    positions: Positions
    source: PhotoSource
    layer: int

    @property
    def used(self) -> list[int]:
        """Pictures to take colours from, spread over the clip."""
        return _spread(BAKED_FROM, range(self.source.frame_count))

    @property
    def checked(self) -> list[int]:
        """Pictures to compare with: others, where there are any."""
        used, frames = set(self.used), range(self.source.frame_count)
        return _spread(_SCORED_ON, [frame for frame in frames if frame not in used] or frames)

    def baked(
        self, canvas: Canvas, usual: Float32[np.ndarray, "n 3"], told: Callable[[], None]
    ) -> tuple[Float32[np.ndarray, "n 3"], Bool[np.ndarray, " n"], float]:
        """Colours of the canvas, `usual` where no picture sees it; what was there, and which share of that is seen."""
        points, there = canvas.among(self.faces)
        faces, photos = canvas.mesh.faces[self.faces], self._photos(self.used, told)
        made = bake(points, faces, self.positions, photos, self.layer, usual[there])
        colors = usual.copy()
        colors[there] = made.colors
        return colors, there, made.seen

    def psnr(self, canvas: Canvas, colors: Float32[np.ndarray, "n 3"], told: Callable[[], None]) -> float:
        """Of the coloured mesh against the pictures to compare with."""
        faces, drawn = canvas.mesh.faces[self.faces], canvas.drawn(colors, self.faces)
        return score(faces, self.positions, drawn, self._photos(self.checked, told), self.layer).psnr

    def _photos(self, frames: list[int], told: Callable[[], None]) -> Iterator[Photo]:
        for photo in self.source.photos(frames):
            yield photo
            told()


def paint(
    scene: Scene,
    layer: int,
    mesh: TriMesh,
    anchors: Anchors,
    photos: PhotoSource,
    texture: int | Literal["vertex"],
    tell: Tell,
    times: Sequence[float] = (),
) -> Paint:
    """Take colours from pictures spread over the clip, and compare with others, where there are any.

    Args:
        scene: with its edits.
        layer: number of the layer.
        mesh: canonical.
        anchors: of the mesh on the layer's surfels.
        photos: where pictures come from.
        texture: side in texels, or "vertex".
        tell: called with how many pictures are done, and how many there are.
        times: moments whose colours the mesh is to have, where these change; the scene's frames for none.
    """
    edited = scene.layers[layer]
    shown, fleeting = shown_surfels(edited.field, list(times) or scene.frame_times.tolist())
    plain = surfel_colors(shown, anchors, mesh)
    canvas = Canvas.of(mesh, texture)
    usual = canvas.points.of(plain, mesh.faces)

    def carried_at(time: float) -> Float32[np.ndarray, "v 3"]:
        return carried(edited.field, anchors, [time])[0]

    own = _Shot(np.arange(len(mesh.faces)), carried_at, renders(scene), layer)
    origins, film = None, None
    if photos.views is not None:
        origins = origins_of(edited, photos.scene)
        film = filmed_mesh(edited.field, mesh, anchors, origins, photos.scene)
    if origins is None or film is None or len(film.faces) <= _LITTLE * len(mesh.faces):
        coat = _from_renders(canvas, usual, own, tell)
    else:
        shot = _Shot(film.faces, film.positions, photos, layer)
        change = color_change(shown, mesh, anchors, origins, photos.scene)
        coat = _from_film(canvas, usual, shot, change, own, tell)
    warnings = []
    if fleeting:
        warnings.append(f"colours of the layer {edited.name!r} change over time: its mesh has their mean")
    if coat.rendered > _LITTLE and film is not None:
        warnings.append(
            f"{100 * coat.rendered:.3g} % of the surface of the layer {edited.name!r} was made by edits and is not in "
            "the film: it has the colours of renders"
        )
    return Paint(
        canvas.cut, canvas.image(coat.colors), canvas.vertex_colors(coat.colors, plain), coat.psnr, coat.psnr_of,
        coat.seen, coat.source, tuple(warnings),
    )  # fmt: skip


@dataclass(frozen=True, eq=False)
class _Coat:
    """Colours of a canvas, as in `Paint`, and which share of them is from renders."""

    colors: Float32[np.ndarray, "n 3"]
    psnr: float
    psnr_of: str
    seen: float
    source: str
    rendered: float


def _from_renders(canvas: Canvas, usual: Float32[np.ndarray, "n 3"], own: _Shot, tell: Tell) -> _Coat:
    told = _counter(tell, len(own.used) + len(own.checked))
    colors, _, seen = own.baked(canvas, usual, told)
    return _Coat(colors, own.psnr(canvas, colors, told), AS_COLOURED, seen, own.source.name, 1.0)


def _from_film(
    canvas: Canvas,
    usual: Float32[np.ndarray, "n 3"],
    shot: _Shot,
    change: ColorChange | None,
    own: _Shot,
    tell: Tell,
) -> _Coat:
    """Renders where the film has nothing, the film elsewhere; compared before the edits' colours come on top."""
    missing = 1 - len(shot.faces) / len(canvas.mesh.faces)
    partly = missing > _LITTLE
    told = _counter(tell, len(shot.used) + len(shot.checked) + (len(own.used) if partly else 0))
    seen_elsewhere = 0.0
    if partly:
        usual, _, seen_elsewhere = own.baked(canvas, usual, told)
    faces = canvas.mesh.faces
    before = usual if change is None else canvas.points.of(change.before, faces)
    colors, there, seen = shot.baked(canvas, before, told)
    psnr = shot.psnr(canvas, colors, told)
    if change is not None:
        colors = np.where(there[:, None], change.of(colors, canvas.points, faces), usual)
    part = float(there.mean()) if len(there) else 1.0
    seen = part * seen + (1 - part) * seen_elsewhere
    source = shot.source.name
    if change is not None:
        source += ", recoloured"
    if partly:
        source += ", and renders of the scene"
    return _Coat(colors, psnr, AS_COLOURED if change is None else AS_FILMED, seen, source, 1 - part if partly else 0.0)


def _counter(tell: Tell, total: int) -> Callable[[], None]:
    """Tells how many pictures are done, one more with every call."""
    done = 0

    def told() -> None:
        nonlocal done
        done += 1
        tell(done, total)

    return told


def _spread(count: int, among: Sequence[int]) -> list[int]:
    """So many of some numbers, spread evenly over them, the first and the last among them."""
    return [among[i] for i in np.unique(np.linspace(0, len(among) - 1, min(count, len(among))).round().astype(int))]
